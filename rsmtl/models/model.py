"""A model that is ready to run: spec, module in evaluation mode, and a hash that says which weights."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import nn

from rsmtl.models.margin import Measured
from rsmtl.models.spec import ModelSpec
from rsmtl.shown import Shown, few


@runtime_checkable
class Selective(Protocol):
    """A module that need not compute a head that nobody asks for."""

    def leave_out(self, heads: frozenset[str]) -> None:
        """Compute these heads no more, as far as nothing else needs them; the others keep their bits."""


@dataclass(frozen=True, eq=False, repr=False)
class Model(Shown):
    """What the engine runs."""

    spec: ModelSpec
    module: nn.Module
    """In evaluation mode; called and answering as `ModelSpec` says."""
    sha256: str
    """Of the checkpoint file; of spec and state for a module that came without a file."""
    source: str = ""
    """What `load_model` finds it by; empty for a module in memory."""
    fitted: str = ""
    """The classical method that was fitted to the scene; empty for any other model."""
    measured: Measured = field(default_factory=Measured)
    """How it depends on the distance to a window's edge, and on the window's size; for choosing, and for people."""

    @classmethod
    def from_module(cls, module: nn.Module, spec: ModelSpec) -> "Model":
        """Wrap a module of one's own."""
        digest = hashlib.sha256(f"{spec.model_dump_json()}{type(module).__qualname__}{module!r}".encode())
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return cls(spec=spec, module=module.eval(), sha256=digest.hexdigest())

    def facts(self) -> dict[str, str]:
        """Return system, inputs, heads, size and hash."""
        spec = self.spec
        return {
            "name": self.fitted or self.source.replace("\\", "/").rsplit("/", 1)[-1] or spec.system,
            "system": spec.system,
            **{f"input {i.name}": few(i.bands) or f"{i.channels} bands" for i in spec.inputs},
            **{
                f"head {h.name}": f"{h.n_classes} classes"
                + (f": {few(tuple(c.name for c in h.classes))}" if h.classes else "")
                if h.kind == "classes"
                else f"{h.channels} band{'' if h.channels == 1 else 's'}"
                for h in spec.heads
            },
            "parameters": f"{sum(p.numel() for p in self.module.parameters()):,}",
            "sha256": self.sha256[:12],
        }

    def __dask_tokenize__(self) -> Any:
        return self.sha256

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as source and hash where there is a file to load again, whole where there is none."""
        if self.source:
            from rsmtl.models.checkpoint import (
                reload_model,
            )  # which makes Models: needed here only to name it

            return reload_model, (self.source, self.sha256)
        return Model, (self.spec, self.module, self.sha256, self.source, self.fitted, self.measured)
