"""Sizes that are left open suit model and scene, whoever runs them."""

from collections.abc import Callable
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtl.config import RunSettings, Settings
from rsmtl.dispatch import threads
from rsmtl.engine.choose import choose_batch, choose_chunk
from rsmtl.engine.executor import SerialExecutor
from rsmtl.engine.layout import (
    MAX_WINDOW_PX,
    MIN_WINDOW_PX,
    check_sizes,
    choose_layout,
    choose_overlap,
    choose_window,
    wanted_margin,
)
from rsmtl.engine.outputs import asked_heads
from rsmtl.engine.plan import plan
from rsmtl.engine.probe import Probe
from rsmtl.errors import PlanError
from rsmtl.lattice import Lattice
from rsmtl.models import load_model, save_exported, shipped_models
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from tests import fakes


def spec_of(divisor: int = 1, margin: int = 0, *scales: Fraction) -> ModelSpec:
    """One input of scale 1, and for each scale an input and a head."""
    inputs = [InputSpec(name="image", channels=1)]
    inputs += [InputSpec(name=f"in{k}", channels=1, scale=scale) for k, scale in enumerate(scales)]
    heads = [HeadSpec(name="same", channels=1, kind="continuous", like="image")]
    heads += [fakes.continuous(f"head{k}", 1, scale=scale) for k, scale in enumerate(scales)]
    return ModelSpec(system="fake", inputs=inputs, heads=heads, divisor=divisor, margin=margin)


class Answering(torch.nn.Module):
    """Answers with zeros, as its spec says."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        n, edge = len(inputs[0]), inputs[0].shape[2]
        sizes = {h.name: int(edge * h.scale) for h in self.spec.heads}
        return {name: torch.zeros(n, 1, size, size) for name, size in sizes.items()}


def model_of(*args: Any) -> Model:
    return Model.from_module(Answering(spec_of(*args)), spec_of(*args))


def both(model: Model, longest_px: int, **named: int) -> tuple[int, int]:
    settings = Settings(**named)
    margin = max(head.margin or 0 for head in model.spec.heads)
    window = choose_window(model, settings, longest_px, margin).value
    overlap = (
        choose_overlap(model.spec, window, margin).value if settings.overlap is None else settings.overlap
    )
    return window, overlap


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_have_their_whole_margin_or_one_window(name: str) -> None:
    model, settings = load_model(name), Settings()
    large, small = (
        choose_layout(model, settings, (px, px), wanted_margin(model, settings, (px, px), dict))
        for px in (10_000, 500)
    )
    assert large.margin.value == max(head.margin or 0 for head in asked_heads(model.spec, settings)) > 0
    assert 512 < large.window.value <= MAX_WINDOW_PX
    assert large.overlap.value >= 2 * large.margin.value + large.window.value // 8
    check_sizes(model.spec, large.window.value, large.overlap.value, large.margin.value)
    assert (small.window.value, small.overlap.value, small.margin.value) == (512, 64, 0)


@pytest.mark.parametrize(
    ("model", "longest_px", "named", "expected"),
    [
        (model_of(48), 10_000, {}, (528, 66)),  # the multiple above
        (model_of(32, 0, Fraction(1, 4)), 10_000, {}, (512, 64)),
        (model_of(1, 0, Fraction(1, 3)), 10_000, {}, (513, 66)),  # whole pixels of a third of the grid
        (model_of(32), 170, {}, (192, 24)),  # the scene fits in one
        (model_of(32), 3, {}, (128, 16)),
        (model_of(1, 50), 10_000, {}, (512, 100)),  # what the margin needs
        (model_of(1, 200), 10_000, {}, (800, 400)),
        (model_of(1, 200), 3, {}, (800, 400)),
        (model_of(32), 10_000, {"overlap": 300}, (608, 300)),
        (model_of(32), 10_000, {"window": 64}, (64, 8)),
        (model_of(1, 0, Fraction(1, 4)), 10_000, {"window": 4}, (4, 0)),  # at most a half
    ],
)
def test_sizes_suit_model_and_scene(
    model: Model, longest_px: int, named: dict[str, int], expected: tuple[int, int]
) -> None:
    assert both(model, longest_px, **named) == expected


class Greedy(torch.nn.Module):
    """Makes 1,000 channels of one."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"same": image.repeat(1, 1000, 1, 1).mean(dim=1, keepdim=True) * 1}


@pytest.mark.parametrize(("bound_bytes", "expected"), [(2**31, 512), (2**29, 256), (1, MIN_WINDOW_PX)])
def test_a_forward_pass_stays_within_bounds(
    monkeypatch: pytest.MonkeyPatch, bound_bytes: int, expected: int
) -> None:
    monkeypatch.setattr("rsmtl.engine.layout.FORWARD_BYTES", bound_bytes)
    found = choose_window(fakes.one_input_model(Greedy(), 1, fakes.continuous("same", 1)), Settings(), 10_000)
    assert found.value == expected
    assert ("the model would take" in found.why) == (expected < 512)


@given(
    divisor=st.sampled_from([1, 4, 7, 32, 48]),
    margin=st.integers(0, 300),
    scales=st.lists(st.builds(Fraction, st.integers(1, 4), st.integers(1, 4)), max_size=2),
    longest_px=st.integers(1, 20_000),
)
def test_what_is_chosen_is_never_refused(
    divisor: int, margin: int, scales: list[Fraction], longest_px: int
) -> None:
    spec = spec_of(divisor, margin, *scales)
    window, overlap = both(Model(spec, Answering(spec), ""), longest_px)
    check_sizes(spec, window, overlap)
    Lattice(longest_px, longest_px, window, overlap)


def test_sizes_must_suit_every_grid() -> None:
    spec = fakes.pan_ms_mean().spec
    check_sizes(spec, 64, 16)
    with pytest.raises(
        PlanError, match=r"overlap must be a multiple of 4 px \('ms' lies on a grid of scale 1/4\)"
    ):
        check_sizes(spec, 64, 18)


def test_the_chunk_depends_on_scene_and_model_alone() -> None:
    model, settings = fakes.random_urec(), Settings(window=128, overlap=32)
    made = plan(fakes.make_scene(fakes.textured((3, 1500, 1500))), model, settings)
    assert made.settings.chunk == made.lattice.strides_per_chunk == 4
    with threads(7) as executor:
        again = plan(fakes.make_scene(fakes.textured((3, 1500, 1500))), model, settings, executor=executor)
    assert again.settings == made.settings
    small = plan(fakes.make_scene(fakes.textured((3, 200, 200))), model, settings)
    assert small.settings.chunk == 1
    vast = Lattice(200_000, 200_000, 128, 32)
    edge_px = choose_chunk(vast, model.spec, made.heads, made.outputs).value * vast.y.stride
    assert 500 < edge_px < 4000


def cuda_settings() -> RunSettings:
    return RunSettings(window=64, overlap=8, margin=0, chunk=1, batch=1, device="cuda")


class Answered(SerialExecutor):
    """Says of every device that so many windows at once are the fastest."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        return super().submit(lambda: Probe(self.batch, 40, {1: 100.0, self.batch: 250.0}))


@pytest.mark.parametrize(
    ("most", "fastest", "expected"), [(100, 8, 8), (25, 8, 7), (9, 8, 5), (9, 16, 9), (4, 1, 1), (1, 8, 1)]
)
def test_the_windows_of_a_chunk_make_batches_of_one_size(most: int, fastest: int, expected: int) -> None:
    found = choose_batch(fakes.identity(), cuda_settings(), most, Answered(fastest))
    assert found.value == expected
    if most > 1:
        assert f"250 by {fastest}; 40 fit; a chunk has {most}" in found.why


def test_an_exported_program_gets_the_shape_it_takes(tmp_path: Path) -> None:
    identity = fakes.identity()
    save_exported(tmp_path / "same.pt2", identity.module, identity.spec, window=96, batch=2)
    scene = fakes.make_scene(fakes.textured((1, 300, 300)))
    made = plan(scene, load_model(str(tmp_path / "same.pt2")), Settings())
    assert (made.settings.window, made.settings.overlap, made.settings.batch) == (96, 12, 2)


def test_a_cpu_is_not_probed() -> None:
    on_cpu = cuda_settings().model_copy(update={"device": "cpu"})
    assert choose_batch(fakes.identity(), on_cpu, 100, Answered(8)).value == 1


def test_a_device_that_workers_lack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with threads(1) as executor, pytest.raises(PlanError, match="PyTorch finds no CUDA device"):
        choose_batch(fakes.identity(), cuda_settings(), 100, executor)
