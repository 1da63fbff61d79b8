"""The four published systems at scene scale: the same bits for any layout and workers; right places on real pairs."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch

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
    """Random weights, with normalisation fitted to texture so that the classes differ."""
    torch.manual_seed(0)
    system = find_system(name)
    config = system_config(system, SMALL[name])
    module = system.build(config).train()
    spec = system.make_spec(config, bands={}, classes=(), radiometry={})
    with torch.no_grad():
        for step in range(10):
            sizes = [(i.channels, int(128 * i.scale)) for i in spec.inputs]
            module(*(torch.from_numpy(fakes.textured((2, c, edge, edge), seed=step)) for c, edge in sizes))
    return Model.from_module(module, spec)


def scene_for(model: Model, height: int = 340, width: int = 420) -> Scene:
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
    model, settings = random_model(name), Settings(window=96, overlap=32)
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
    assert set(found["serial", 1]) == {head.name for head in model.spec.heads}
    assert all(other == found["serial", 1] for other in found.values())


@pytest.mark.parametrize("name", SMALL)
def test_heads_have_their_scale_and_classes_differ(name: str) -> None:
    model, settings = random_model(name), Settings(window=96, overlap=32, chunk=2)
    scene = scene_for(model)
    lazy = predict(scene, model, settings)
    for head in model.spec.heads:
        assert lazy[head.name].shape[-2:] == (340 * head.scale, 420 * head.scale)
    classes = lazy["segmentation"].values
    assert len(np.unique(classes[classes != 255])) > 1
    assert (classes == 255).mean() == pytest.approx(fakes.ragged_nodata(340, 420).mean(), abs=0.02)
