"""What holds of every system; a system's own tests inherit it and say how to build a small one."""

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rsmtl.errors import ModelError
from rsmtl.losses import loss_terms
from rsmtl.models import (
    Card,
    ModelSpec,
    find_system,
    load_model,
    save_checkpoint,
    save_exported,
    system_config,
)
from rsmtl.radiometry import Radiometry


class SystemSuite:
    """Inherit as `class TestX(SystemSuite)`."""

    system: ClassVar[str]
    small: ClassVar[Mapping[str, Any]]
    """Configuration of a narrow network with every part of the published one."""
    bands: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    any_size: ClassVar[bool] = False
    """Whether the module runs at sizes that are no multiples of the spec's divisor."""
    published: ClassVar[bool] = False
    """Whether it is one of the four systems; all others are their parts and variants, made of the same operators."""

    @property
    def config(self) -> Any:
        return system_config(find_system(self.system), self.small)

    @property
    def spec(self) -> ModelSpec:
        system = find_system(self.system)
        radiometry = {"pan": Radiometry(high=(2047.0,)), "ms": Radiometry(high=(2047.0,))}
        return system.make_spec(self.config, bands=self.bands, classes=(), radiometry=radiometry)

    def module(self, seed: int = 0) -> nn.Module:
        """Random weights; the normalisation's statistics are not the initial ones."""
        torch.manual_seed(seed)
        module = find_system(self.system).build(self.config).train()
        with torch.no_grad():
            for step in range(3):
                module(*self.inputs(2, 4, 4, seed=step))
        return module.eval()

    def inputs(self, n: int, rows: int, cols: int, seed: int = 0) -> list[Tensor]:
        """Random inputs of so many divisors of the spec, at least 16 pixels of the coarsest grid."""
        generator = torch.Generator().manual_seed(seed)
        height, width = (self.edge(count) for count in (rows, cols))
        return [
            torch.rand(n, i.channels, int(height * i.scale), int(width * i.scale), generator=generator)
            for i in self.spec.inputs
        ]

    def edge(self, count: int) -> int:
        """Reference pixels of `count` divisors; those of a system without one are taken to be 8."""
        return count * max(self.spec.divisor, 8)

    def outputs(self, n: int, rows: int, cols: int) -> dict[str, tuple[int, ...]]:
        """The shapes that the spec declares."""
        height, width = self.edge(rows), self.edge(cols)
        return {h.name: (n, h.channels, int(height * h.scale), int(width * h.scale)) for h in self.spec.heads}

    def batch(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """Inputs by name, and a random target for every head."""
        targets: dict[str, Tensor] = {i.name: t for i, t in zip(self.spec.inputs, inputs, strict=True)}
        height, width = inputs[0].shape[2:]
        for head in self.spec.heads:
            size = len(inputs[0]), int(height * head.scale), int(width * head.scale)
            if head.kind == "classes":
                targets[head.name] = torch.randint(head.n_classes, size)
            else:
                targets[head.name] = torch.rand(size[0], head.channels, *size[1:])
        return targets

    @pytest.mark.parametrize(("rows", "cols"), [(4, 4), (4, 5), (7, 4)])
    def test_the_spec_tells_the_truth(self, rows: int, cols: int) -> None:
        assert self.spec.system == self.system
        with torch.inference_mode():
            answer = self.module()(*self.inputs(2, rows, cols))
        assert {name: tuple(values.shape) for name, values in answer.items()} == self.outputs(2, rows, cols)
        assert all(values.dtype == torch.float32 and values.isfinite().all() for values in answer.values())

    def test_every_parameter_learns_from_the_published_loss(self) -> None:
        torch.manual_seed(1)
        system, inputs = find_system(self.system), self.inputs(2, 4, 5)
        module = system.build(self.config).train()
        terms = loss_terms(system.terms(self.config), module(*inputs), self.batch(inputs))
        torch.stack(list(terms.values())).sum().backward()
        idle = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
        assert [name for name in idle if not self.may_be_idle(name)] == []
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)

    def may_be_idle(self, name: str) -> bool:
        """Whether a parameter's gradient may vanish: a bias before a batch normalisation, which takes it away."""
        return name.endswith("bias")

    def test_evaluation_is_deterministic_and_training_is_another_thing(self) -> None:
        module, inputs = self.module(), self.inputs(2, 4, 4)
        with torch.inference_mode():
            first, again = module(*inputs), module(*inputs)
        assert all(torch.equal(first[name], again[name]) for name in first)
        state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        module.train()(*inputs)
        normalised = any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
        changed = any(not torch.equal(state[n], t) for n, t in module.state_dict().items())
        assert changed == normalised

    def test_a_window_does_not_see_the_others_of_its_batch(self) -> None:
        module = self.module().to(memory_format=torch.channels_last)
        many = [t.contiguous(memory_format=torch.channels_last) for t in self.inputs(3, 4, 4)]
        others = [torch.rand_like(t, memory_format=torch.channels_last) for t in many]
        swapped = [torch.cat([o[:1], t[1:2], o[2:]]) for t, o in zip(many, others, strict=True)]
        with torch.inference_mode():
            first, second = module(*many), module(*swapped)
        assert all(torch.equal(first[name][1], second[name][1]) for name in first)

    def test_a_size_that_does_not_fit_is_refused_unless_every_size_fits(self) -> None:
        height = self.edge(4)
        odd = [
            torch.rand(1, i.channels, int(height * i.scale) + 1, int(height * i.scale))
            for i in self.spec.inputs
        ]
        if self.any_size:
            answer = self.module()(*odd)
            assert all(
                answer[h.name].shape[2:] == ((height + 1) * h.scale, height * h.scale)
                for h in self.spec.heads
            )
            return
        with pytest.raises(ModelError, match="multiple"):
            self.module()(*odd)

    def test_a_checkpoint_gives_back_every_bit(self, tmp_path: Path) -> None:
        module, inputs = self.module(), self.inputs(1, 4, 4)
        card = Card(config=self.config.model_dump(mode="json"), spec=self.spec)
        save_checkpoint(tmp_path / "model.safetensors", module, card)
        loaded = load_model(tmp_path / "model.safetensors")
        assert loaded.spec == self.spec
        with torch.inference_mode():
            before, after = module(*inputs), loaded.module(*inputs)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_a_copy_is_the_same(self) -> None:
        module, inputs = self.module(), self.inputs(1, 4, 4)
        with torch.inference_mode():
            before, after = module(*inputs), copy.deepcopy(module)(*inputs)
        assert all(torch.equal(before[name], after[name]) for name in before)

    @pytest.mark.compile
    def test_a_program_gives_back_every_bit(self, tmp_path: Path) -> None:
        module, inputs = self.module(), self.inputs(1, 4, 4)
        save_exported(tmp_path / "model.pt2", module, self.spec, window=self.edge(4))
        loaded = load_model(tmp_path / "model.pt2")
        assert loaded.spec == self.spec
        with torch.inference_mode():
            before, after = module(*inputs), loaded.module(*inputs)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    @pytest.mark.compile
    @pytest.mark.slow
    def test_it_can_be_compiled(self) -> None:
        """The graph of each is captured whole; machine code, which takes a compiler a minute, is made of the four."""
        if self.published and shutil.which("g++") is None:
            pytest.skip("torch.compile needs a C++ compiler (g++)")
        module, inputs = self.module(), self.inputs(1, 4, 4)
        backend = "inductor" if self.published else "aot_eager"
        compiled = torch.compile(module, fullgraph=True, backend=backend)
        with torch.inference_mode():
            before, after = module(*inputs), compiled(*inputs)
        assert all(torch.allclose(before[name], after[name], atol=1e-4) for name in before)
