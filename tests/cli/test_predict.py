"""`rsmtl predict`: products, one line for each scene that fails, and a status that says which way it went."""

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

from tests.cli.conftest import SMALL, Call, assert_refused
from tests.scene.rasters import asset, image, write_catalog, write_item, write_raster

FILE_BYTES = 20_000
"""Stands for a full disk: no file may grow larger. The ledger's small files fit, a chunk's sums do not."""


def test_a_product_for_every_scene(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "other.tif", image(3, 64, 64))
    ended = call("predict", scene, other, "--model", model, "--out", tmp_path / "out", *SMALL, "--json")
    assert ended.status == 0
    assert [found["scene"] for found in ended.json["scenes"]] == ["scene", "other"]
    assert [found["windows_run"] for found in ended.json["scenes"]] == [12, 1]
    assert [found["px"] for found in ended.json["scenes"]] == [150 * 170, 64 * 64]
    assert ended.json["errors"] == []
    assert "Windows run" in ended.err  # what is for people makes way for JSON
    for name, shape in (("scene", (150, 170)), ("other", (64, 64))):
        assert (tmp_path / "out" / name / "item.json").exists()
        with rasterio.open(tmp_path / "out" / name / "segmentation.tif") as file:
            assert file.shape == shape


def test_the_table_is_on_standard_output_and_nothing_else_is_said(
    call: Call, scene: Path, model: Path
) -> None:
    ended = call("predict", scene, "--model", model, "--out", scene.parent / "out", *SMALL)
    assert re.search(r"scene +written +12 +25,500 px +[\d.]+ Mpx/s +[\d.]+ s", ended.out)
    assert ended.err == ""


def test_a_product_that_stands_is_left_alone(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    words = ("predict", scene, "--model", model, "--out", tmp_path / "out", *SMALL, "--json")
    call(*words)
    before = (tmp_path / "out/scene/item.json").stat().st_mtime_ns
    assert call(*words).json["scenes"][0]["result"] == "stood already"
    assert (tmp_path / "out/scene/item.json").stat().st_mtime_ns == before
    assert call(*words, "--overwrite").json["scenes"][0]["windows_run"] == 12


def test_another_window_is_refused_with_the_reason(
    call: Call, scene: Path, model: Path, tmp_path: Path
) -> None:
    words = ("predict", scene, "--model", model, "--out", tmp_path / "out")
    call(*words, *SMALL)
    ended = call(*words, "--window", 96, "--overlap", 16)
    assert ended.status == 2
    assert "settings.window was 64 and is 96" in ended.err


def test_a_scene_that_fails_fails_alone(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    two_bands = write_raster(tmp_path / "two.tif", image(2, 64, 64))
    ended = call("predict", two_bands, scene, "--model", model, "--out", tmp_path / "out", *SMALL, "--json")
    assert ended.status == 2
    assert [found["result"] for found in ended.json["scenes"]] == ["failed", "written"]
    assert ended.json["errors"][0]["subject"] == "two"
    assert ended.json["errors"][0]["type"] == "SceneError"
    assert ended.err.startswith("two: the model's input 'image' takes 3 bands")
    assert not (tmp_path / "out" / "two").exists()


def test_a_run_that_failed_outranks_wrong_input(call: Call, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    scene = write_raster(tmp_path / "scene.tif", image(3, 64, 64))
    ended = call(
        "predict", tmp_path / "no.tif", scene, "--model", model, "--out", tmp_path / "a-file", *SMALL
    )
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 2


def test_every_item_of_a_catalogue(call: Call, model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_raster(tmp_path / f"{name}.tif", image(4, 64, 64), names=("blue", "green", "red", "nir"))
        write_item(tmp_path, {"ms": asset(f"{name}.tif")}, item_id=name)
    catalogue = write_catalog(tmp_path, ("one.json", "missing.json", "two.json"))
    words = (
        "--assets",
        "ms:red,ms:green,ms:blue",
        "--model",
        model,
        "--out",
        tmp_path / "out",
        *SMALL,
        "--json",
    )
    ended = call("predict", catalogue, *words)
    assert [found["result"] for found in ended.json["scenes"]] == ["written", "failed", "written"]
    assert "missing: " in ended.err
    assert sorted(item.parent.name for item in (tmp_path / "out").glob("*/item.json")) == ["one", "two"]


def test_two_scenes_of_one_name_do_not_overwrite_one_another(call: Call, model: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_raster(tmp_path / folder / "scene.tif", image(3, 64, 64))
    sources = (tmp_path / "a/scene.tif", tmp_path / "b/scene.tif")
    ended = call("predict", *sources, "--model", model, "--out", tmp_path / "out", *SMALL, "--overwrite")
    assert ended.status == 2
    assert "has the same id as" in ended.err
    assert "run one apart with another output folder" in ended.err


def test_what_a_catalogue_says_cannot_command_the_terminal(call: Call, model: Path, tmp_path: Path) -> None:
    scene_id = "[red]\x1b[2Jclear[/x]"
    write_raster(tmp_path / "one.tif", image(3, 64, 64))
    item = write_item(tmp_path, {"image": asset("one.tif")}, item_id="plain")
    item.write_text(item.read_text().replace('"plain"', '"[red]\\u001b[2Jclear[/x]"'))
    ended = call("predict", item, "--model", model, "--out", tmp_path / "out", *SMALL, "--json")
    assert ended.json["scenes"][0]["scene"] == scene_id
    assert "\x1b" not in ended.out + ended.err
    assert r"[red]\x1b[2Jclear[/x]" in ended.err


# What a user can get wrong.


@contextmanager
def small_files() -> Iterator[None]:
    """Let this process write no large file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    words = ("predict", scene, "--model", model, "--out", tmp_path / "out", *SMALL)
    with small_files():
        ended = call(*words)
    assert_refused(ended, tmp_path / "out", "cannot write", status=1)
    assert "File too large; make room" in ended.err
    assert call(*words, "--resume").status == 0


def test_a_folder_that_cannot_be_written(call: Call, scene: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    ended = call("predict", scene, "--model", model, "--out", tmp_path / "a-file", *SMALL)
    assert_refused(ended, tmp_path, "Not a directory", status=1)


def damaged(path: Path) -> Path:
    """A raster that opens, and whose pixels cannot be read."""
    write_raster(path, image(3, 400, 400), compress="deflate", tiled=True)
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path.write_bytes(content)
    return path


def test_a_file_that_is_damaged(call: Call, model: Path, tmp_path: Path) -> None:
    scene = damaged(tmp_path / "scene.tif")
    ended = call("predict", scene, "--model", model, "--out", tmp_path / "out", *SMALL)
    assert_refused(ended, tmp_path / "out", "cannot be read at rows", status=1)


@pytest.mark.cluster
def test_an_error_of_a_worker_process_arrives_as_its_sentence(
    call: Call, model: Path, tmp_path: Path
) -> None:
    scene = damaged(tmp_path / "scene.tif")
    good = write_raster(tmp_path / "good.tif", image(3, 100, 100))
    ended = call("predict", scene, good, "--model", model, "--out", tmp_path / "out", *SMALL, "--workers", 2)
    assert ended.status == 1
    dashboard, failure = ended.err.splitlines()
    assert dashboard.startswith("dashboard: http://127.0.0.1:")
    assert failure.startswith("scene: ")
    assert "the file is damaged or its server does not answer" in failure
    assert [item.parent.name for item in (tmp_path / "out").glob("*/item.json")] == ["good"]


def test_not_a_raster(call: Call, model: Path, tmp_path: Path) -> None:
    (tmp_path / "scene.tif").write_bytes(b"II*\0 and no more")
    ended = call("predict", tmp_path / "scene.tif", "--model", model, "--out", tmp_path / "out")
    assert_refused(ended, tmp_path / "out", "cannot be opened as a raster")


def test_an_image_without_a_place_gets_a_product_without_one(call: Call, model: Path, tmp_path: Path) -> None:
    """On the grid of its pixels, rows downwards from 0; everything that is made of a product can be made of it."""
    path = tmp_path / "scene.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", "PNG", 70, 100, 3, dtype="uint8") as file:
            file.write(image(3, 100, 70).astype(np.uint8))
    words = ("predict", path, "--model", model, "--out", tmp_path / "out", *SMALL, "--allow-no-crs", "--json")
    ended = call(*words)
    assert ended.status == 0
    assert (
        ended.err.count("scene: has no coordinate reference system, and what is made of it has none either")
        == 1
    )
    folder = tmp_path / "out" / "scene"
    item = json.loads((folder / "item.json").read_text())
    assert (item["geometry"], "bbox" in item) == (None, False)
    assert (item["properties"]["proj:code"], item["properties"]["proj:shape"]) == (None, [100, 70])
    with rasterio.open(folder / "segmentation.tif") as file:
        assert (file.crs, file.shape, file.transform) == (None, (100, 70), rasterio.Affine(1, 0, 0, 0, -1, 0))
    with xr.open_zarr(
        folder / "product.zarr", group="1units", consolidated=False, decode_coords="all"
    ) as store:
        assert store.segmentation.rio.crs is None
        assert store.segmentation.rio.transform() == rasterio.Affine(1, 0, 0, 0, -1, 0)
    assert (folder / "quicklook.png").exists()
    assert call(*words).json["scenes"][0]["result"] == "stood already"
    assert call("verify", folder).status == 0
    assert call("report", tmp_path / "out").status == 0
    assert call("plan", path, "--model", model, "--allow-no-crs").status == 0
    assert call("plan", path, "--model", model).status == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--window", 100), "the window must be a multiple of 32 px"),
        (("--window", 64, "--overlap", 40), "the overlap must be at most half the window"),
        (("--window", -3), "the settings are wrong: window: expected more than 0"),
        (("--extras", "confidense"), "extras.0: expected 'confidence' or 'probabilities'"),
        (("--assets", "red,pink"), "has no band red"),
        (("--assets", "red,,blue"), "--assets 'red,,blue' has an empty name"),
        (("--resume", "--overwrite"), "--resume keeps what is finished and --overwrite removes it"),
        (("--workers", 2, "--scheduler", "tcp://127.0.0.1:1"), "give one of them"),
        (("--workers", 0), "Invalid value for '--workers'"),
        (("--widnow", 64), "No such option: --widnow (Possible options: --window"),
        (("--blend", "cubic"), "'cubic' is not one of 'linear', 'cosine'; see rsmtl predict --help"),
    ],
)
def test_wrong_options(
    call: Call, scene: Path, model: Path, words: tuple[object, ...], sentence: str
) -> None:
    out = scene.parent / "out"
    ended = call("predict", scene, "--model", model, "--out", out, *words)
    assert_refused(ended, out, sentence)
    assert not out.exists()


def test_a_device_that_is_not_there(
    call: Call, scene: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    out = scene.parent / "out"
    ended = call("predict", scene, "--model", model, "--out", out, *SMALL, "--device", "cuda")
    assert_refused(ended, out, "PyTorch finds no CUDA device where the jobs would run")
    assert not out.exists()


def test_no_model(call: Call, scene: Path) -> None:
    ended = call("predict", scene, "--model", "nothing-like-it", "--out", scene.parent / "out")
    assert_refused(ended, scene.parent / "out", "there is no model 'nothing-like-it': give the path")


def test_an_asset_that_is_missing(call: Call, model: Path, tmp_path: Path) -> None:
    write_raster(tmp_path / "one.tif", image(3, 64, 64))
    item = write_item(tmp_path, {"image": asset("one.tif")})
    ended = call("predict", item, "--assets", "imgae", "--model", model, "--out", tmp_path / "out")
    assert_refused(ended, tmp_path / "out", "has no asset 'imgae': it has image")


def test_errors_are_in_the_json_too(call: Call, scene: Path) -> None:
    ended = call("predict", scene, "--model", "nothing-like-it", "--out", scene.parent / "out", "--json")
    assert ended.json["command"] == "predict"
    assert ended.json["exit_status"] == ended.status == 2
    assert ended.json["errors"][0]["type"] == "ModelError"


# Ctrl-C, and the bar that only a terminal sees.


class Terminal:
    """A process whose standard error is a terminal."""

    def __init__(self, *words: object) -> None:
        self._end, other = pty.openpty()
        command = [sys.executable, "-m", "rsmtl", *map(str, words)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=other, start_new_session=True, env=environment
        )
        os.close(other)
        self.shown = ""

    def read_until(self, pattern: str) -> None:
        """Read until the pattern was shown."""
        while not re.search(pattern, self.shown):
            try:
                self.shown += self._read()
            except OSError:  # the other end was closed
                pytest.fail(f"no {pattern!r} in {self.shown!r}")

    def read_all(self) -> None:
        """Read until the process has ended."""
        try:
            while True:
                self.shown += self._read()
        except OSError:  # the other end was closed
            return

    def _read(self) -> str:
        return os.read(self._end, 65536).decode(errors="replace")

    def close(self) -> None:
        """End the process, whatever it does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        os.close(self._end)


@contextmanager
def terminal(*words: object) -> Iterator[Terminal]:
    shown = Terminal(*words)
    try:
        yield shown
    finally:
        shown.close()


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
def test_ctrl_c_says_what_stands_and_resume_goes_on(
    call: Call, model: Path, tmp_path: Path, workers: tuple[object, ...]
) -> None:
    large = write_raster(tmp_path / "large.tif", image(3, 768, 768))
    words = ("predict", large, "--model", model, "--out", tmp_path / "out", "--chunk", 4, *SMALL)
    with terminal(*words, *workers) as shown:
        shown.read_until(r"[1-9]\d*/16 chunks")
        os.killpg(shown.process.pid, signal.SIGINT)  # a terminal sends it to all processes alike
        shown.read_all()
        assert shown.process.wait(60) == 130
    assert "Traceback" not in shown.shown
    standing = re.search(
        r"interrupted: (\d+) of 16 chunks of scene 'large' stand; give the same", shown.shown
    )
    assert standing is not None
    assert not (tmp_path / "out/large/item.json").exists()
    found = call(*words, "--resume", "--json").json["scenes"][0]
    assert found["n_windows"] == 16 * 16
    assert found["windows_run"] <= 16 * (16 - int(standing[1]))  # each chunk owns 4 × 4
    assert found["px"] < 768 * 768
