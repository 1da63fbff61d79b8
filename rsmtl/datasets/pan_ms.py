"""WorldView-2 over Rotterdam (SpaceNet 6): two pairs of PAN and MS of a quarter of its resolution, without labels.

The folder holds `tile1_pan_0.5m.tif`, `tile1_ms_2m.tif` (blue, green, red, near infrared) and the same of `tile2`, 11
bits in uint16. There is no HRMS: training takes Wald's protocol, for which borders between splits are multiples of 16
pixels. PAN and MS are displaced, by up to one and a half PAN pixels as measured by correlation; that is left as it is.
"""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rsmtl.datasets.files import read_bands
from rsmtl.datasets.layout import Rectangle
from rsmtl.datasets.scene import About, Layer, SceneSource, Split
from rsmtl.errors import InputError
from rsmtl.radiometry import Radiometry

MS_BANDS = ("blue", "green", "red", "nir")
ELEVEN_BITS = Radiometry(low=(0.0,), high=(2047.0,))

_RATIO = 4
_MULTIPLE_PX = _RATIO**2
"""Degraded by the ratio, areas are still whole pixels of MS."""
_NODATA_PX = 224
"""So many rows at the top of `tile2` have no data, or would mix with it when they are degraded: they are not used."""


class PanMsData(BaseModel):
    """The two pairs in a folder.

    `tile1` is for training; of the part of `tile2` that has data, the left half is for validation, the right half for
    test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["pan_ms"] = "pan_ms"

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About(
            {"pan": ("pan",), "ms": MS_BANDS}, (), {"pan": ELEVEN_BITS, "ms": ELEVEN_BITS}, gsd_m=0.5
        )

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the two pairs.

        Raises
        ------
        InputError
            If there is none.
        """
        if not any(folder.glob("tile[12]_*.tif")):
            raise InputError(
                f"there are no pairs in {folder}: the data set has tile1_pan_0.5m.tif, tile1_ms_2m.tif and the same "
                "of tile2"
            )
        return tuple(
            SceneSource(tile, split, partial(_read, folder, tile))
            for tile, split in (("tile1", _whole), ("tile2", _halves))
        )


def _whole(height: int, width: int) -> Mapping[Split, tuple[Rectangle, ...]]:
    return {"train": ((slice(0, _floor(height)), slice(0, _floor(width))),)}


def _halves(height: int, width: int) -> Mapping[Split, tuple[Rectangle, ...]]:
    rows, middle = slice(_NODATA_PX, _floor(height)), _floor(width // 2)
    return {
        "validation": ((rows, slice(0, middle)),),
        "test": ((rows, slice(middle, _floor(width))),),
    }


def _floor(length: int) -> int:
    return length // _MULTIPLE_PX * _MULTIPLE_PX


def _read(folder: Path, tile: str) -> dict[str, Layer]:
    pan_path, ms_path = folder / f"{tile}_pan_0.5m.tif", folder / f"{tile}_ms_2m.tif"
    pan, ms = read_bands(pan_path, 1), read_bands(ms_path, len(MS_BANDS))
    if pan.shape[1:] != tuple(_RATIO * length for length in ms.shape[1:]):
        raise InputError(
            f"{pan_path} has {pan.shape[1:]} pixels, {ms_path} {ms.shape[1:]}: PAN must have {_RATIO} times as many "
            "each way"
        )
    return {"pan": Layer(pan, ELEVEN_BITS), "ms": Layer(ms, ELEVEN_BITS, Fraction(1, _RATIO))}
