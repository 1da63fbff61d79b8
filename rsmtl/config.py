"""How a scene is run: the settings every part of the engine agrees on."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of a prediction. Those that can change a bit of the product are part of its fingerprint.

    Sizes that are None are chosen by `plan`: `RunSettings` are those of a run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    window: int | None = Field(default=None, gt=0)
    """Edge of the square window the model sees, in reference pixels. Chosen unless given: 512, more where the
    margin then costs less work, less where the scene is smaller or a forward pass would take very much memory."""
    overlap: int | None = Field(default=None, ge=0)
    """Reference pixels that two neighbouring windows share, in total; at most half a window. Chosen unless given: an
    eighth of a window, and twice the margin."""
    margin: int | None = Field(default=None, ge=0)
    """Reference pixels at a window's edge whose outputs do not count, because the model sees padding there. Chosen
    unless given: what was measured of the model, as far as it costs no more than 1.5 times the work of no margin."""
    fidelity: Literal["standard", "high"] = "standard"
    """`standard`: see margin. `high`: the whole margin whatever it costs, and windows that blend over a quarter of
    their size, so that their differences cancel out further; up to four times the work of no overlap."""
    exact: bool = False
    """The result equals one pass over the whole scene, to rounding: the margin is the model's receptive field. Refused
    for a model whose outputs depend on the position within a window, as U-REC's do."""
    chunk: int | None = Field(default=None, gt=0)
    """Edge of a chunk in strides. Chosen unless given: as many as fit the memory aimed at; for a lazy `predict` in
    Python one, so that a slice runs only its own windows."""
    batch: int | None = Field(default=None, gt=0)
    """Windows per forward pass; the last batch of a chunk is padded to this. Chosen unless given: one on the CPU, on a
    GPU as many as a short probe finds worth while."""
    blend: Literal["linear", "cosine"] = "linear"
    """Shape of the ramp over the overlap."""
    tta: Literal["none", "rotations", "dihedral"] = "none"
    """Test-time augmentation: average each window's activated outputs over its four rotations, or over all eight
    symmetries of the square (dihedral), before blending. Costs as many forward passes."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the forward pass. Blending is exact in either."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the forward pass, the blending and the finalising happen."""
    torch_threads: int = Field(default=1, gt=0)
    """Threads of one forward pass on the CPU."""
    extras: tuple[Literal["confidence", "probabilities"], ...] = ()
    """What to store of a segmentation head besides its classes, as uint8."""
    heads: tuple[str, ...] = ()
    """Outputs of the model to store, by name. Unless given, those that its card calls products."""
    radiometry: Literal["model", "scene"] = "model"
    """`model`: as the model's spec says. `scene`: the 2nd and 98th percentile of this scene instead."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """For inputs that do not lie on the reference grid at their spec's scale."""


class RunSettings(Settings):
    """Settings of which none is left open."""

    window: int = Field(gt=0)
    overlap: int = Field(ge=0)
    margin: int = Field(ge=0)
    chunk: int = Field(gt=0)
    batch: int = Field(gt=0)
