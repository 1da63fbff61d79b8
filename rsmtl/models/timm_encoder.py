"""Encoders of the PyTorch image models library (timm, an extra) under the contract of `FeatureEncoder`."""

from types import ModuleType

import torch
from torch import Tensor, nn

from rsmtl.errors import ModelError


class TimmEncoder(nn.Module):
    """A convolutional network of timm, as the feature maps of its stages.

    Its weights are fresh: those of a trained model come from its checkpoint, and nothing is fetched.

    Parameters
    ----------
    name
        As `timm.list_models()` knows it, such as `resnet18`.
    in_channels
        Channels of the image.

    Raises
    ------
    ModelError
        If timm is not installed or cannot be imported, has no such network, or the network does not give feature
        maps `(N, C, H, W)`.
    """

    def __init__(self, name: str, in_channels: int) -> None:
        super().__init__()
        timm = _import_timm()
        if not timm.is_model(name):
            raise ModelError(
                f"timm {timm.__version__} has no network {name!r}: timm.list_models() names them"
            )
        try:
            self.network = timm.create_model(name, pretrained=False, features_only=True, in_chans=in_channels)
        except (RuntimeError, AttributeError, AssertionError) as error:
            raise ModelError(
                f"timm gives no feature maps of {name!r} ({error}): use another network"
            ) from error
        layout = str(getattr(self.network, "output_fmt", "NCHW"))
        if "NHWC" in layout:
            raise ModelError(
                f"timm gives the feature maps of {name!r} as NHWC, not NCHW: use another network"
            )
        self.channels: tuple[int, ...] = tuple(self.network.feature_info.channels())
        self.reductions: tuple[int, ...] = tuple(self.network.feature_info.reduction())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the stages' feature maps; keeps the contract of `FeatureEncoder`."""
        return list(self.network(image))


def _import_timm() -> ModuleType:
    """Return timm, which is slow to import and needed by few."""
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            f"an encoder of timm was asked for, but timm cannot be found ({error}): pip install 'rsmtl[timm]'"
        ) from error
    except RuntimeError as error:  # what torchvision raises if its operators were built for another torch
        raise ModelError(
            f"timm cannot be imported ({error}): install the torchvision that belongs to torch {torch.__version__}"
        ) from error
    return timm
