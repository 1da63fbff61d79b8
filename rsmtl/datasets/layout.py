"""Where the papers cut their images: patches in strides, and a quarter for validation."""

from itertools import product

Rectangle = tuple[slice, slice]


def strided_patches(
    height: int, width: int, patch_px: int, stride_px: int, *, clamped: bool
) -> list[tuple[int, int]]:
    """Return the origins `(y, x)` of patches at multiples of a stride, row by row.

    Parameters
    ----------
    clamped
        Whether one more patch ends at the far edge where the stride leaves a rest, so that every pixel is covered.
        U-REC's numbers of patches are those without; its authors' code has them.
    """
    rows, cols = (_starts(length, patch_px, stride_px, clamped) for length in (height, width))
    return list(product(rows, cols))


def _starts(length: int, patch_px: int, stride_px: int, clamped: bool) -> list[int]:
    starts = list(range(0, length - patch_px + 1, stride_px))
    rest = length >= patch_px and (length - patch_px) % stride_px
    return [*starts, length - patch_px] if clamped and rest else starts


def quarter_split(height: int, width: int, multiple_px: int) -> tuple[Rectangle, tuple[Rectangle, Rectangle]]:
    """Return the validation quarter of an image, top left, and the rest of it for training in two rectangles.

    Khalel et al., IGARSS 2019: of each image, one half of its height by one half of its width. A patch that lies in one
    of the three rectangles never straddles a border.

    Parameters
    ----------
    multiple_px
        The borders lie at multiples of it: 4 keeps PAN and MS of a 4:1 pair registered.
    """
    y, x = (length // 2 // multiple_px * multiple_px for length in (height, width))
    below = slice(y, height), slice(0, width)
    beside = slice(0, y), slice(x, width)
    return (slice(0, y), slice(0, x)), (below, beside)
