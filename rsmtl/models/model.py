"""A model that is ready to run: spec, module in evaluation mode, and a hash that says which one it is."""

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from torch import nn

from rsmtl.models.digest import Untellable, digest
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
    """Of the checkpoint file; of spec, code and values for a module that came without a file."""
    source: str = ""
    """What `load_model` finds it by; empty for a module in memory."""
    fitted: str = ""
    """The classical method that was fitted to the scene; empty for any other model."""
    version: str | None = None
    """What its maker calls a module in memory; None leaves it to what can be seen of the module."""
    measured: Measured = field(default_factory=Measured)
    """How it depends on the distance to a window's edge, and on the window's size; for choosing, and for people."""

    @classmethod
    def from_module(cls, module: nn.Module, spec: ModelSpec, version: str | None = None) -> "Model":
        """Wrap a module of one's own.

        Parameters
        ----------
        version
            What tells this module from an edited one, as its maker has it. None looks at all that decides what it
            computes: its code and that of what it calls, attributes, buffers, closures and globals. A module of
            which that cannot be told (it reads a file as it runs, say) is new each time: no product of it stands
            already, and none is resumed.
        """
        return cls(spec=spec, module=module.eval(), sha256=_told(module, spec, version), version=version)

    def as_it_is(self) -> "Model":
        """Return the model with the hash of what its module is now, if it is one that may have been edited."""
        if self.source or self.fitted:
            return self
        return replace(self, sha256=_told(self.module.eval(), self.spec, self.version))

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
        return Model, (
            self.spec,
            self.module,
            self.sha256,
            self.source,
            self.fitted,
            self.version,
            self.measured,
        )


def _told(module: nn.Module, spec: ModelSpec, version: str | None) -> str:
    """Return what tells a module in memory from others; its weights count whatever its maker says."""
    told = hashlib.sha256(spec.model_dump_json().encode())
    try:
        what = digest(
            module if version is None else (version, type(module).__qualname__, module.state_dict())
        )
    except Untellable:
        what = uuid.uuid4().hex
    told.update(what.encode())
    return told.hexdigest()
