"""What a file may claim of itself before a pixel is read: what no scene needs costs memory or time without bound."""

from math import prod

from rsmtl.errors import SceneError

MAX_PX = 10**11
"""Of one band: three times the longest strips that satellites deliver."""
MAX_EDGE_PX = 10**7
MAX_BANDS = 1024
"""Hyperspectral sensors have some 450."""
MAX_BLOCK_BYTES = 256 * 2**20
"""Of a tile, strip or Zarr chunk, decoded. It is decoded whole for every region that touches it, by each thread of each
worker."""


def check_size(what: str, shape: tuple[int, int]) -> None:
    """Refuse a raster whose header claims more pixels than a scene can have.

    Raises
    ------
    SceneError
        With what it claims.
    """
    height, width = shape
    if height * width > MAX_PX or max(shape) > MAX_EDGE_PX:
        raise SceneError(
            f"{what} claims {height:,} × {width:,} pixels, at most {MAX_PX:,} in all and {MAX_EDGE_PX:,} along an edge "
            "are taken: if it is undamaged, cut it into several"
        )


def check_bands(what: str, n_bands: int) -> None:
    """Refuse a raster of more bands than a sensor has.

    Raises
    ------
    SceneError
        With their number.
    """
    if n_bands > MAX_BANDS:
        raise SceneError(
            f"{what} holds {n_bands:,} bands, at most {MAX_BANDS:,} are taken: if it is undamaged, put those wanted "
            "into a file of their own"
        )


def check_block(what: str, shape: tuple[int, ...], itemsize_bytes: int, remedy: str) -> None:
    """Refuse a raster of which no pixel can be read without decoding a large part of it.

    Parameters
    ----------
    shape
        Of what is decoded at once, all dimensions.
    remedy
        How to store it in smaller blocks.

    Raises
    ------
    SceneError
        With the size of a block.
    """
    n_bytes = prod(shape) * itemsize_bytes
    if n_bytes > MAX_BLOCK_BYTES:
        raise SceneError(
            f"{what} is stored in blocks of {n_bytes / 2**30:,.1f} GiB, at most {MAX_BLOCK_BYTES / 2**30:.2g} GiB can "
            f"be decoded at once: {remedy}"
        )
