"""The four published systems at scene scale: the same bits for any layout and workers; right places on real pairs."""

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from rsmtl import fork_server
from rsmtl.config import Settings
from rsmtl.dispatch import ClusterExecutor, local_cluster, threads
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import plan
from rsmtl.engine.product import write
from rsmtl.models.model import Model
from rsmtl.models.registry import find_system, system_config
from rsmtl.models.spec import ModelSpec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.align import align
from rsmtl.scene.open import open_scene
from rsmtl.scene.read import read_window
from rsmtl.scene.scene import Scene
from rsmtl.store.zarr import open_product
from tests import fakes
from tests.engine import pairs

SMALL = {
    "panseg": {"width": 4},
    "urec": {"width": 4},
    "dsrl": {"width": 4},
    "srseg": {"features": 8, "sr_width": 4, "n_stages": 3, "width": 4},
}
"""Narrow networks with every part of the published ones."""


def random_model(name: str) -> Model:
    """Random weights, with scores spread wide, and normalisation fitted to texture: else all pixels are alike."""
    torch.manual_seed(0)
    system = find_system(name)
    config = system_config(system, SMALL[name])
    module = system.build(config).train()
    spec = system.make_spec(config, bands={}, classes=(), radiometry={})
    n_scores = spec.head("segmentation").channels
    scores = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.out_channels == n_scores][-1]
    with torch.no_grad():
        scores.weight *= 30
        for step in range(10):
            sizes = [(i.channels, int(128 * i.scale)) for i in spec.inputs]
            module(*(torch.from_numpy(fakes.textured((2, c, edge, edge), seed=step)) for c, edge in sizes))
    return Model.from_module(module, spec)


def scene_for(model: Model, height: int = 212, width: int = 260) -> Scene:
    """A scene with the model's inputs and a ragged invalid area."""
    invalid = fakes.ragged_nodata(height, width)
    inputs = {}
    for i in model.spec.inputs:
        step = i.scale.denominator
        shape = -(-height // step), -(-width // step)
        values = fakes.textured((i.channels, *shape), seed=len(inputs))
        values[:, invalid[::step, ::step]] = np.nan
        inputs[i.name] = fakes.make_input(i.name, values, scale=i.scale, gsd_m=0.5 * step)
    return Scene(id="scene", inputs=inputs)


def all_heads(model: Model) -> tuple[str, ...]:
    return tuple(head.name for head in model.spec.heads)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(name): hashlib.sha256(np.ascontiguousarray(array.values)).hexdigest()
        for group in open_product(folder).values()
        for name, array in group.data_vars.items()
    }


@pytest.fixture(scope="module")
def spawned() -> Iterator[ClusterExecutor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(fork_server.METHOD, "spawn")
        with local_cluster(1) as executor:
            yield executor


@pytest.fixture
def executors(workers: ClusterExecutor, spawned: ClusterExecutor) -> Iterator[dict[str, Executor]]:
    with threads(3) as three:
        yield {
            "serial": SerialExecutor(),
            "threads": three,
            "forked processes": workers,
            "spawned process": spawned,
        }


@pytest.mark.parametrize("name", SMALL)
def test_the_bits_depend_neither_on_the_layout_nor_on_who_runs_the_jobs(
    name: str, executors: dict[str, Executor], tmp_path: Path
) -> None:
    model = random_model(name)
    settings = Settings(window=64, overlap=16, heads=all_heads(model), extras=("probabilities",))
    scene = scene_for(model, 148, 180)  # 3 × 4 windows
    found = {}
    for who, executor in executors.items():
        for chunk in (1, 2, 3) if who != "spawned process" else (2,):
            product = write(
                scene,
                model,
                tmp_path / f"{who}-{chunk}",
                settings.model_copy(update={"chunk": chunk}),
                executor=executor,
            )
            found[who, chunk] = digests(product.folder)
    assert set(found["serial", 1]) == {h.name for h in model.spec.heads} | {"segmentation_probabilities"}
    assert all(other == found["serial", 1] for other in found.values())


@pytest.mark.parametrize("name", SMALL)
def test_heads_have_their_scale_and_what_is_invalid_is_nodata_in_all(name: str) -> None:
    model = random_model(name)
    settings = Settings(window=64, overlap=16, heads=all_heads(model), extras=("confidence",))
    lazy = predict(scene_for(model), model, settings)
    for head in model.spec.heads:
        assert lazy[head.name].shape[-2:] == (212 * head.scale, 260 * head.scale)
    invalid = lazy["segmentation"].values == 255
    assert invalid.mean() == pytest.approx(fakes.ragged_nodata(212, 260).mean(), abs=0.03)
    assert len(np.unique(lazy["segmentation_confidence"].values[~invalid])) > 10
    for head in model.spec.heads:
        if head.kind == "continuous" and head.scale == model.spec.head("segmentation").scale:
            assert (np.isnan(lazy[head.name].values).any(axis=0) == invalid).all()


def follow_ms(model: Model, scene: Scene, settings: Settings, steps: int) -> None:
    """Teach a panseg for a minute at most to give MS back on PAN's grid: what a trained one does, and more."""
    made = plan(scene, model, settings)
    height, width = (size // 16 * 16 for size in made.geobox.shape)
    values, _ = read_window(made.scene, model.spec, slice(0, height), slice(0, width))
    pan, ms = (
        torch.from_numpy(made.radiometry[name].to_network(values[name])).nan_to_num()
        for name in ("pan", "ms")
    )
    step_px = model.spec.input("ms").scale.denominator
    fine = nn.functional.interpolate(ms[None], scale_factor=step_px, mode="bilinear")[0]
    for part in model.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.1  # the published 0.01 takes a thousand steps to know the data
    optimizer = torch.optim.Adam(model.module.train().parameters(), lr=5e-3)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        cuts = [[int(rng.integers((n - 64) // step_px)) * step_px for n in (height, width)] for _ in range(4)]
        pans, mss, fines = (
            torch.stack([a[:, y // k : (y + 64) // k, x // k : (x + 64) // k] for y, x in cuts])
            for a, k in ((pan, 1), (ms, step_px), (fine, 1))
        )
        loss = (model.module(pans, mss)["hrms"] - fines).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.module.eval()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ratio", "bands", "low", "high", "steps"),
    [("WorldView-2", 4, 4, 0.0, 2047.0, 250), ("Landsat 8", 2, 6, 5000.0, 30000.0, 400)],
)
def test_panseg_over_a_real_pair(
    name, ratio, bands, low, high, steps: int, real_data: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    system, layout = find_system("panseg"), Settings(window=192, overlap=64)
    config = system_config(system, {"width": 8, "ms_channels": bands, "hrms_channels": bands, "ratio": ratio})
    radiometry = {key: Radiometry(low=(low,), high=(high,)) for key in ("pan", "ms")}
    spec = system.make_spec(config, bands={}, classes=(), radiometry=radiometry)
    scene, module = pairs.scene(real_data, name), system.build(config)
    follow_ms(Model.from_module(module, spec), scene, layout, steps)
    product = write(scene, Model.from_module(module, spec), tmp_path, layout)
    (group,) = open_product(product.folder).values()
    assert group["hrms"].dtype == np.uint16
    for head in ("hrms", "segmentation"):
        pairs.check_corners(group[head], scene)
    ms = upsampled_ms(scene, spec)
    assert pairs.best_shift(group["hrms"].values.astype(np.float64), ms) == (0, 0)


def upsampled_ms(scene: Scene, spec: ModelSpec) -> NDArray:
    """MS resampled onto PAN's grid by the scene's own means."""
    ms = spec.input("ms").model_copy(update={"scale": Fraction(1)})
    fine = align(scene, spec.model_copy(update={"inputs": (spec.input("pan"), ms)}))
    height, width = fine.inputs["pan"].geobox.shape
    return fine.inputs["ms"].read(slice(0, height), slice(0, width))


@pytest.mark.real
@pytest.mark.slow
def test_srseg_makes_a_quarter_of_the_gsd_of_sentinel_2(real_data: Path) -> None:
    model = random_model("srseg")
    spec = model.spec.model_copy(
        update={
            "inputs": (model.spec.inputs[0].model_copy(update={"radiometry": Radiometry(high=(10000.0,))}),)
        }
    )
    item = real_data / "stac" / "s2_29RKH" / "item.json"
    scene = open_scene(item, assets=["red", "green", "blue"])
    found = predict(scene, Model.from_module(model.module, spec), Settings(window=64, overlap=16))
    reference = scene.inputs[next(iter(scene.inputs))].geobox
    for head in ("sr", "segmentation"):
        part = found[head][..., :600, :600].compute()
        assert found[head].shape[-2:] == (reference.shape[0] * 4, reference.shape[1] * 4)
        x = found[head].coords[found[head].dims[-1]].values
        assert np.diff(x)[:3] == pytest.approx(reference.resolution.x / 4)
        assert x[0] == pytest.approx(reference.boundingbox.left + reference.resolution.x / 8)
        assert part.shape[-2:] == (600, 600)
    assert reference.resolution.x / 4 == pytest.approx(2.5 * reference.resolution.x / 10)
