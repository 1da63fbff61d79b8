"""A satellite with a panchromatic and a 4:1 multispectral sensor, eleven bits each, seen through its optics."""

import numpy as np
from numpy.typing import NDArray

from rsmtl.synthetic import noise
from rsmtl.synthetic.frame import Frame
from rsmtl.synthetic.materials import REFLECTANCE
from rsmtl.synthetic.noise import F32
from rsmtl.synthetic.surface import Surface

BANDS = ("red", "green", "blue", "nir")
RATIO = 4
"""PAN pixels along the edge of an MS pixel."""
MAX_DN = 2047
PAN_RESPONSE = (0.28, 0.30, 0.14, 0.28)
"""Share of red, green, blue and near infrared in a PAN value; sums to one."""
MTF_AT_NYQUIST = 0.3
"""Of the MS sensor, over the sharp scene at its own Nyquist frequency."""
_SHARPNESS = 0.125
"""Weight of each neighbour in the optics' blur per axis: 0.5 of the contrast is left at the PAN's Nyquist."""
_GAIN = (4400.0, 4500.0, 4600.0, 2700.0)
"""DN per unit of reflectance."""
_PATH_DN = (60.0, 75.0, 100.0, 40.0)
"""What the air scatters into each band."""
_SKY = (0.30, 0.34, 0.42, 0.24)
"""Light in a shadow over light in the sun: skylight is blue."""
_NOISE = {"pan": (3.0, 0.012), "ms": (1.6, 0.006)}
"""Standard deviation: `sqrt(a² + (b · DN)²)`."""


def _gaussian_taps() -> tuple[tuple[int, float], ...]:
    """Return offset and weight of each PAN pixel that an MS pixel sees along one axis, from its first own pixel.

    The Gaussian whose transfer function is `MTF_AT_NYQUIST` at 1 / (2 · RATIO) cycles per PAN pixel, centred on the
    middle of the MS pixel; sixteen taps reach 3.8 standard deviations.
    """
    variance = -2 * float(np.log(MTF_AT_NYQUIST)) * (2 * RATIO) ** 2 / (2 * np.pi) ** 2
    offsets = range(-6, RATIO + 6)
    weights = [float(np.exp(-((offset - (RATIO - 1) / 2) ** 2) / (2 * variance))) for offset in offsets]
    # Rounded, so that the last bit of some machine's `exp` is nobody's concern.
    return tuple((o, round(w / sum(weights), 9)) for o, w in zip(offsets, weights, strict=True))


TAPS = _gaussian_taps()
MS_MARGIN = 6
"""PAN pixels beyond its own edge that an MS pixel sees."""
OPTICS_MARGIN = 1


def sharp(ground: Surface, veil: tuple[F32, F32] | None = None) -> F32:
    """Return `(4, H − 2, W − 2)` float32 DN of red, green, blue, nir at the PAN's GSD, behind the optics.

    Parameters
    ----------
    ground
        The surface, one pixel larger on every side than the result.
    veil
        Opacity of the clouds and light under them, each `(H, W)` in 0 to 1; None for a clear sky.
    """
    lit, brightness = ground.lit, ground.brightness
    planes = np.empty((len(BANDS), lit.shape[0] - 2, lit.shape[1] - 2), np.float32)
    if veil is not None:
        lit = lit * veil[1]
    for band in range(len(BANDS)):
        sky = np.float32(_SKY[band])
        light = (lit * (np.float32(1) - sky) + sky) * brightness
        dn = (REFLECTANCE[band] * np.float32(_GAIN[band]))[ground.material] * light
        if veil is not None:
            dn += (np.float32(0.40 * _GAIN[band]) - dn) * veil[0]
        planes[band] = _blur(dn) + np.float32(_PATH_DN[band])
    return planes


def hrms(planes: F32) -> NDArray[np.uint16]:
    """Return `(3, H, W)` uint16 red, green, blue: what a noiseless sensor would see at the PAN's GSD."""
    return _quantise(planes[:3])


def pan(seed: int, frame: Frame, planes: F32) -> NDArray[np.uint16]:
    """Return `(1, H, W)` uint16: the bands weighted by `PAN_RESPONSE`, and noise."""
    total = planes[0] * np.float32(PAN_RESPONSE[0])
    for band in (1, 2, 3):
        total += planes[band] * np.float32(PAN_RESPONSE[band])
    return _quantise(_noisy(noise.key(seed, 90), "pan", frame, total)[None])


def ms(seed: int, frame: Frame, planes: F32) -> NDArray[np.uint16]:
    """Return `(4, h, w)` uint16 over `frame`, a frame of MS pixels, with the MTF and the noise of the MS sensor.

    `planes` covers the same ground and `MS_MARGIN` PAN pixels more on every side.
    """
    rows = np.zeros((len(BANDS), frame.height, planes.shape[2]), np.float32)
    for offset, weight in TAPS:
        first = MS_MARGIN + offset
        rows += planes[:, first : first + RATIO * frame.height : RATIO] * np.float32(weight)
    both = np.zeros((len(BANDS), *frame.shape), np.float32)
    for offset, weight in TAPS:
        first = MS_MARGIN + offset
        both += rows[:, :, first : first + RATIO * frame.width : RATIO] * np.float32(weight)
    bands = [_noisy(noise.key(seed, 91, band), "ms", frame, both[band]) for band in range(len(BANDS))]
    return _quantise(np.stack(bands))


def _blur(plane: F32) -> F32:
    side, middle = np.float32(_SHARPNESS), np.float32(1 - 2 * _SHARPNESS)
    plane = plane[1:-1] * middle + (plane[:-2] + plane[2:]) * side
    return plane[:, 1:-1] * middle + (plane[:, :-2] + plane[:, 2:]) * side


def _noisy(key: int, sensor: str, frame: Frame, dn: F32) -> F32:
    floor, share = _NOISE[sensor]
    spread: F32 = np.sqrt(np.float32(floor * floor) + (dn * np.float32(share)) ** 2)
    return dn + spread * noise.normal(key, frame.rows[:, None], frame.columns[None, :])


def _quantise(dn: F32) -> NDArray[np.uint16]:
    """Round to 1..2047; 0 is left to nodata."""
    return np.clip(np.rint(dn), 1, MAX_DN).astype(np.uint16)
