"""What the engine costs: the run of a scene over the bare forward passes of the same windows.

Both sides use the same worker processes, one torch thread each, the same model, layout, precision and batch. They
take turns, so that a machine whose speed drifts slows both. The run reads the scene, blends, finalises and writes
the Zarr store; COGs and the quicklook come on top and are timed apart.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rsmtl.config import RunSettings, Settings
from rsmtl.dispatch import ClusterExecutor, gpu_cluster, gpus_for, local_cluster
from rsmtl.engine.drain import drain
from rsmtl.engine.network import left_out, ready
from rsmtl.engine.plan import Plan, plan
from rsmtl.models.checkpoint import Card, load_model, save_checkpoint
from rsmtl.models.model import Model
from rsmtl.models.registry import find_system, system_config
from rsmtl.radiometry import Radiometry
from rsmtl.scene.open import open_scene
from rsmtl.scene.scene import Scene
from rsmtl.store.cog import write_cog
from rsmtl.store.ledger import Ledger
from rsmtl.store.zarr import create_store
from rsmtl.synthetic import Landscape
from rsmtl.synthetic.products import PRODUCTS, Product
from tests import fakes
from tests.benchmarks.table import Options, Row

MODEL = "urec-landscape"
SETTINGS = Settings(window=512, overlap=64)
BF16 = SETTINGS.model_copy(update={"precision": "bf16"})
PUBLISHED_WIDTH = 32
WARM_WINDOWS = 3
"""Edge of the corner of a scene that is run to warm up."""


@dataclass(frozen=True)
class Cost:
    """What one side of a comparison took."""

    wall_s: float
    cpu_s: float
    """Of all workers."""


def rows(options: Options) -> Iterator[Row]:
    """Compare the shipped model in both precisions, and one of the published width on a quarter of the scene."""
    whole = open_scene(landscape(options.folder, options.size_px))
    quarter = open_scene(landscape(options.folder, options.size_px // 2))
    demo, full = load_model(MODEL), random_model(options.folder, "urec", width=PUBLISHED_WIDTH)
    fp32, bf16 = (settings.model_copy(update={"device": options.device}) for settings in (SETTINGS, BF16))
    with workers(options) as executor:
        for what, made, n_pairs, aim in (
            (f"{MODEL} fp32", plan(whole, demo, fp32), options.n_pairs, "≤ 1.15"),
            (f"{MODEL} bf16", plan(whole, demo, bf16), options.n_pairs, ""),
            (f"urec, width {PUBLISHED_WIDTH}, fp32", plan(quarter, full, fp32), 1, "≤ 1.05"),
        ):
            yield from compared("b", what, made, executor, n_pairs, aim)


def workers(options: Options) -> AbstractContextManager[ClusterExecutor]:
    """Start worker processes of one thread, or on CUDA one for each GPU, of several."""
    on_gpus = options.device == "cuda"
    return gpu_cluster(gpus_for(options.n_workers)) if on_gpus else local_cluster(options.n_workers)


def compared(
    part: str, what: str, made: Plan, executor: ClusterExecutor, n_pairs: int, aim: str = ""
) -> Iterator[Row]:
    """Compare the run of a plan with its bare forward passes: by the clock, to which the aim belongs, and in work."""
    warm_up(made, executor)
    pairs = [(run(made, executor), forward_passes(made, executor)) for _ in range(n_pairs)]
    wall = [(first.wall_s, second.wall_s) for first, second in pairs]
    cpu = [(first.cpu_s, second.cpu_s) for first, second in pairs]
    yield row_of(part, f"{what}: run over bare forward passes", "s", wall, aim)
    yield row_of(part, f"{what}: processor time of the same", "s", cpu)


def row_of(part: str, what: str, unit: str, pairs: Sequence[tuple[float, float]], aim: str = "") -> Row:
    """Make a row of what was measured in turn: medians, and the median of the ratios of pairs."""
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Row(part, what, first, second, unit, statistics.median(one / other for one, other in pairs), aim)


def landscape(folder: Path, size_px: int, product: Product = "hrms") -> Path:
    """Write an image of a generated landscape, whose PAN has `size_px` along an edge."""
    path = folder / f"landscape-{size_px}-{product}.tif"
    image = Landscape(seed=1, height_px=size_px, width_px=size_px).to_xarray(product)
    write_cog(image, path, nodata=0, bands=PRODUCTS[product].bands)
    return path


def random_model(folder: Path, name: str, **sizes: int) -> Model:
    """Save a system with random weights, and load it, as users do: workers then read the file, once each.

    Its normalisation is fitted to texture: else all pixels would be of one class, and their shards next to nothing.
    """
    torch.manual_seed(0)
    system = find_system(name)
    config = system_config(system, sizes)
    radiometry = {key: Radiometry(high=(2047.0,)) for key in ("image", "pan", "ms")}
    spec = system.make_spec(config, bands={}, classes=(), radiometry=radiometry)
    module = system.build(config).train()
    with torch.no_grad():
        for step in range(10):
            shapes = [(2, i.channels, int(128 * i.scale), int(128 * i.scale)) for i in spec.inputs]
            module(*(torch.from_numpy(fakes.textured(shape, seed=step)) for shape in shapes))
    path = folder / f"{name}.safetensors"
    save_checkpoint(path, module, Card(config=config.model_dump(mode="json"), spec=spec))
    return load_model(path)


def run(made: Plan, executor: ClusterExecutor) -> Cost:
    """Run a plan into a store that is thrown away."""
    with tempfile.TemporaryDirectory() as name:
        return timed(executor, lambda: store(made, Path(name) / "product", executor))


def store(made: Plan, folder: Path, executor: ClusterExecutor) -> None:
    """Run a plan into a store, and nothing else of a product."""
    Ledger(folder).open(made.fingerprint)
    create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
    drain(made, folder, executor, lambda _: None)


def forward_passes(made: Plan, executor: ClusterExecutor) -> Cost:
    """Run as many bare forward passes as a plan has windows, shared evenly by all workers."""
    share, rest = divmod(made.lattice.n_windows, executor.n_slots)
    counts = [share + (slot < rest) for slot in range(executor.n_slots)]

    def all_of_them() -> None:
        jobs = [executor.submit(_forward_passes, made.model, made.settings, count) for count in counts]
        for job in wait(jobs).done:
            job.result()

    return timed(executor, all_of_them)


def warm_up(made: Plan, executor: ClusterExecutor) -> None:
    """Run a corner of a plan's scene and some passes: imports, weights, first allocations."""
    settings = made.settings.model_copy(update={"chunk": 1})
    small = plan(_corner(made.scene, WARM_WINDOWS * settings.window), made.model, settings)
    run(small, executor)
    forward_passes(small, executor)


def _corner(scene: Scene, edge_px: int) -> Scene:
    inputs = {}
    for name, found in scene.inputs.items():
        y, x = (slice(0, min(int(edge_px * found.scale), length)) for length in found.geobox.shape)
        inputs[name] = replace(found, data=found.data[:, y, x], geobox=found.geobox[y, x])
    return replace(scene, inputs=inputs)


def timed(executor: ClusterExecutor, action: Callable[[], object]) -> Cost:
    """Do something, and say how long it took and how much work it was for the workers."""
    cpu, start = _cpu_s(executor), time.perf_counter()
    action()
    return Cost(time.perf_counter() - start, _cpu_s(executor) - cpu)


def _cpu_s(executor: ClusterExecutor) -> float:
    return float(sum(times.user + times.system for times in executor.client.run(os.times).values()))


@torch.inference_mode()
def _forward_passes(model: Model, settings: RunSettings, n_windows: int) -> None:
    torch.set_num_threads(settings.torch_threads)
    windows = []
    for needed in model.spec.inputs:
        edge = int(settings.window * needed.scale)
        values = torch.rand(settings.batch, needed.channels, edge, edge, device=settings.device)
        windows.append(values.contiguous(memory_format=torch.channels_last))
    module = ready(model, settings.device, left_out(model.spec, settings))
    with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16"):
        for _ in range(-(-n_windows // settings.batch)):
            module(*windows)
    if settings.device == "cuda":
        torch.cuda.synchronize()
