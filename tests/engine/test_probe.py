"""A device is given more windows at once until it gains nothing by it, or its memory ends."""

import pytest
import torch

from rsmtl.config import RunSettings, Settings
from rsmtl.dispatch import local_cluster
from rsmtl.engine import probe as probing
from rsmtl.engine.choose import choose_batch
from rsmtl.engine.plan import plan
from rsmtl.engine.probe import MAX_BATCH, Probe, probe
from rsmtl.errors import ModelError, RunError
from rsmtl.models import load_model
from rsmtl.models.model import Model
from tests import fakes

SETTINGS = RunSettings(window=64, overlap=8, margin=0, chunk=1, batch=1)


class Counting(torch.nn.Module):
    """Remembers how many windows it saw at once."""

    def __init__(self, limit: int = MAX_BATCH) -> None:
        super().__init__()
        self.limit, self.sizes = limit, list[int]()

    def __deepcopy__(self, memo: object) -> "Counting":
        return self

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        if len(image) > self.limit:
            raise torch.OutOfMemoryError("so many windows do not fit")
        self.sizes.append(len(image))
        return {"same": image * 2}


def counting(limit: int = MAX_BATCH) -> tuple[Model, list[int]]:
    module = Counting(limit)
    return fakes.one_input_model(module, 1, fakes.continuous("same", 1)), module.sizes


def rates(monkeypatch: pytest.MonkeyPatch, **by_batch: float) -> None:
    """Let the clock say so many windows per second."""
    told = {int(name[1:]): rate for name, rate in by_batch.items()}
    monkeypatch.setattr(
        probing, "_seconds", lambda _model, _settings, inputs: len(inputs[0]) / told[len(inputs[0])]
    )


def test_batches_are_run_for_real_and_a_cpu_has_an_answer() -> None:
    model, sizes = counting()
    found = probe(model, SETTINGS)
    tried = list(found.rates)
    assert tried == [2**k for k in range(len(tried))]
    assert found.batch in (tried[-1], tried[-1] // 2)
    assert all(rate > 0 for rate in found.rates.values())
    assert all(sizes.count(batch) >= 1 + probing.REPEATS for batch in tried)
    assert probe(model, SETTINGS) is found


def test_it_ends_where_twice_as_many_bring_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    rates(monkeypatch, b1=100, b2=180, b4=300, b8=310, b16=9999)
    found = probe(counting()[0], SETTINGS)
    assert (found.batch, found.rates) == (4, {1: 100, 2: 180, 4: 300, 8: 310})


@pytest.mark.parametrize(("free_windows", "batch"), [(1, 1), (4.5, 4), (9, 8), (1000, 64)])
def test_it_ends_where_the_memory_does(
    monkeypatch: pytest.MonkeyPatch, free_windows: float, batch: int
) -> None:
    rates(monkeypatch, **{f"b{2**k}": 2.0**k for k in range(12)})
    free_bytes = free_windows * 2 * 64 * 64 * 4 / probing.SHARE  # a window in and a window out
    monkeypatch.setattr(probing, "_free_bytes", lambda _device: free_bytes)
    assert probe(counting()[0], SETTINGS) == Probe(
        batch, min(int(free_windows), 64), {2**k: 2.0**k for k in range(batch.bit_length())}
    )


def test_a_memory_that_is_full_after_all() -> None:
    model, sizes = counting(limit=2)
    assert probe(model, SETTINGS).rates.keys() >= {1, 2}
    assert max(sizes) <= 2


def test_a_model_that_fails_says_so() -> None:
    with pytest.raises(ModelError, match="fails on"):
        probe(fakes.one_input_model(torch.nn.Linear(3, 3), 1, fakes.continuous("same", 1)), SETTINGS)
    with pytest.raises(RunError, match="too little memory"):
        probe(counting(limit=0)[0], SETTINGS)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_is_given_what_it_does_fastest() -> None:
    model = load_model("urec-landscape")
    with local_cluster(1) as executor:
        settings = RunSettings(window=512, overlap=64, chunk=1, batch=1, device="cuda")
        there = executor.submit(probe, model, settings).result()
        chosen = choose_batch(model, settings, 16, executor)
    assert max(there.rates) in (there.batch, 2 * there.batch)
    steps = [2**k for k in range(1, there.batch.bit_length())]
    assert all(there.rates[n] >= probing.WORTH * there.rates[n // 2] for n in steps)
    assert 1 <= there.batch <= there.n_fit <= MAX_BATCH
    assert 1 <= chosen.value <= 16
    scene = fakes.make_scene(fakes.textured((3, 3000, 3000)))
    made = plan(scene, model, Settings(device="cuda", chunk=4))
    assert 1 <= made.settings.batch <= 16
    assert "windows per second" in made.why["batch"]
