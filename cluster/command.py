"""What the recipes have in common as commands: options, and a cluster that stands until Ctrl-C."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from distributed import SpecCluster

from cluster.access import CONFIG, tell_address
from cluster.worker import Offer
from rsmtl.cli.interrupt import end_in_bounded_time
from rsmtl.cli.program import run_program
from rsmtl.cli.quiet import quiet
from rsmtl.errors import InputError

_LOOK_S = 0.5

AccessOption = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder to make for the cluster's certificate and address; it is removed when the cluster ends.",
    ),
]
OfferOption = Annotated[
    list[Offer],
    typer.Option(
        help="Keep the workers for this kind of work, which they offer as a resource. Twice for both; without it, "
        "they take whatever comes.",
        show_default=False,
    ),
]
HostOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address or name of this machine by which workers reach the scheduler; by itself it takes the one of the "
        "default route.",
        show_default=False,
    ),
]
PortOption = Annotated[
    int, typer.Option(metavar="N", min=0, max=65535, help="Port of the scheduler; 0: a free one.")
]


def stand(cluster: AbstractContextManager[SpecCluster], access: Path, n_workers: int) -> int:
    """Bring a cluster up, say where, and keep it until Ctrl-C or SIGTERM; what it started has ended then.

    Returns
    -------
    int
        The exit status.
    """
    end_in_bounded_time()
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C, also where that is held back
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda number, frame: signal.raise_signal(signal.SIGINT))
    typer.echo(f"starting {n_workers} worker(s); Ctrl-C ends them")
    with quiet(), _scheduler_errors(), cluster as standing:
        try:
            _keep(standing, access.absolute(), n_workers)
        except KeyboardInterrupt:
            typer.echo("ending")
    return 0


def _keep(cluster: SpecCluster, access: Path, n_workers: int) -> None:
    """Tell how many workers there are whenever that changes, and the address as soon as there is one."""
    before, told = 0, False
    while True:
        there = len(cluster.scheduler.workers)
        if there and not told:
            told = True
            tell_address(access, cluster.scheduler_address)
            typer.echo(f"dashboard: {cluster.dashboard_link}")
            typer.echo(f"export DASK_CONFIG={access / CONFIG}    # the certificate")
            typer.echo(f"rsmtl predict ... --scheduler {cluster.scheduler_address}")
        if there != before:
            typer.echo(f"{there} of {n_workers} worker(s)")
        before = there
        time.sleep(_LOOK_S)


@contextmanager
def _scheduler_errors() -> Iterator[None]:
    """Say in a sentence why a scheduler cannot be started; Dask says it in a chain of errors."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        first: BaseException = error
        while before := first.__cause__ or first.__context__:
            first = before
        if not isinstance(first, OSError):
            raise
        raise InputError(
            f"the scheduler cannot be started ({(first.strerror or str(first)).lower()}): give a free port by --port, "
            "and where there is --host, an address of this machine"
        ) from error


def run_command(command: Callable[..., int], arguments: list[str] | None = None) -> int:
    """Run a recipe's command."""
    return run_program(command, arguments, interrupted="interrupted")
