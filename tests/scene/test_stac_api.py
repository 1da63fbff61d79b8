"""Searching a STAC API: a small one of our own, which can fail on demand, and rustac's."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pystac_client import Client

from rsmtl.errors import SceneError
from rsmtl.scene import api, document
from rsmtl.scene.open import open_scene, scene_refs
from rsmtl.scene.search import Search
from tests.scene.rasters import asset, image, write_catalog, write_raster

SERVER, FILES = Path(__file__).with_name("stac_api.py"), Path(__file__).with_name("server.py")
RUSTAC = Path(sys.executable).with_name("rustac")

SEARCHES = (
    None,
    Search(since="2024-01-05", until="2024-01-09"),
    Search(bbox=(0, 0, 2, 0.5)),
    Search(collections=("even",)),
    Search(since="2024-01-05", bbox=(-8, -1, 12, 1), collections=("odd",)),
)


def features(raster: str) -> list[dict[str, Any]]:
    """25 items, a degree wide and a day apart; the last two without cloud cover, and ids with dots."""
    found = []
    for k in range(25):
        west = k - 10
        ring = [[west, 0], [west + 1, 0], [west + 1, 1], [west, 1], [west, 0]]
        found.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": f"scene.v{k:02d}", "bbox": [west, 0, west + 1, 1],
                "collection": ("even", "odd")[k % 2],
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"datetime": f"2024-01-{k + 1:02d}T00:00:00Z"}
                | ({"eo:cloud_cover": 4 * k} if k < 23 else {}),
                "assets": {"image": asset(raster)},
                "links": [],
            }
        )  # fmt: skip
    return found


@contextmanager
def started(*command: Path) -> Iterator[str]:
    """URL of a server that prints its port, ended with the block."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with all items, a static catalogue of the same, and the raster of them all behind a server."""
    folder = tmp_path_factory.mktemp("api")
    write_raster(folder / "shared.tif", image(3, 8, 8))
    with started(FILES, folder) as files:
        found = features(f"{files}/shared.tif")
        (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": found}))
        for item in found:
            (folder / f"{item['id']}.json").write_text(json.dumps(item))
        write_catalog(folder, tuple(f"{item['id']}.json" for item in found))
        yield folder


@pytest.fixture(scope="module")
def server(material: Path) -> Iterator[str]:
    """URL of the small API, ended with the module."""
    with started(SERVER, material / "items.json") as address:
        yield address


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, without faults, and asked again after shorter waits."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for module in (api, document):
        monkeypatch.setattr(module, "WAITS_S", (0.05, 0.1, 0.2))
    faults(server)
    return server


@pytest.fixture(scope="module")
def rustac(material: Path) -> Iterator[str]:
    """URL of rustac's API over the same items, ended with the module."""
    if not RUSTAC.exists():
        pytest.skip("rustac is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [RUSTAC, "serve", material / "items.json", "--create-collections", "--addr", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1]))) == 0:
                    break
        yield f"http://{address}"
        process.kill()


def faults(url: str, *statuses: int | str) -> None:
    """Say what the API answers next, and let it forget what it was asked."""
    body = json.dumps(statuses).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/faults", body, method="POST")).close()


def asked(url: str, path: str = "/search") -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/asked") as answer:
        return [one for one in json.load(answer) if one["path"] == path]


def ids(source: str, search: Search | None = None) -> list[str]:
    return sorted(ref.id for ref in scene_refs(source, search))


def test_the_small_api_is_one_in_the_eyes_of_pystac_client(url: str) -> None:
    client = Client.open(url)
    assert all(client.conforms_to(name) for name in ("CORE", "ITEM_SEARCH", "QUERY", "COLLECTIONS"))
    assert [one.id for one in client.get_collections()] == ["even", "odd"]
    assert client.search(collections=["odd"]).matched() == 12
    for method in ("GET", "POST"):
        assert len(list(client.search(method=method, bbox=(-10, 0, 20, 1)).items())) == 25


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize("which", ["url", "rustac"])
def test_an_api_gives_what_a_static_catalogue_gives(
    which: str, search: Search | None, material: Path, request: pytest.FixtureRequest, url: str
) -> None:
    every = [f"scene.v{k:02d}" for k in range(25)]
    wanted = ids(str(material / "catalog.json"), search) if search else every
    assert ids(request.getfixturevalue(which), search) == wanted
    assert 0 < len(wanted) <= 25


def test_clouds_are_searched_by_the_server_that_can_and_by_us_all_the_same(url: str, rustac: str) -> None:
    clear = Search(max_cloud=40)
    assert ids(url, clear) == [f"scene.v{k:02d}" for k in range(11)]
    assert asked(url)[0]["query"] == {"eo:cloud_cover": {"lte": 40}}
    assert ids(rustac, clear) == ids(url, clear)  # which does not know the query extension


def test_the_server_is_asked_for_no_more_than_is_wanted(url: str) -> None:
    search = Search(since="2024-01-05", until="2024-01-09", bbox=(-10, 0, 5, 1), collections=("odd",))
    assert ids(url, search) == ["scene.v05", "scene.v07"]
    (only,) = asked(url)
    assert only == {
        "method": "POST", "path": "/search", "limit": 100, "bbox": [-10, 0, 5, 1], "collections": ["odd"],
        "datetime": "2024-01-05T00:00:00Z/2024-01-09T23:59:59.999999Z",
    }  # fmt: skip


def test_all_pages_are_read(url: str) -> None:
    assert len(ids(url)) == 25
    assert [one.get("skip") for one in asked(url)] == [None, 10, 20]


def test_a_collection_of_an_api(url: str, rustac: str) -> None:
    for root in (url, rustac):
        assert ids(f"{root}/collections/odd", Search(until="2024-01-06")) == [
            "scene.v01",
            "scene.v03",
            "scene.v05",
        ]
        with pytest.raises(SceneError, match=r"none of 0 items|none of 12 items"):
            ids(f"{root}/collections/odd", Search(collections=("even",)))


def test_across_the_antimeridian_the_server_is_asked_twice_and_each_item_given_once(
    url: str, rustac: str
) -> None:
    search = Search(bbox=(12, 0, -8, 1))  # from 12 degrees east round to 8 west
    assert ids(url, search) == [f"scene.v{k:02d}" for k in (0, 1, 2, 21, 22, 23, 24)]
    assert [one["bbox"] for one in asked(url)] == [[12, 0, 180, 1], [-180, 0, -8, 1]]
    assert ids(rustac, search) == ids(url, search)


def test_what_is_found_can_be_opened(url: str, rustac: str) -> None:
    for root in (url, rustac):
        (ref,) = scene_refs(root, Search(since="2024-01-07", until="2024-01-07"))
        scene = open_scene(ref.source)
        assert (ref.id, scene.id, ref.source) == (
            "scene.v06",
            "scene.v06",
            f"{root}/collections/even/items/scene.v06",
        )
        assert scene.inputs["image"].geobox.shape == (8, 8)


def test_an_item_of_an_api_is_a_source_and_is_held_against_the_search(url: str) -> None:
    item = f"{url}/collections/even/items/scene.v06"
    assert ids(item, Search(max_cloud=30)) == ["scene.v06"]
    with pytest.raises(SceneError, match=r"none of 1 items of .* keeps to the search \(max_cloud 20\)"):
        ids(item, Search(max_cloud=20))


@pytest.mark.parametrize(
    "said",
    [
        [],
        7,
        "nonsense",
        ["nonsense"],
        [{"rel": "self", "href": "http://[x"}],
        [{"rel": "self", "href": "file:///x.json"}],
    ],
)
def test_an_item_that_does_not_say_where_it_stands_or_lies_is_looked_for_where_the_standard_has_it(
    said: object,
) -> None:
    item = {"id": "a b", "collection": "c", "links": said}
    assert api.Api("http://example.org/v1/")._href(item) == "http://example.org/v1/collections/c/items/a%20b"


def test_nothing_found_is_a_sentence_with_the_search(url: str) -> None:
    with pytest.raises(
        SceneError,
        match=r"none of 0 items of 'http.*' keeps to the search \(since 2030-01-01T00:00:00Z\): widen it",
    ):
        ids(url, Search(since="2030-01-01"))


@pytest.mark.parametrize("statuses", [(503, 503), (429,), (502, 500, 504)])
def test_a_busy_server_is_asked_again(url: str, statuses: tuple[int, ...]) -> None:
    faults(url, *statuses)  # for the landing page, read as a document
    assert len(ids(url)) == 25
    refs = scene_refs(url)
    next(refs)
    faults(url, *statuses)  # for the second page of a search
    assert len(list(refs)) == 24
    assert [one.get("skip") for one in asked(url)][-2:] == [10, 20]


def test_a_busy_server_is_asked_for_an_item_again(url: str) -> None:
    faults(url, 503, 503)
    assert open_scene(f"{url}/collections/even/items/scene.v06").id == "scene.v06"


def test_a_server_that_stays_busy_is_a_sentence(url: str) -> None:
    faults(url, *[503] * 4)
    with pytest.raises(
        SceneError, match=rf"^'{url}' cannot be read as JSON \(503, message='Service Unavailable'"
    ):
        ids(url)
    refs = scene_refs(url)
    next(refs)
    faults(url, *[503] * 9)
    with pytest.raises(
        SceneError,
        match=rf"^the STAC API '{url}' cannot be searched \(too many 503 error responses\): see that it is up",
    ):
        list(refs)


def test_a_search_that_is_refused_is_not_tried_again(url: str) -> None:
    refs = scene_refs(url)
    next(refs)
    faults(url, 400)
    with pytest.raises(SceneError, match=r"cannot be searched \(it answers with status 400\)"):
        list(refs)
    assert len(asked(url)) == 1


def test_paging_that_never_ends_is_a_sentence(url: str) -> None:
    faults(url, "repeat")
    with pytest.raises(SceneError, match="gives the same page of items over and over: its paging is broken"):
        ids(url)


def test_a_server_that_is_gone_is_a_sentence(url: str, material: Path) -> None:
    with started(SERVER, material / "items.json") as gone:
        refs = scene_refs(gone)
        next(refs)
    with pytest.raises(
        SceneError, match=rf"^the STAC API '{gone}' cannot be searched \(.*Connection refused\)"
    ):
        list(refs)
    with pytest.raises(SceneError, match=rf"^'{gone}' cannot be read as JSON \(.*Connect"):
        ids(gone)
