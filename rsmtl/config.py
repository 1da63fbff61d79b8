"""How a scene is run: the settings every part of the engine agrees on."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of a prediction. Those that can change a bit of the product are part of its fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    window: int = Field(default=512, gt=0)
    """Edge of the square window the model sees, in reference pixels."""
    overlap: int = Field(default=64, ge=0)
    """Reference pixels that two neighbouring windows share, in total; at most half a window."""
    chunk: int | None = Field(default=None, gt=0)
    """Edge of a chunk in strides. Unless given, as many as fit the memory aimed at; for a lazy `predict` in Python
    one, so that a slice runs only its own windows."""
    batch: int = Field(default=1, gt=0)
    """Windows per forward pass; the last batch of a chunk is padded to this."""
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
    radiometry: Literal["model", "scene"] = "model"
    """`model`: as the model's spec says. `scene`: the 2nd and 98th percentile of this scene instead."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "bilinear"
    """For inputs that do not lie on the reference grid at their spec's scale."""
