"""The files of the folder `awkward` of the real imagery: what a model makes of them."""

import os
from pathlib import Path

from tests.awkward.table import Row

DATA = (
    Path(os.environ.get("RSMTL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")).resolve()
    / "awkward"
)

MODEL_BANDS = {
    "cog_dateline.tif": 1,
    "cog_int16.tif": 1,
    "cog_nonearth.tif": 1,
    "cog_scale.tif": 1,
    "image_nan.tif": 1,
}
"""Of the model that a file is given to; three for all others."""

ASSETS = {"all-nodata.tif": "1,2,3", "cog_scale.tif": "1"}
"""Bands taken of files that have more."""

SAYS = {
    "2d_test.tif": "lies on a rotated or sheared grid: resample it north up",
    "cint16.tif": "holds complex numbers: compute the amplitude",
    "cog_gcps_ovr.tif": "is located by ground control points only: put it on a grid with `gdalwarp -dstalpha`",
    "corrupt.tif": r"cannot be read at rows .* \(.*TIFFReadEncodedTile\(\) failed\): the file is damaged",
    "eighteen_bytes.tif": r"cannot be opened as a raster \(not recognized",
    "float.tif": "has no coordinate reference system: assign the right one",
    "image_colormap.tif": "holds indices into a colour table, not values",
    "rotated.tif": "has no coordinate reference system",
    "test_rpcs.tif": "is located by RPCs only: orthorectify it",
}
"""Sentences; files without one become products."""


def _row(path: Path) -> Row:
    words = [path, *(("--assets", ASSETS[path.name]) if path.name in ASSETS else ())]
    says = ": " if path.parent.name == "fuzz" else SAYS.get(path.name, "")
    return Row(path.name, lambda _: words, says, None, MODEL_BANDS.get(path.name, 3))


rows = [_row(path) for path in sorted([*DATA.glob("*.tif"), *DATA.glob("fuzz/*.tif")])]
