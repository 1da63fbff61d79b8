"""Workers that are lost are told of; a scheduler that is lost first is no error of the telling."""

from distributed import Client, LocalCluster

from rsmtl.dispatch.lost import lost_workers_told


def test_a_client_that_is_closed_meanwhile_is_left_as_it_is() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
        lost_workers_told(client),
    ):
        client.close()
