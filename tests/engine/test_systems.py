"""The four published systems at scene scale: the same bits for any layout and workers; right places on real pairs."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster, threads
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.lazy import predict
from rsmtl.engine.product import write
from rsmtl.models.model import Model
from rsmtl.models.registry import find_system, system_config
from rsmtl.scene.scene import Scene
from rsmtl.store.zarr import open_product
from tests import fakes

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


def digests(folder: Path) -> dict[str, str]:
    return {
        str(name): hashlib.sha256(np.ascontiguousarray(array.values)).hexdigest()
        for group in open_product(folder).values()
        for name, array in group.data_vars.items()
    }


@pytest.fixture(scope="module")
def executors() -> Iterator[dict[str, Executor]]:
    with ExitStack() as stack:
        yield {
            "serial": SerialExecutor(),
            "threads": stack.enter_context(threads(3)),
            "processes": stack.enter_context(local_cluster(2)),
        }


@pytest.mark.parametrize("name", SMALL)
def test_the_bits_depend_neither_on_the_layout_nor_on_who_runs_the_jobs(
    name: str, executors: dict[str, Executor], tmp_path: Path
) -> None:
    model, settings = random_model(name), Settings(window=64, overlap=16, extras=("probabilities",))
    scene = scene_for(model)
    found = {}
    for who, executor in executors.items():
        for chunk in (1, 2, 3):
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
    lazy = predict(scene_for(model), model, Settings(window=64, overlap=16, extras=("confidence",)))
    for head in model.spec.heads:
        assert lazy[head.name].shape[-2:] == (212 * head.scale, 260 * head.scale)
    invalid = lazy["segmentation"].values == 255
    assert invalid.mean() == pytest.approx(fakes.ragged_nodata(212, 260).mean(), abs=0.03)
    assert len(np.unique(lazy["segmentation_confidence"].values[~invalid])) > 10
    for head in model.spec.heads:
        if head.kind == "continuous" and head.scale == model.spec.head("segmentation").scale:
            assert (np.isnan(lazy[head.name].values).any(axis=0) == invalid).all()
