"""What a model declares of itself; the engine knows this and nothing else of a model."""

from fractions import Fraction
from math import isfinite, lcm
from typing import Annotated, Any, Literal

import numpy as np
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


VALUE_LIMIT = 2.0**17
"""Greatest absolute value of a continuous head where nothing tells another."""


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
    """In which it is shown."""
    mask_color: tuple[int, int, int] | None = None
    """Its colour in label images, if that is not the one shown."""


class ValueSpec(_Frozen):
    """What the values of a continuous head are, and how they are stored: `value = stored × scale + offset`."""

    unit: str = ""
    """As UDUNITS writes it: `m`, `t/ha`; empty for numbers without one, such as NDVI."""
    dtype: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"] = "float32"
    """Of the stored numbers. A value that an integer type cannot hold ends the run."""
    nodata: float | None = None
    """Stored number of pixels that are not valid; NaN, or an end of an integer type, unless given: the least number of
    a signed one, the greatest of an unsigned one."""
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    limit: float | None = Field(default=None, ge=1e-20, le=1e30)
    """Greatest absolute value that may occur; a greater one ends the run. Values are blended in steps of at most 2⁻⁵⁰
    of it. What an integer type holds unless given, and 131,072 of floating-point numbers."""

    @model_validator(mode="after")
    def _consistent(self) -> "ValueSpec":
        kind = np.dtype(self.dtype).kind
        if self.nodata is None or (kind == "f" and not isfinite(self.nodata)):
            return self
        held = np.finfo(self.dtype) if kind == "f" else np.iinfo(self.dtype)
        whole = kind == "f" or float(self.nodata).is_integer()
        if not whole or not held.min <= self.nodata <= held.max:
            raise ValueError(
                f"{self.dtype} cannot store the nodata value {self.nodata:g}: give one that it can"
            )
        return self

    @property
    def stored_nodata(self) -> float:
        """The stored number of pixels that are not valid."""
        dtype = np.dtype(self.dtype)
        if self.nodata is not None:
            return float(np.float32(self.nodata)) if self.dtype == "float32" else self.nodata
        if dtype.kind == "f":
            return float("nan")
        return float(np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max)

    @property
    def greatest(self) -> float:
        """`limit`, or what is taken where none is given."""
        if self.limit is not None:
            return self.limit
        if np.dtype(self.dtype).kind == "f":
            return VALUE_LIMIT
        held = np.iinfo(self.dtype)
        return max(abs(end * self.scale + self.offset) for end in (int(held.min), int(held.max)))


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
    values: ValueSpec | None = None
    """For `continuous` heads that are like no input: what their values are. The module gives them as they are."""
    product: bool = True
    """False for what only regularises the training: a run leaves it out unless it is asked for by name."""
    margin: int | None = Field(default=None, ge=0)
    """Reference pixels along a window's edge at which this head does not count, because it sees padding there. None: it
    is not known, and is measured on the scene."""

    @model_validator(mode="after")
    def _consistent(self) -> "HeadSpec":
        if self.values is not None and (self.like or self.kind != "continuous"):
            raise ValueError(
                f"head {self.name!r} has `values` of its own: that is for continuous heads that are like no input"
            )
        if self.kind == "continuous":
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
    def own(self) -> ValueSpec:
        """What the values of a continuous head are that is like no input."""
        return self.values or ValueSpec()

    @property
    def n_classes(self) -> int:
        """Number of classes: a single sigmoid channel separates two."""
        return 2 if self.channels == 1 else self.channels


class ModelSpec(_Frozen):
    """Inputs, heads and the sizes a model accepts.

    The module is called with the inputs as positional tensors `(N, C, H, W)` in the order of `inputs` and
    returns a dict from head name to tensor `(N, C, H, W)`. A `margin` that is given here is that of every head which
    has none of its own.
    """

    system: str
    """Name in the registry (`urec`), or any name for a model of one's own."""
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    heads: tuple[HeadSpec, ...] = Field(min_length=1)
    divisor: int = Field(default=1, gt=0)
    """Window height and width, in reference pixels, must be multiples of this."""
    gsd_m: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """GSD in metres of the reference input that the model was trained at; None if that is not known. A scene more than
    1.5 times finer or coarser is refused unless told otherwise."""
    reference: str = ""
    """The input that defines the reference grid; the first one of scale 1 unless said."""

    @model_validator(mode="before")
    @classmethod
    def _margin_of_heads(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "margin" not in data:
            return data
        margin = data["margin"] or None  # older cards have 0 of models that nobody measured
        heads = [HeadSpec.model_validate(head) for head in data.get("heads", ())]
        filled = [h if h.margin is not None else h.model_copy(update={"margin": margin}) for h in heads]
        if margin is not None:
            HeadSpec.model_validate(filled[0].model_dump())  # refuse what is no margin
        return {**{key: value for key, value in data.items() if key != "margin"}, "heads": filled}

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
            if head.like and head.like not in {i.name for i in self.inputs}:
                raise ValueError(f"head {head.name!r} is like {head.like!r}, which is no input")
        if not any(head.product for head in self.heads):
            raise ValueError("no head is a product: at least one must be")
        return self

    @property
    def grid_step(self) -> int:
        """Reference pixels whose multiples are whole pixels on every grid."""
        scales = [i.scale for i in self.inputs] + [h.scale for h in self.heads]
        return lcm(*(scale.denominator for scale in scales))

    @property
    def step(self) -> int:
        """Reference pixels at whose multiples windows begin alike: for poolings, and on every grid."""
        return lcm(self.divisor, self.grid_step)

    def input(self, name: str) -> InputSpec:
        """Return the input called `name`."""
        return next(i for i in self.inputs if i.name == name)

    def head(self, name: str) -> HeadSpec:
        """Return the head called `name`."""
        return next(h for h in self.heads if h.name == name)
