"""Rasters that GDAL reads: GeoTIFF, COG, JPEG 2000, VRT and the like, on the disk or behind a URL."""

import stat
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from rsmtl.errors import RsmtlError, RunError, SceneError
from rsmtl.gdal import gdal_name, gdal_options, is_remote
from rsmtl.scene.blocks import check_blocks
from rsmtl.scene.grid import checked_grid, north_up
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.limits import check_bands
from rsmtl.scene.listed import listed
from rsmtl.scene.physical import check_scaling, to_physical
from rsmtl.scene.reason import CREDENTIALS, reason
from rsmtl.scene.scene import SceneInput, Storage
from rsmtl.scene.sources import local_path, raster_sources, refusal
from rsmtl.scene.trust import drivers, refused_format
from rsmtl.scene.virtual import check_sources


@dataclass(frozen=True)
class Declared:
    """What a STAC item says about a band; it outranks what the file says, None leaves it to the file."""

    name: str | None = None
    """What it is called by where several have names in common; else the common name."""
    names: tuple[str, ...] = ()
    """All that it is called by."""
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True)
class RasterReader:
    """Reads regions of a raster. Every thread has a file handle of its own, as GDAL demands."""

    href: str
    size: tuple[int, int]
    """`(H, W)`."""
    bands: tuple[int, ...]
    """The file's band numbers, from 1 on."""
    dtype: str
    nodata: tuple[float | None, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    masks: tuple[int, ...] = ()
    """Bands whose GDAL mask is read: one for a mask of all bands, else all, or none."""
    alpha: int | None = None
    together: bool = False
    """Whether a pixel is nodata only where all bands have their sentinels: 0 of black is a value of a colour's."""
    _handles: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        values = (self.href, self.size, self.bands, self.dtype, self.nodata, self.scale, self.offset)
        return RasterReader, (*values, self.masks, self.alpha, self.together)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(bands, H, W)`."""
        return (len(self.bands), *self.size)

    def read(self, y: slice, x: slice) -> NDArray[np.float32]:
        """Return `(bands, h, w)` float32 physical values, NaN where invalid.

        Raises
        ------
        RunError
            If the file cannot be read there.
        """
        window = Window.from_slices(y, x)
        try:
            with rasterio.Env(**gdal_options(self.href)):
                dataset = self._dataset()
                stored = dataset.read(list(self.bands), window=window, out_dtype=self.dtype)
                valid = [dataset.read_masks(list(self.masks), window=window)] if self.masks else []
                if self.alpha is not None:
                    valid.append(dataset.read([self.alpha], window=window))
        except MemoryError:
            raise
        except Exception as error:  # rasterio lets exceptions of GDAL's through that share no base class
            if is_remote(self.href) and (why := refusal(self.href)):
                raise RunError(f"'{self.href}' may not be read ({why}): {CREDENTIALS}") from error
            raise RunError(
                f"'{self.href}' cannot be read at rows {y.start} to {y.stop}, columns {x.start} to {x.stop} "
                f"({reason(error)}): the file is damaged or its server does not answer"
            ) from error
        values = to_physical(stored, self.nodata, self.scale, self.offset, together=self.together)
        for mask in valid:
            np.putmask(values, np.broadcast_to(mask == 0, values.shape), np.float32(np.nan))
        return values

    def _dataset(self) -> DatasetReader:
        if not hasattr(self._handles, "dataset"):
            self._handles.dataset = _open(self.href)
        return self._handles.dataset


def open_raster(
    name: str,
    href: str,
    bands: Sequence[str] | None = None,
    declared: Sequence[Declared] = (),
    *,
    indices: bool = False,
    offset: float | None = None,
    allow_no_crs: bool = False,
) -> SceneInput:
    """Open a raster as an input of a scene; no pixel is read.

    Its `data` has the attributes `datetime` (of the TIFF tag) and `n_file_bands` (alpha counts too).

    Parameters
    ----------
    bands
        Names (descriptions, colours) or numbers from 1 on of the bands wanted, in order. None takes all but alpha.
    declared
        One entry per band of the file, with or without alpha.
    indices
        Take indices into a colour table as they are: they are labels. Refused otherwise.
    offset
        What is added to scaled values, whatever file and item say. None leaves it to them.
    allow_no_crs
        Take a file without a CRS, too.

    Raises
    ------
    SceneError
        If the file is missing, is no raster, holds complex numbers or colour-table indices, has no such band,
        does not lie on a grid that can be taken, or has other bands than declared.
    RunError
        If its server lets nobody read it without leave.
    """
    _check_there(href)
    try:
        with rasterio.Env(**gdal_options(href)), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused below, with the remedy
            with _open(href) as dataset:
                _check_values(f"'{href}'", dataset, indices)
                check_blocks(f"'{href}'", href, dataset)
                check_sources(f"'{href}'", href, dataset)
                return _describe(name, href, dataset, bands, declared, offset, allow_no_crs)
    except RsmtlError:  # a server of one of its files may only be away
        raise
    except Exception as error:  # rasterio lets exceptions of GDAL's through that share no base class
        if is_remote(href) and (why := refusal(href)):  # signed again, it may be read in a moment
            raise RunError(f"'{href}' may not be read ({why}): {CREDENTIALS}") from error
        raise SceneError(
            f"'{href}' cannot be opened as a raster ({reason(error)}): give a GeoTIFF, a COG or another "
            f"undamaged file that GDAL reads{refused_format(href)}"
        ) from error


def _open(href: str) -> DatasetReader:
    """Open a file; `rasterio.open` takes no list of drivers."""
    return DatasetReader(gdal_name(href), driver=drivers(href), sharing=False)


def _check_there(href: str) -> None:
    """Refuse what is no file: GDAL would say less, or wait for what never comes."""
    if _is_stream(href):
        raise SceneError(f"'{href}' is no regular file: give a raster that stands on a disk or a server")
    if is_remote(href) or href.startswith("/vsi"):
        return
    try:
        href.encode()
        mode = local_path(href).stat().st_mode if href else 0
    except UnicodeEncodeError as error:
        raise SceneError(f"'{href}' has a name that is no text in UTF-8: rename it") from error
    except (OSError, ValueError):  # a name that is too long, a link to itself, a NUL
        mode = 0
    if stat.S_ISDIR(mode):
        for name in ("catalog.json", "collection.json"):
            if (local_path(href) / name).is_file():
                raise SceneError(
                    f"'{href}' is a folder: give '{local_path(href) / name}', the catalogue in it"
                )
        raise SceneError(f"'{href}' is a folder: name the rasters in it one by one, or give a Zarr store")
    if not mode:
        raise SceneError(
            f"'{href}' does not exist: give the path of a raster, a Zarr store or a STAC JSON file"
        )
    if not stat.S_ISREG(mode):
        raise SceneError(f"'{href}' is no regular file: give a raster that stands on a disk or a server")


def _is_stream(href: str) -> bool:
    """Whether GDAL would read this process's standard input."""
    return "/vsistdin" in href


def _describe(
    name: str,
    href: str,
    dataset: DatasetReader,
    wanted: Sequence[str] | None,
    declared: Sequence[Declared],
    offset: float | None,
    allow_no_crs: bool,
) -> SceneInput:
    what = f"'{href}'"
    geobox = _grid(what, dataset, allow_no_crs)
    alpha = _alpha(what, dataset, wanted, declared)
    known = _by_band(what, dataset, declared, alpha)
    if offset is not None:
        known = {k: replace(d, offset=offset) for k, d in known.items()}
    bands = _choose(what, wanted, known, alpha)
    names = tuple(str(known[k].name) for k in bands)
    reader = _reader(href, dataset, bands, known, alpha)
    data, geobox = north_up(lazy_bands(reader, names), geobox)
    return SceneInput(
        name=name,
        data=data.assign_attrs(
            datetime=dataset.tags().get("TIFFTAG_DATETIME", ""), n_file_bands=dataset.count
        ),
        geobox=geobox,
        storage=_storage(reader),
        bands=names,
        sources=raster_sources(href, dataset.files),
        palette=_palette(dataset),
    )


def _palette(dataset: DatasetReader) -> dict[int, tuple[int, int, int]]:
    """Return the colours of the colour table, by index; none where there is no table."""
    if dataset.count != 1 or ColorInterp.palette not in dataset.colorinterp:
        return {}
    return {index: color[:3] for index, color in dataset.colormap(1).items()}


def _storage(reader: RasterReader) -> Storage:
    sentinels = set(reader.nodata)
    real = np.dtype(reader.dtype).kind == "f"
    return Storage(
        dtype=reader.dtype,
        nodata=reader.nodata[0] if len(sentinels) == 1 else None,
        scale=one_or_all(reader.scale),
        offset=one_or_all(reader.offset),
        masked=real or bool(reader.masks) or reader.alpha is not None or len(sentinels) > 1,
    )


def _check_values(what: str, dataset: DatasetReader, indices: bool) -> None:
    if dataset.count == 0:
        raise SceneError(
            f"{what} holds no bands of its own: name one of its subdatasets instead ({listed(dataset.subdatasets)})"
        )
    check_bands(what, dataset.count)
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise SceneError(
            f"{what} holds complex numbers: compute the amplitude, or another real quantity, first"
        )
    if ColorInterp.palette in dataset.colorinterp and not indices:
        raise SceneError(
            f"{what} holds indices into a colour table, not values: turn them into red, green and blue with "
            "`gdal_translate -expand rgba`, whose fourth band keeps what is nodata"
        )


def _grid(what: str, dataset: DatasetReader, allow_no_crs: bool) -> GeoBox:
    if dataset.transform.is_identity and dataset.gcps[0]:
        raise SceneError(
            f"{what} is located by ground control points only: put it on a grid with `gdalwarp -dstalpha` first"
        )
    if dataset.transform.is_identity and dataset.rpcs:
        raise SceneError(
            f"{what} is located by RPCs only: orthorectify it with `gdalwarp -rpc -dstalpha` first"
        )
    return checked_grid(what, dataset.crs, dataset.transform, dataset.shape, allow_no_crs)


def _by_band(
    what: str, dataset: DatasetReader, declared: Sequence[Declared], alpha: int | None
) -> dict[int, Declared]:
    """Match what is declared to the file's bands, by number, and name them all."""
    said = dict.fromkeys(dataset.indexes, Declared())
    valued = [k for k in said if k != alpha]
    if len(declared) in (len(said), len(valued)):
        said |= zip(said if len(declared) == len(said) else valued, declared, strict=True)
    elif any(d.nodata is not None or d.scale is not None or d.offset is not None for d in declared):
        raise SceneError(
            f"{what} holds {dataset.count} bands but its STAC item gives nodata, scale or offset of "
            f"{len(declared)}: correct the item"
        )
    return {k: replace(d, name=d.name or _band_name(dataset, k)) for k, d in said.items()}


def _choose(
    what: str, wanted: Sequence[str] | None, known: Mapping[int, Declared], alpha: int | None
) -> tuple[int, ...]:
    """Return the numbers of the bands to read, in the order wanted."""
    valued = {k: str(d.name) for k, d in known.items() if k != alpha}
    if wanted is None:
        if not valued:
            raise SceneError(f"{what} holds nothing but an alpha band: give a raster with values")
        return tuple(valued)
    called = {k: {valued[k].lower(), *map(str.lower, known[k].names)} for k in valued}
    by_name = {name: k for k, names in reversed(called.items()) for name in names} | {
        str(k): k for k in known
    }
    for name in wanted:
        of = [k for k, names in called.items() if name.lower() in names]
        if len(of) > 1 and not (name.isdigit() and int(name) in known):
            raise SceneError(
                f"{what} has {len(of)} bands called {name!r}: name the one that is meant by its number or a name of "
                f"its own ({listed(f'{k} ({valued[k]})' for k in of)})"
            )
    missing = [n for n in wanted if n.lower() not in by_name]
    if missing:
        offered = listed(str(k) if n == str(k) else f"{k} ({n})" for k, n in valued.items())
        raise SceneError(f"{what} has no band {listed(missing)}: it has {offered}")
    return tuple(by_name[n.lower()] for n in wanted)


def _alpha(
    what: str, dataset: DatasetReader, wanted: Sequence[str] | None, declared: Sequence[Declared]
) -> int | None:
    """Return the number of the band that is a mask; None if there is none, or it is a band by all that is said of it.

    Many files of red, green, blue and near infrared call the fourth alpha, as GDAL does unless it is told otherwise.
    So an item that gives it another name outranks that, and a band whose values are those of an image is no mask.
    """
    alpha = next((k for k, c in enumerate(dataset.colorinterp, start=1) if c is ColorInterp.alpha), None)
    if alpha is None:
        return None
    if len(declared) == dataset.count and (name := declared[alpha - 1].name):
        return alpha if name.lower() in ("alpha", "mask", "opacity", "dataset_mask") else None
    if dataset.count == 1 or not _is_image(dataset, alpha):
        return alpha
    if wanted is None:
        raise SceneError(
            f"{what} calls band {alpha} alpha, but it has the values of an image: say which bands to take with "
            f"`--assets`, as in {','.join(str(k) for k in dataset.indexes if k != alpha)} or "
            f"{','.join(map(str, dataset.indexes))}, by which none is a mask"
        )
    return None


def _is_image(dataset: DatasetReader, alpha: int) -> bool:
    """Whether an alpha band has many values between none and all in a sample: masks have few, at their edges."""
    top = np.iinfo(dataset.dtypes[alpha - 1]).max if np.dtype(dataset.dtypes[alpha - 1]).kind in "iu" else 1
    height, width = dataset.shape
    rows, cols = (sorted({int(size * part) for part in (0, 0.25, 0.5, 0.75)}) for size in (height, width))
    blocks = [
        dataset.read(
            alpha, window=Window(x, y, min(_ALPHA_PX, width - x), min(_ALPHA_PX, height - y))
        ).ravel()
        for y in rows
        for x in cols
    ]
    sample = np.concatenate(blocks)
    between = sample[(sample > 0) & (sample < top)]
    return between.size > 0.25 * sample.size and np.unique(between).size >= 16


_ALPHA_PX = 64
"""Edge of the blocks by which an alpha band is judged."""


def _band_name(dataset: DatasetReader, band: int) -> str:
    color = dataset.colorinterp[band - 1]
    shown = color.name if color in (ColorInterp.red, ColorInterp.green, ColorInterp.blue) else str(band)
    return dataset.descriptions[band - 1] or shown


def _reader(
    href: str,
    dataset: DatasetReader,
    bands: tuple[int, ...],
    known: Mapping[int, Declared],
    alpha: int | None,
) -> RasterReader:
    masks = _masks(dataset, bands)
    scale = tuple(_said(known[k].scale, dataset.scales[k - 1], 1.0) for k in bands)
    offset = tuple(_said(known[k].offset, dataset.offsets[k - 1], 0.0) for k in bands)
    check_scaling(f"'{href}'", scale, offset)
    return RasterReader(
        href=href,
        size=dataset.shape,
        bands=bands,
        dtype=np.result_type(*(dataset.dtypes[k - 1] for k in bands)).name,
        nodata=tuple(
            (None if masks else dataset.nodatavals[k - 1]) if known[k].nodata is None else known[k].nodata
            for k in bands
        ),
        scale=scale,
        offset=offset,
        masks=masks,
        alpha=None
        if alpha in bands
        else alpha,  # asked for by number: it is none, whatever the file calls it
        together={dataset.colorinterp[k - 1] for k in bands} >= _COLORS,
    )


_COLORS = {ColorInterp.red, ColorInterp.green, ColorInterp.blue}


def _said(declared: float | None, of_file: float | None, default: float) -> float:
    """Return the first number that is there."""
    return next((number for number in (declared, of_file) if number is not None), default)


def _masks(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bands whose GDAL mask says more than sentinel and alpha do; as in GDAL, it outranks the sentinel."""
    flags = [dataset.mask_flag_enums[k - 1] for k in bands]
    plain = {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha}
    if all(plain.intersection(f) for f in flags):
        return ()
    return bands[:1] if all(MaskFlags.per_dataset in f for f in flags) else bands


def one_or_all(values: Sequence[float]) -> tuple[float, ...]:
    """Return one number if all are the same, else all."""
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)
