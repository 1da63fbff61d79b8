"""What a model declares of itself; the engine knows this and nothing else of a model."""

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from rsmtl.radiometry import Radiometry

Scale = Annotated[
    Fraction,
    BeforeValidator(lambda value: Fraction(value)),
    PlainSerializer(str, return_type=str),
]
"""Pixels per reference pixel along one axis: 1/4 for MS of a 4:1 pair, 4 for a ×4 super-resolution head."""


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""Of an input or a head: it becomes the name of arrays, files and dimensions, whoever wrote the card."""

_TAKEN = frozenset({"x", "y", "spatial_ref", "confidence", "probabilities"})
"""Names that a product's dimensions, coordinates and extras have."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Frozen):
    """One named input of a model."""

    name: Name
    channels: int = Field(gt=0)
    scale: Scale = Fraction(1)
    bands: tuple[str, ...] = ()
    """What the channels mean, in order (`("red", "green", "blue")`); for people and provenance."""
    radiometry: Radiometry = Radiometry()
    """How stored values become what the network sees."""


class ClassSpec(_Frozen):
    """One class of a segmentation head; its index is its place in `HeadSpec.classes`."""

    name: str
    color: tuple[int, int, int]


class HeadSpec(_Frozen):
    """One named output of a model."""

    name: Name
    channels: int = Field(gt=0)
    scale: Scale = Fraction(1)
    kind: Literal["classes", "continuous"]
    """`classes`: probabilities are blended and the winner is stored. `continuous`: values are."""
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    """Applied to the module's raw output before blending."""
    classes: tuple[ClassSpec, ...] = ()
    like: str = ""
    """For `continuous` heads: the input whose DN scale the values are in (same radiometry, same bands)."""

    @model_validator(mode="after")
    def _consistent(self) -> "HeadSpec":
        if self.kind == "continuous":
            if not self.like:
                raise ValueError(
                    f"head {self.name!r} is continuous: say in `like` which input's DN scale it has"
                )
            return self
        if self.activation == "none":
            raise ValueError(f"head {self.name!r} has classes: its activation must be 'softmax' or 'sigmoid'")
        if (self.activation == "sigmoid") != (self.channels == 1):
            raise ValueError(
                f"head {self.name!r} has {self.channels} channel(s) and activation {self.activation!r}: "
                "one channel goes with 'sigmoid', several with 'softmax'"
            )
        if self.classes and len(self.classes) != self.n_classes:
            raise ValueError(f"head {self.name!r} names {len(self.classes)} classes but has {self.n_classes}")
        names = [one.name for one in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(
                f"head {self.name!r} has classes of one name, whose scores would be mixed up; got {names}"
            )
        if self.n_classes > 254:
            raise ValueError(f"head {self.name!r} has {self.n_classes} classes; a uint8 class map holds 254")
        return self

    @property
    def n_classes(self) -> int:
        """Number of classes: a single sigmoid channel separates two."""
        return 2 if self.channels == 1 else self.channels


class ModelSpec(_Frozen):
    """Inputs, heads and the sizes a model accepts.

    The module is called with the inputs as positional tensors `(N, C, H, W)` in the order of `inputs` and
    returns a dict from head name to tensor `(N, C, H, W)`.
    """

    system: str
    """Name in the registry (`urec`), or any name for a model of one's own."""
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    heads: tuple[HeadSpec, ...] = Field(min_length=1)
    divisor: int = Field(default=1, gt=0)
    """Window height and width, in reference pixels, must be multiples of this."""
    margin: int = Field(default=0, ge=0)
    """Reference pixels along a window's edge that do not count, for models that answer well, or exactly, only where
    they see so far around; two windows that overlap by more then share the rest of the overlap."""
    reference: str = ""
    """The input that defines the reference grid; the first one of scale 1 unless said."""

    @model_validator(mode="before")
    @classmethod
    def _default_reference(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("reference"):
            inputs = [InputSpec.model_validate(i) for i in data.get("inputs", ())]
            data = {**data, "reference": next((i.name for i in inputs if i.scale == 1), "")}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "ModelSpec":
        for what, parts in (("input", self.inputs), ("head", self.heads)):
            names = [part.name for part in parts]
            if len(set(names)) != len(names) or _TAKEN & set(names):
                raise ValueError(f"{what} names must differ, and be none of {sorted(_TAKEN)}; got {names}")
        if self.reference not in {i.name for i in self.inputs} or self.input(self.reference).scale != 1:
            raise ValueError(f"the reference input must be an input of scale 1, got {self.reference!r}")
        for head in self.heads:
            if head.kind == "continuous" and head.like not in {i.name for i in self.inputs}:
                raise ValueError(f"head {head.name!r} is like {head.like!r}, which is no input")
        return self

    def input(self, name: str) -> InputSpec:
        """Return the input called `name`."""
        return next(i for i in self.inputs if i.name == name)

    def head(self, name: str) -> HeadSpec:
        """Return the head called `name`."""
        return next(h for h in self.heads if h.name == name)
