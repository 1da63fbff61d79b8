"""The pieces that the systems are built of."""

from itertools import pairwise

from torch import Tensor, nn

from rsmtl.errors import ModelError


def check_multiple(image: Tensor, divisor: int, name: str = "image") -> None:
    """Refuse an input `(N, C, H, W)` whose height or width is no multiple of `divisor`.

    Raises
    ------
    ModelError
        With the size that came.
    """
    height, width = image.shape[-2:]
    if height % divisor or width % divisor:
        raise ModelError(
            f"{name!r} must have a height and a width that are multiples of {divisor}, got {height}×{width}: "
            "cut or pad it"
        )


def cbr(c_in: int, c_out: int) -> nn.Sequential:
    """Return convolution 3×3 (padded, with bias), batch normalisation, ReLU; height and width stay."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel_size=3, padding=1),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    )


def cbr_chain(*channels: int) -> nn.Sequential:
    """Return one `cbr` for each step of `channels`: `cbr_chain(3, 32, 32)` is two of them."""
    return nn.Sequential(*(cbr(c_in, c_out) for c_in, c_out in pairwise(channels)))


class Encoder(nn.Module):
    """Levels of `cbr` units with 2×2 max pooling after each.

    Parameters
    ----------
    in_channels
        Channels of the image.
    levels
        Output channels of every unit, level by level: `((32, 32), (64, 64))`.
    """

    def __init__(self, in_channels: int, levels: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        inputs = (in_channels, *(level[-1] for level in levels))
        self.levels = nn.ModuleList(cbr_chain(c, *level) for c, level in zip(inputs, levels, strict=False))
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map `(N, C, H, W)` to the bottleneck `(N, C', H/2^n, W/2^n)` of n levels, and the skips.

        A skip is a level's last feature map before pooling; finest first.
        """
        skips: list[Tensor] = []
        x = image
        for level in self.levels:
            skips.append(level(x))
            x = self.pool(skips[-1])
        return x, skips


def as_tensorflow_begins(module: nn.Module) -> None:
    """Give a fresh module the defaults of TensorFlow 1, with which some systems were published.

    Glorot-uniform kernels, zero biases; batch normalisation with ε = 10⁻³ and a momentum of 0.99 for what was there,
    which PyTorch calls 0.01.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            part.eps, part.momentum = 1e-3, 0.01


def check_pair(pan: Tensor, ms: Tensor, divisor: int, ratio: int) -> None:
    """Refuse PAN `(N, 1, H, W)` that is no multiple of `divisor`, and MS that is not `(N, C, H / ratio, W / ratio)`.

    Raises
    ------
    ModelError
        With the sizes that came.
    """
    check_multiple(pan, divisor, "pan")
    height, width = pan.shape[-2:]
    if ms.shape[-2:] != (height // ratio, width // ratio):
        raise ModelError(
            f"'ms' must be {height // ratio}×{width // ratio} pixels beside a 'pan' of {height}×{width}, which has "
            f"{ratio} times its resolution, got {ms.shape[-2]}×{ms.shape[-1]}: align it"
        )
