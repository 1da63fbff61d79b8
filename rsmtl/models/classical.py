"""Classical pansharpening: networks without learned weights, so that they run over whole scenes as any model does.

All take PAN and, on PAN's own grid, MS upsampled; both in physical values. What a method must know of the whole scene
(means, regression weights) is given when it is built and part of its state.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec


class Lmvm(nn.Module):
    """Local mean and variance matching: PAN gets the mean and the deviation that each MS band has around a pixel.

    De Béthune, Muller, Binard, "Adaptive intensity matching filters: a new tool for multi-resolution data fusion",
    1998: (PAN − mean PAN) · sd MS / sd PAN + mean MS, with moments over (2 radius + 1)² pixels; beyond the edge images
    are reflected. Where PAN is flat there is no detail, and the result is mean MS.
    """

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        """Return `hrms` `(N, C, H, W)` of PAN `(N, 1, H, W)` and MS `(N, C, H, W)`."""
        pan, ms = pan.double(), ms.double()
        mean_pan, sd_pan = local_moments(pan, self.radius)
        mean_ms, sd_ms = local_moments(ms, self.radius)
        gain = torch.where(sd_pan > 0, sd_ms / torch.where(sd_pan > 0, sd_pan, 1.0), 0.0)
        return {"hrms": ((pan - mean_pan) * gain + mean_ms).float()}


def local_moments(image: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over (2 radius + 1)² pixels around each, both `(N, C, H, W)`.

    Deviations are summed in the same order from each pixel's own mean, so that a pixel has the same bits in whatever
    window it is computed, and a flat neighbourhood a deviation of exactly zero.
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (radius,) * 4, mode="reflect")
    edge = 2 * radius + 1
    shifted = [
        padded[..., row : row + height, col : col + width] for row in range(edge) for col in range(edge)
    ]
    centre = shifted[len(shifted) // 2]
    mean = centre + sum((s - centre for s in shifted), start=torch.zeros_like(centre)) / edge**2
    variance = sum(((s - mean).square() for s in shifted), start=torch.zeros_like(centre)) / edge**2
    return mean, variance.sqrt()


class Brovey(nn.Module):
    """Brovey's transform: each band times PAN over the mean of the bands.

    Gillespie, Kahle, Walker, "Color enhancement of highly correlated images II", 1987. Where the bands add up to
    nothing they stay as they are.
    """

    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        """Return `hrms` `(N, C, H, W)` of PAN `(N, 1, H, W)` and MS `(N, C, H, W)`."""
        intensity = ms.mean(dim=1, keepdim=True)
        ratio = torch.where(intensity > 0, pan / torch.where(intensity > 0, intensity, 1.0), 1.0)
        return {"hrms": ms * ratio}


class Injection(nn.Module):
    """MS + g (PAN − α − Σ βₖ MSₖ): what PAN has and a linear intensity of the bands has not, injected band by band.

    With the right gains it is Gram-Schmidt adaptive or the Bayesian fusion; see `rsmtl.engine.classical`.
    """

    offset: Tensor
    weights: Tensor
    gains: Tensor

    def __init__(self, offset: float, weights: Sequence[float], gains: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float64))
        for name, values in (("weights", weights), ("gains", gains)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None, None])

    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        """Return `hrms` `(N, C, H, W)` of PAN `(N, 1, H, W)` and MS `(N, C, H, W)`."""
        pan, ms = pan.double(), ms.double()
        intensity = self.offset + sum(w * ms[:, k : k + 1] for k, w in enumerate(self.weights))
        return {"hrms": (ms + self.gains * (pan - intensity)).float()}


def pansharpening_spec(method: str, bands: tuple[str, ...], margin: int = 0) -> ModelSpec:
    """Declare PAN and MS, both on PAN's grid and in physical values, and HRMS in the values of MS.

    Parameters
    ----------
    bands
        Of MS.
    margin
        Reference pixels that the method looks around itself.
    """
    return ModelSpec(
        system=method,
        inputs=(
            InputSpec(name="pan", channels=1),
            InputSpec(name="ms", channels=len(bands), bands=bands),
        ),
        heads=(HeadSpec(name="hrms", channels=len(bands), kind="continuous", like="ms", margin=margin),),
    )
