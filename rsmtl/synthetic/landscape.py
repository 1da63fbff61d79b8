"""Landscapes of any size: one window at a time, each the same as if the whole scene had been rendered."""

from dataclasses import dataclass
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from rsmtl.errors import InputError
from rsmtl.synthetic import sensor
from rsmtl.synthetic.clouds import veil
from rsmtl.synthetic.footprint import footprint
from rsmtl.synthetic.frame import Frame
from rsmtl.synthetic.georeference import place, transform_of
from rsmtl.synthetic.materials import CLASS_NODATA
from rsmtl.synthetic.products import PRODUCTS, Product, ProductSpec
from rsmtl.synthetic.sensor import MS_MARGIN, OPTICS_MARGIN, RATIO
from rsmtl.synthetic.surface import surface

_FINEST_M, _COARSEST_M = 0.05, 10.0
_PIECE_PX = 512
"""Larger windows are rendered in pieces of this edge, whose arrays stay in the processor's cache."""


@dataclass(frozen=True)
class Rendered:
    """A window of a landscape. DN are 11 bits, 1 to 2047; 0 is nodata."""

    classes: NDArray[np.uint8]
    """`(H, W)` uint8 numbers of `CLASSES`, `CLASS_NODATA` where not valid; clouds hide nothing here."""
    hrms: NDArray[np.uint16]
    """`(3, H, W)` uint16 red, green, blue at the PAN's GSD, free of noise."""
    pan: NDArray[np.uint16]
    """`(1, H, W)` uint16."""
    ms: NDArray[np.uint16]
    """`(4, h, w)` uint16 red, green, blue, near infrared of the MS pixels that the window touches."""
    valid: NDArray[np.bool_]
    """`(H, W)` bool."""

    def image(self, product: Product) -> NDArray[np.uint16] | NDArray[np.uint8]:
        """Return a product's pixels as `(bands, H, W)`."""
        if product == "classes":
            return self.classes[None]
        return {"hrms": self.hrms, "pan": self.pan, "ms": self.ms}[product]


@dataclass(frozen=True)
class Landscape:
    """A scene of a world without end: the world is `seed`, the scene a rectangle of it.

    Rendering a window gives bit for bit what the same pixels of the whole scene are, whatever the window.
    """

    seed: int
    """Names the world; any whole number, of which the low 64 bits count."""
    height_px: int
    """Of PAN and HRMS."""
    width_px: int
    gsd_m: float = 0.5
    """Of PAN and HRMS; MS pixels are four times as wide."""
    collar: bool = False
    """Cut the scene to a slanted strip with nodata around, as satellites deliver them."""
    clouds: bool = False
    origin_px: tuple[int, int] = (0, 0)
    """Row and column of the scene's first pixel in the world; multiples of 4."""

    def __post_init__(self) -> None:
        if self.height_px < 1 or self.width_px < 1:
            raise InputError(
                f"a landscape needs at least 1 × 1 pixels, but {self.height_px} × {self.width_px} were asked for: "
                "give a larger size"
            )
        if self.origin_px[0] % RATIO or self.origin_px[1] % RATIO:
            raise InputError(
                f"a landscape's origin must lie on its MS grid, at multiples of {RATIO} pixels, but it is "
                f"{self.origin_px}: move it"
            )
        if not _FINEST_M <= self.gsd_m <= _COARSEST_M:
            raise InputError(
                f"a landscape's GSD must lie between {_FINEST_M} and {_COARSEST_M} m, but it is {self.gsd_m} m: "
                "its houses and crowns are drawn for that range, choose within it"
            )

    def shape(self, product: Product) -> tuple[int, int]:
        """Return height and width of a product in its own pixels; an incomplete last MS pixel counts."""
        ratio = _spec(product).ratio
        return -(-self.height_px // ratio), -(-self.width_px // ratio)

    def transform(self, product: Product) -> Affine:
        """Return the map from a product's pixels to metres in EPSG:32632."""
        return transform_of(self.origin_px, self.gsd_m, _spec(product))

    def render(self, y: slice, x: slice) -> Rendered:
        """Render a window.

        Parameters
        ----------
        y, x
            Rows and columns of PAN pixels within the scene, without a step; `slice(None)` is all. MS comes for the
            MS pixels that the window touches: rows `y.start // 4` to `ceil(y.stop / 4)`.

        Raises
        ------
        InputError
            If the window is empty or reaches beyond the scene.
        """
        y, x = _within(y, self.height_px, "y"), _within(x, self.width_px, "x")
        rows, columns = _covering(y), _covering(x)
        whole = _empty(len(rows) * RATIO, len(columns) * RATIO)
        step = _PIECE_PX // RATIO
        for top in range(0, len(rows), step):
            for left in range(0, len(columns), step):
                piece = self._piece(rows[top : top + step], columns[left : left + step])
                _paste(piece, whole, top, left)
        cut = tuple(
            slice(s.start - r.start * RATIO, s.stop - r.start * RATIO) for s, r in ((y, rows), (x, columns))
        )
        return Rendered(
            classes=whole.classes[cut],
            hrms=whole.hrms[:, *cut],
            pan=whole.pan[:, *cut],
            ms=whole.ms,
            valid=whole.valid[cut],
        )

    def to_xarray(self, product: Product, chunk_px: int = 1024) -> xr.DataArray:
        """Return a product of the whole scene, rendered when and where it is read.

        Parameters
        ----------
        product
            `"hrms"`, `"pan"`, `"ms"` or `"classes"`.
        chunk_px
            Edge of a Dask chunk in PAN pixels, a multiple of 4.

        Returns
        -------
        xr.DataArray
            `(band, y, x)`, Dask-backed, with CRS, transform and nodata as rioxarray writes them, and the bands'
            names in the attribute `long_name`.
        """
        spec = _spec(product)
        if chunk_px < RATIO or chunk_px % RATIO:
            raise InputError(
                f"a chunk's edge must be a positive multiple of {RATIO} pixels, but it is {chunk_px}: round it up"
            )
        height, width = self.shape(product)
        edge = chunk_px // spec.ratio
        pixels = dask.array.map_blocks(
            _render_chunk,
            chunks=((len(spec.bands),), _edges(height, edge), _edges(width, edge)),
            dtype=spec.dtype,
            meta=np.empty((0, 0, 0), spec.dtype),
            landscape=self,
            product=product,
        )
        return place(pixels, spec, self.transform(product)).rename(product)

    def _piece(self, rows: range, columns: range) -> Rendered:
        """Render whole MS pixels of the scene, counted in MS pixels."""
        origin_y, origin_x = (origin // RATIO for origin in self.origin_px)
        coarse = Frame(
            origin_y + rows.start, origin_x + columns.start, len(rows), len(columns), self.gsd_m * RATIO
        )
        fine = coarse.refine(RATIO)
        blurred = fine.grow(MS_MARGIN)
        ground = surface(self.seed, blurred.grow(OPTICS_MARGIN))
        planes = sensor.sharp(ground, veil(self.seed, blurred.grow(OPTICS_MARGIN)) if self.clouds else None)
        inside = fine.within(blurred)
        classes = ground.classes[OPTICS_MARGIN:-OPTICS_MARGIN, OPTICS_MARGIN:-OPTICS_MARGIN][inside]
        ms = sensor.ms(self.seed, coarse, planes)
        planes = planes[:, *inside]
        hrms, pan = sensor.hrms(planes), sensor.pan(self.seed, fine, planes)
        valid = self._valid(rows, columns)
        valid_fine = valid.repeat(RATIO, axis=0).repeat(RATIO, axis=1)
        return Rendered(
            classes=np.where(valid_fine, classes, np.uint8(CLASS_NODATA)),
            hrms=hrms * valid_fine,
            pan=pan * valid_fine,
            ms=ms * valid,
            valid=valid_fine,
        )

    def _valid(self, rows: range, columns: range) -> NDArray[np.bool_]:
        """Say which MS pixels lie within the collar; PAN pixels go with theirs."""
        if not self.collar:
            return np.ones((len(rows), len(columns)), np.bool_)
        return footprint(np.array(rows), np.array(columns), *self.shape("ms"))


def _spec(product: Product) -> ProductSpec:
    if product not in PRODUCTS:
        raise InputError(
            f"a landscape has the products {', '.join(PRODUCTS)}, but {product!r} was asked for: choose one of them"
        )
    return PRODUCTS[product]


def _edges(length: int, step: int) -> tuple[int, ...]:
    """Return the lengths of the chunks along an axis."""
    return tuple(min(step, length - start) for start in range(0, length, step))


def _render_chunk(
    landscape: Landscape, product: Product, block_info: dict[None, dict[str, Any]]
) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Render a chunk of a product: Dask says in `block_info` which."""
    ratio = _spec(product).ratio
    _, rows, columns = block_info[None]["array-location"]
    y = slice(rows[0] * ratio, min(rows[1] * ratio, landscape.height_px))
    x = slice(columns[0] * ratio, min(columns[1] * ratio, landscape.width_px))
    return landscape.render(y, x).image(product)


def _within(window: slice, length: int, axis: str) -> slice:
    """Return a window's slice with its ends spelled out."""
    start = 0 if window.start is None else window.start
    stop = length if window.stop is None else window.stop
    if window.step not in (None, 1) or not 0 <= start < stop <= length:
        raise InputError(
            f"a window's {axis} must be a slice with 0 ≤ start < stop ≤ {length} and no step, but it is {window}: "
            "ask for pixels of the scene"
        )
    return slice(start, stop)


def _covering(window: slice) -> range:
    """Return the MS pixels that a window of PAN pixels touches."""
    return range(window.start // RATIO, -(-window.stop // RATIO))


def _empty(height: int, width: int) -> Rendered:
    return Rendered(
        classes=np.empty((height, width), np.uint8),
        hrms=np.empty((3, height, width), np.uint16),
        pan=np.empty((1, height, width), np.uint16),
        ms=np.empty((len(sensor.BANDS), height // RATIO, width // RATIO), np.uint16),
        valid=np.empty((height, width), np.bool_),
    )


def _paste(piece: Rendered, whole: Rendered, top: int, left: int) -> None:
    """Put a piece where it belongs; `top` and `left` in MS pixels."""
    for name, ratio in (("classes", RATIO), ("hrms", RATIO), ("pan", RATIO), ("ms", 1), ("valid", RATIO)):
        source, target = getattr(piece, name), getattr(whole, name)
        height, width = source.shape[-2:]
        target[..., top * ratio : top * ratio + height, left * ratio : left * ratio + width] = source
