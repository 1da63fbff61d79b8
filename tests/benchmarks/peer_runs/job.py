"""What every side is asked to do, and what peers have in common: pixels in, network values, GeoTIFFs out."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsmtl.engine.device import make_exact
from rsmtl.models.checkpoint import load_model

MODEL = "urec-landscape"
WINDOW, OVERLAP, BATCH = 512, 64, 1
"""Of equal work. Windows of several peers are this large in their defaults too: most have none of their own."""


@dataclass(frozen=True)
class Job:
    """A scene to run a model over, from the file to both heads' maps on the disk."""

    scene: str
    """GeoTIFF."""
    folder: str
    """For the maps."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """The scene's radiometry, per band. It is given to the peers, which saves them a look at the scene."""
    n_threads: int
    """Of a peer's process; worker processes of rsmtl."""
    is_equal: bool
    """Equal work: window, overlap and batch as above, channels last, ramps; or else each side's own defaults."""
    device: Literal["cpu", "cuda"] = "cpu"
    model: str = MODEL
    """Of three bands, six classes and a reconstruction."""
    window: int = WINDOW
    overlap: int = OVERLAP
    """Of equal work."""

    def to_json(self) -> str:
        """Return it as an argument of a process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """Undo `to_json`."""
        return cls(**json.loads(text))

    @property
    def layout(self) -> torch.memory_format:
        """Of weights and of what a peer gives the module."""
        return torch.channels_last if self.is_equal else torch.contiguous_format

    @property
    def ends(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Low and span, `(bands, 1, 1)`."""
        low, high = (np.array(numbers)[:, None, None] for numbers in (self.low, self.high))
        return low.astype(np.float32), (high - low).astype(np.float32)


@dataclass(frozen=True)
class Took:
    """What a side took for the job."""

    stored_s: float
    """From the file to both maps on the disk."""
    wall_s: float
    """To all that the side leaves. rsmtl makes COGs with overviews, a quicklook and a STAC item of its store."""
    cpu_s: float
    """Of all its processes."""
    peak_bytes: int
    """Of all its processes."""


class Network(nn.Module):
    """The module in the job's layout, warmed up: `(N, 3, H, W)` network values to a dict of heads, logits not softmax.

    Peers blend logits, as their users do: it is less work.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.layout, self.device = job.layout, job.device
        if job.is_equal:  # or peers would compute in TF32 on a GPU
            make_exact(job.device)
        module = load_model(job.model).module
        self.module = module.to(device=job.device, memory_format=job.layout)  # type: ignore[call-overload]
        torch.set_num_threads(job.n_threads)
        with torch.inference_mode():
            self(torch.zeros(1, 3, job.window, job.window))

    def forward(self, windows: Tensor) -> dict[str, Tensor]:
        """Run a batch."""
        answer: dict[str, Tensor] = self.module(windows.to(self.device).contiguous(memory_format=self.layout))
        return answer


def to_network(job: Job, pixels: NDArray[Any]) -> Tensor:
    """Turn stored values `(3, H, W)` into what the network sees."""
    low, span = job.ends
    return torch.from_numpy((pixels.astype(np.float32) - low) * (1 / span))


def to_classes(logits: Tensor) -> NDArray[np.uint8]:
    """Return `(H, W)` of `(6, H, W)`."""
    classes: NDArray[np.uint8] = logits.argmax(0).to(torch.uint8).cpu().numpy()
    return classes


def to_stored(job: Job, values: Tensor) -> NDArray[np.uint16]:
    """Turn network values `(3, H, W)` into stored values."""
    low, span = job.ends
    stored = (values.cpu().numpy() * span + low).round().clip(0, np.iinfo(np.uint16).max)
    return stored.astype(np.uint16)


def read(path: str | Path) -> NDArray[Any]:
    """Return a whole GeoTIFF, `(bands, H, W)`."""
    with rasterio.open(path) as file:
        pixels: NDArray[Any] = file.read()
    return pixels


def write(job: Job, classes: NDArray[np.uint8], reconstruction: NDArray[np.uint16]) -> None:
    """Write both maps with the profile of the scene's file, tiled and compressed as it is."""
    with rasterio.open(job.scene) as file:
        profile = file.profile | {"driver": "GTiff"}
    for name, bands in (("segmentation", classes[None]), ("reconstruction", reconstruction)):
        path, kind = Path(job.folder) / f"{name}.tif", {"count": len(bands), "dtype": bands.dtype}
        with rasterio.open(path, "w", **(profile | kind)) as file:
            file.write(bands)
