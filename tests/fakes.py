"""Models whose answers can be worked out by hand, and scenes made in memory, for testing the engine."""

import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import rasterio
import torch
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from torch import Tensor, nn

from rsmtl.models.checkpoint import Card, save_checkpoint
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.models.urec import URecConfig, build_urec, urec_spec
from rsmtl.radiometry import Radiometry
from rsmtl.scene.scene import Scene, SceneInput, Storage

CRS = "EPSG:32632"

UREC_HEADS = ("segmentation", "reconstruction")
"""Of U-REC; the second one is no product, and is left out unless asked for."""


def make_input(
    name: str,
    values: NDArray,
    storage: Storage | None = None,
    scale: Fraction = Fraction(1),
    gsd_m: float = 0.5,
) -> SceneInput:
    """An input `(bands, H, W)` in memory; NaN is invalid."""
    geobox = GeoBox(values.shape[1:], Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), CRS)
    return SceneInput(
        name=name,
        data=xr.DataArray(values.astype(np.float32), dims=("band", "y", "x")),
        geobox=geobox,
        storage=storage or Storage("float32", masked=True),
        bands=tuple(f"b{k}" for k in range(len(values))),
        scale=scale,
    )


def make_scene(values: NDArray, storage: Storage | None = None, scene_id: str = "scene") -> Scene:
    """A scene with one input `image`."""
    return Scene(id=scene_id, inputs={"image": make_input("image", values, storage)})


def image_input(channels: int, high: float = 1.0) -> InputSpec:
    return InputSpec(name="image", channels=channels, radiometry=Radiometry(low=(0.0,), high=(high,)))


def continuous(name: str, channels: int, like: str = "image", scale: Fraction = Fraction(1)) -> HeadSpec:
    return HeadSpec(name=name, channels=channels, kind="continuous", like=like, scale=scale)


def one_input_model(
    module: nn.Module, channels: int, *heads: HeadSpec, high: float = 1.0, divisor: int = 1
) -> Model:
    spec = ModelSpec(system="fake", inputs=(image_input(channels, high),), heads=heads, divisor=divisor)
    return Model.from_module(module, spec)


class Identity(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image}


def identity(channels: int = 1, high: float = 1.0) -> Model:
    """Gives back what it gets."""
    return one_input_model(Identity(), channels, continuous("same", channels), high=high)


class Upsampler(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"sr": image.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3), "same": image}


def upsampler(channels: int = 1) -> Model:
    """Two heads at two scales: each pixel as a block of 4×4, and as itself."""
    return one_input_model(
        Upsampler(), channels, continuous("sr", channels, scale=Fraction(4)), continuous("same", channels)
    )


class PanMsMean(nn.Module):
    def forward(self, pan: Tensor, ms: Tensor) -> dict[str, Tensor]:
        fine = ms.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
        return {"hrms": (fine + pan) / 2, "coarse": nn.functional.avg_pool2d(pan, 4)}


def pan_ms_mean(bands: int = 3) -> Model:
    """Two inputs at scales 1 and 1/4; heads at both."""
    quarter = Fraction(1, 4)
    spec = ModelSpec(
        system="fake",
        inputs=(InputSpec(name="pan", channels=1), InputSpec(name="ms", channels=bands, scale=quarter)),
        heads=(continuous("hrms", bands, like="ms"), continuous("coarse", 1, like="pan", scale=quarter)),
    )
    return Model.from_module(PanMsMean(), spec)


class PositionDependent(nn.Module):
    """Adds to each pixel a number that depends on where in the window it lies."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[2:]
        bump = torch.linspace(0, 1, height)[:, None] * torch.linspace(-1, 1, width)[None]
        return {"same": image + bump.to(image)}


def position_dependent(channels: int = 1) -> Model:
    return one_input_model(PositionDependent(), channels, continuous("same", channels))


class Hanging(nn.Module):
    """Never answers, but for an image that is all zeros, as those are by which memory is measured."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if image.max() > 0:
            threading.Event().wait()
        return {"same": image}


def hanging() -> Model:
    return one_input_model(Hanging(), 1, continuous("same", 1))


class Recorder(nn.Module):
    """Leaves in a folder, for each window it saw, a file that says where its greatest value lay, and that value."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        for window in image[:, 0].numpy():
            row, col = np.unravel_index(window.argmax(), window.shape)
            if window[row, col] > 0:  # the filling of a last batch is all zeros
                (self.folder / uuid4().hex).write_text(f"{row} {col} {window[row, col]:.0f}")
        return {"same": image}


def recorder(folder: Path) -> Model:
    """For scenes made by `numbered`: which windows were run can be read off `seen`."""
    folder.mkdir(exist_ok=True)
    return one_input_model(Recorder(folder), 1, continuous("same", 1))


def numbered(height: int, width: int) -> NDArray[np.float32]:
    """A band in which every pixel holds its own number, from 1 on."""
    return np.arange(1, height * width + 1, dtype=np.float32).reshape(1, height, width)


def seen(folder: Path, width: int) -> list[tuple[int, int]]:
    """Origins (y, x) of the windows a recorder saw, sorted; a window seen twice is there twice."""
    origins = []
    for file in folder.iterdir():
        row, col, number = (int(part) for part in file.read_text().split())
        y, x = divmod(number - 1, width)
        origins.append((y - row, x - col))
    return sorted(origins)


class ClassMixer(nn.Module):
    """Six classes from one pixel alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.mix = nn.Conv2d(channels, 6, 1)
        self.mix.weight.data.normal_(0, 3, generator=generator)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"segmentation": self.mix(image)}


def class_mixer(channels: int = 3) -> Model:
    head = HeadSpec(name="segmentation", channels=6, kind="classes", activation="softmax")
    return one_input_model(ClassMixer(channels), channels, head)


def random_urec(width: int = 4, channels: int = 3, seed: int = 0, high: float = 1.0) -> Model:
    """U-REC with random weights."""
    spec, module = _random_urec(width, channels, seed, high)
    return Model.from_module(module, spec)


def random_checkpoint(path: Path, high: float = 2047.0, seed: int = 0, gsd_m: float | None = None) -> Path:
    """Save a small U-REC with random weights."""
    spec, module = _random_urec(4, 3, seed, high)
    spec = spec.model_copy(update={"gsd_m": gsd_m})
    save_checkpoint(path, module, Card(config={"in_channels": 3, "n_classes": 6, "width": 4}, spec=spec))
    return path


def _random_urec(width: int, channels: int, seed: int, high: float) -> tuple[ModelSpec, nn.Module]:
    """Random weights, with normalisation fitted to texture: an unfitted network gives one class everywhere."""
    torch.manual_seed(seed)
    config = URecConfig(in_channels=channels, n_classes=6, width=width)
    module = build_urec(config).train()
    with torch.no_grad():
        module.segmentation_head.weight *= 8
        for step in range(20):
            module(torch.from_numpy(textured((2, channels, 128, 128), seed=step)))
    spec = urec_spec(config, bands={}, classes=(), radiometry={"image": Radiometry(high=(high,))})
    return spec, module.eval()


def textured(shape: Sequence[int], seed: int = 0) -> NDArray[np.float32]:
    """Random values in [0, 1) `(…, H, W)`, coarse and fine."""
    rng = np.random.default_rng(seed)
    values = np.zeros(shape, dtype=np.float32)
    for size in (1, 8, 64):
        coarse = rng.random((*shape[:-2], *(-(-n // size) for n in shape[-2:])), dtype=np.float32)
        values += coarse.repeat(size, axis=-2).repeat(size, axis=-1)[..., : shape[-2], : shape[-1]]
    return values / 3


def ragged_nodata(height: int, width: int) -> NDArray[np.bool_]:
    """A mask of a slanted collar with a torn edge, and an island; True is invalid."""
    rng = np.random.default_rng(3)
    edge = height * 0.35 + np.arange(width) * 0.25 + rng.integers(-9, 9, width)
    invalid = np.arange(height)[:, None] < edge[None] - width * 0.15
    invalid[height * 2 // 3 : height * 2 // 3 + 40, width // 2 : width // 2 + 55] = True
    return invalid


def ragged_tiff(path: Path, height: int = 1100, width: int = 1500) -> Path:
    """Write a three-band uint16 GeoTIFF of 11 bits with a ragged nodata area."""
    values = (textured((3, height, width)) * 2046 + 1).astype(np.uint16)
    values[:, ragged_nodata(height, width)] = 0
    return write_tiff(path, values, nodata=0)


def write_tiff(path: Path, values: NDArray, nodata: float | None = None) -> Path:
    """Write a tiled GeoTIFF `(bands, H, W)` on the grid that `make_input` uses."""
    bands, height, width = values.shape
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "crs": CRS, "nodata": nodata}
    transform = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    with rasterio.open(
        path, "w", "GTiff", width, height, bands, dtype=values.dtype, transform=transform, **options
    ) as file:
        file.write(values)
    return path
