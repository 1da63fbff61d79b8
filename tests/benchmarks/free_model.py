"""What is left of the engine when the model costs nothing: a 1×1 convolution with six classes, against a plain copy.

The scene is a Zarr store of three bands, a shard for each chunk. The copy reads each shard with zarr and writes it with
zarr to another store of the same layout and codecs, one task a shard, on the same workers. The engine also reads the
overlap past a chunk's end, and writes one band of classes; its files are on the disk when it ends, those of the copy
may not be.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import wait
from fractions import Fraction
from pathlib import Path

import numpy as np
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.config import RunSettings
from rsmtl.dispatch import ClusterExecutor
from rsmtl.engine.plan import Plan, plan
from rsmtl.lattice import Chunk, Lattice
from rsmtl.models.spec import HeadSpec
from rsmtl.scene.open import open_scene
from rsmtl.store.folder import STORE_NAME
from rsmtl.store.output import Output
from rsmtl.store.zarr import create_store, group_name, write_shard
from rsmtl.synthetic import Landscape
from tests import fakes
from tests.benchmarks.overhead import Cost, row_of, run, timed, warm_up, workers
from tests.benchmarks.table import Options, Row

FREE = RunSettings(window=512, overlap=64, chunk=4, batch=1)
"""What the engine chooses by itself for this scene at the default size."""
TILE_PX = 1024
IMAGE = Output(
    name="image", head="image", bands=("red", "green", "blue"), dtype="uint16", nodata=0, scale=Fraction(1)
)


def rows(options: Options) -> Iterator[Row]:
    """Compare over a scene of twice the edge, as a small one is done in a moment."""
    scene = open_scene(write_scene(options.folder, 2 * options.size_px))
    head = HeadSpec(name="segmentation", channels=6, kind="classes", activation="softmax")
    settings = FREE.model_copy(update={"device": options.device})
    made = plan(scene, fakes.one_input_model(fakes.ClassMixer(3), 3, head, high=2047.0), settings)
    mpx = made.lattice.height * made.lattice.width / 1e6
    with workers(options) as executor:
        warm_up(made, executor)
        copy(made, options.folder, executor)
        pairs = [(run(made, executor), copy(made, options.folder, executor)) for _ in range(options.n_pairs)]
    speeds = [(mpx / first.wall_s, mpx / second.wall_s) for first, second in pairs]
    work = [(first.cpu_s, second.cpu_s) for first, second in pairs]
    yield row_of("c", "free model: run against a plain copy of its input", "Mpx/s", speeds, "≥ 0.5")
    yield row_of("c", "free model: processor time of run and copy", "s", work)


def write_scene(folder: Path, size_px: int) -> Path:
    """Write a square scene, a small landscape over and over, and return its Zarr group."""
    lattice = Lattice(size_px, size_px, FREE.window, FREE.overlap, FREE.chunk)
    grid = GeoBox((size_px, size_px), Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), fakes.CRS)
    create_store(folder, (IMAGE,), grid, lattice.y.chunk_px)
    tile = Landscape(seed=1, height_px=TILE_PX, width_px=TILE_PX).to_xarray("hrms").values
    for chunk in lattice.chunks():
        y, x = _pixels(lattice, chunk)
        at = np.ix_(np.arange(3), np.arange(y.start, y.stop) % TILE_PX, np.arange(x.start, x.stop) % TILE_PX)
        write_shard(folder, IMAGE, y.start, x.start, tile[at])
    return folder / STORE_NAME / group_name(grid)


def copy(made: Plan, folder: Path, executor: ClusterExecutor) -> Cost:
    """Copy the scene's store to another one, which is thrown away."""
    array = Path(STORE_NAME, group_name(made.geobox), IMAGE.name)
    with tempfile.TemporaryDirectory() as name:
        create_store(Path(name), (IMAGE,), made.geobox, made.lattice.y.chunk_px)

        def all_shards() -> None:
            shards = [_pixels(made.lattice, chunk) for chunk in made.chunks]
            jobs = [executor.submit(copy_shard, folder / array, name / array, *shard) for shard in shards]
            for job in wait(jobs).done:
                job.result()

        return timed(executor, all_shards)


def copy_shard(source: Path, target: Path, y: slice, x: slice) -> None:
    """Copy one shard of an array to another array of the same layout."""
    zarr.open_array(target, mode="r+")[:, y, x] = zarr.open_array(source, mode="r")[:, y, x]


def _pixels(lattice: Lattice, chunk: Chunk) -> tuple[slice, slice]:
    return lattice.y.chunk_span(chunk[0]).slice, lattice.x.chunk_span(chunk[1]).slice
