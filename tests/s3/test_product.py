"""Catalogues from an object store, products into it: the same bytes as on a disk, whoever dies."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import s3fs
from distributed import Client, LocalCluster

from rsmtl.cli import main
from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor
from rsmtl.engine.product import write
from rsmtl.engine.verify import verify
from rsmtl.errors import RunError, SceneError
from rsmtl.gdal import gdal_name, gdal_options
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from rsmtl.store import claim
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import place
from tests import fakes, forked
from tests.s3.conftest import NOBODY, SECRET, files, s3_server, upload

SETTINGS = Settings(window=128, overlap=32, chunk=2)
OPTIONS = ("--window", "128", "--overlap", "32", "--chunk", "2")


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.random_checkpoint(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of one scene, its asset's href relative."""
    folder = tmp_path_factory.mktemp("catalogue")
    fakes.ragged_tiff(folder / "ragged.tif", 300, 500)
    links = [{"rel": "item", "href": "./ragged.json"}]
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "c", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    item = pystac.Item("ragged", None, None, pystac.utils.str_to_datetime("2026-01-01T00:00:00Z"), {})
    item.add_asset("image", pystac.Asset("./ragged.tif", media_type=pystac.MediaType.COG, roles=["data"]))
    (folder / "ragged.json").write_text(json.dumps(item.to_dict(include_self_link=False)))
    return folder


@pytest.fixture(scope="module")
def on_disk(catalogue: Path, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Pixels and pictures of the product, made from files and left in a folder."""
    scene = open_scene(catalogue / "ragged.json")
    folder = Path(write(scene, load_model(model_path), tmp_path_factory.mktemp("out"), SETTINGS).folder)
    return lasting(
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )


def lasting(found: dict[str, bytes]) -> dict[str, bytes]:
    """What a product holds but for what names places and times."""
    return {k: v for k, v in found.items() if k.startswith("product.zarr/") or k.endswith((".tif", ".png"))}


@pytest.mark.cluster
def test_catalogue_in_products_out(catalogue, model_path, on_disk, bucket: str, capsys) -> None:
    upload(catalogue, f"{bucket}/in")
    out = f"{bucket}/out"
    words = ["predict", f"{bucket}/in/catalog.json", "--model", str(model_path), "--out", out, *OPTIONS]
    assert main([*words, "--workers", "2", "--json"]) == 0
    found = files(f"{out}/ragged")
    assert lasting(found) == on_disk
    assert SECRET.encode() not in b"".join(found.values())
    assert SECRET not in "".join(capsys.readouterr())
    item = pystac.Item.from_dict(json.loads(found["item.json"]))
    assert {link.href for link in item.get_links("derived_from")} == {f"{bucket}/in/ragged.json"}
    cog = f"{out}/ragged/segmentation.tif"
    with rasterio.Env(**gdal_options(cog)), rasterio.open(gdal_name(cog)) as opened:
        assert opened.shape == (300, 500)
    assert main(["verify", out, "--chunks", "2"]) == 0
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["scenes"][0]["result"] == "stood already"


RUN = """
import sys
from rsmtl import Settings, load_model, open_scene, write
say = lambda progress: print(progress.chunks_done, flush=True)
write(open_scene(sys.argv[1]), load_model(sys.argv[2]), sys.argv[3], Settings(window=128, overlap=32, chunk=2),
      on_progress=say)
"""


def test_a_run_killed_is_resumed(catalogue, model_path, on_disk, bucket: str, monkeypatch) -> None:
    source, out = str(catalogue / "ragged.json"), f"{bucket}/out"
    with subprocess.Popen(
        [sys.executable, "-c", RUN, source, str(model_path), out], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) == 4:
                process.send_signal(signal.SIGKILL)
    finished = Ledger(place(f"{out}/ragged")).done()
    assert len(finished) >= 4
    scene, model = open_scene(source), load_model(model_path)
    with pytest.raises(
        RunError, match=rf"process {process.pid} on .* is at work on {out}/ragged: wait until it"
    ):
        write(scene, model, out, SETTINGS, resume=True)
    monkeypatch.setattr(claim, "LEASE_S", -1.0)  # the store's clock has passed the end of the lease
    product = write(scene, model, out, SETTINGS, resume=True)
    assert product.windows_run + sum(r.windows_run for r in finished.values()) <= product.n_windows
    found = files(f"{out}/ragged")
    assert lasting(found) == on_disk
    assert not [name for name in found if "lease" in name or "partials" in name or "part" in name.split(".")]


def test_a_damaged_shard_is_found_and_mended(catalogue, model_path, on_disk, bucket: str, capsys) -> None:
    source, out = str(catalogue / "ragged.json"), f"{bucket}/out"
    words = ["predict", source, "--model", str(model_path), "--out", out, *OPTIONS]
    assert main(words) == 0
    shard = next(name for name in on_disk if "segmentation/c/" in name)
    s3fs.S3FileSystem().pipe_file(f"{out}/ragged/{shard}", on_disk[shard][:-7])
    capsys.readouterr()
    assert main(["verify", out]) == 1
    assert "the shard of 'segmentation' in chunk" in capsys.readouterr().err
    assert "item.json" not in files(f"{out}/ragged")
    assert main([*words, "--resume"]) == 0
    assert lasting(files(f"{out}/ragged")) == on_disk
    assert verify(place(f"{out}/ragged")).torn == ()


@pytest.mark.cluster
def test_a_busy_store_is_asked_again(catalogue, model_path, on_disk, tmp_path: Path) -> None:
    with s3_server("--failing", "7") as environment:
        told = {"key": NOBODY["AWS_ACCESS_KEY_ID"], "secret": SECRET, "use_listings_cache": False}
        system = s3fs.S3FileSystem(endpoint_url=environment["AWS_ENDPOINT_URL"], **told)
        system.mkdir("busy")
        words = ["predict", catalogue / "ragged.json", "--model", model_path, "--out", "s3://busy/out"]
        done = forked.call(tmp_path, "rsmtl", *words, *OPTIONS, env=environment)
        assert done.returncode == 0, done.stderr
        root = "busy/out/ragged/"
        found = {name.removeprefix(root): system.cat_file(name) for name in system.find(root)}
        assert lasting(found) == on_disk


@pytest.fixture(scope="module")
def gone() -> dict[str, str]:
    """The environment of a store that has ended."""
    with s3_server() as environment:
        return {**environment, "AWS_MAX_ATTEMPTS": "1"}


@pytest.mark.cluster
def test_a_store_that_is_gone_is_a_sentence(catalogue, model_path, gone, tmp_path: Path) -> None:
    words = ["predict", catalogue / "ragged.json", "--model", model_path, "--out", "s3://gone/out"]
    done = forked.call(tmp_path, "rsmtl", *words, *OPTIONS, env=gone)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot read s3://gone/out/collection.json" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_bucket_that_is_not_there_is_a_sentence(catalogue, model_path, store, capsys) -> None:
    words = [
        "predict",
        str(catalogue / "ragged.json"),
        "--model",
        str(model_path),
        "--out",
        "s3://not-there/out",
    ]
    assert main([*words, *OPTIONS]) == 1
    said = capsys.readouterr().err
    assert "cannot write s3://not-there/out/ragged" in said
    assert len(said.splitlines()) == 1


def test_credentials_are_not_in_the_graph(catalogue, model_path, bucket: str) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        seen: list[str] = []

        def watch(_: object) -> None:
            tasks = client.run_on_scheduler(lambda dask_scheduler: repr(list(dask_scheduler.tasks.items())))
            seen.append(tasks)

        scene, model = open_scene(catalogue / "ragged.json"), load_model(model_path)
        write(scene, model, f"{bucket}/out", SETTINGS, executor=ClusterExecutor(client), on_progress=watch)
    assert any("run_job" in tasks for tasks in seen)
    assert SECRET not in "".join(seen)


def test_an_object_put_in_the_place_of_another_is_read_anew(bucket: str, tmp_path: Path) -> None:
    system, url = s3fs.S3FileSystem(use_listings_cache=False), f"{bucket}/a.tif"
    with pytest.raises(SceneError, match="cannot be opened"):
        open_scene(url)
    versions = []
    for value, edge in ((3, 64), (7, 64), (9, 128)):
        system.put_file(fakes.write_tiff(tmp_path / "a.tif", np.full((1, edge, edge), value, np.uint8)), url)
        scene = open_scene(url)
        pixels = scene.inputs["image"].read(slice(0, edge), slice(0, edge))
        assert (pixels.shape, pixels.min(), pixels.max()) == ((1, edge, edge), value, value)
        versions.append(scene.sources[0].version)
        del scene  # what GDAL knows of a file lives as long as it is open
    assert len(set(versions)) == 3


@pytest.mark.cluster
@pytest.mark.parametrize("command", ["verify", "report", "evaluate"])
def test_a_store_that_is_gone_is_a_sentence_of_every_command(command: str, gone, tmp_path: Path) -> None:
    done = forked.call(tmp_path, "rsmtl", command, "s3://gone/out", env=gone)
    assert done.returncode == 1
    assert done.stderr.startswith("cannot read s3://gone/out (")
    assert len(done.stderr.splitlines()) == 1
