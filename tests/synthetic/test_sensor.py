import numpy as np
import pytest

from rsmtl.synthetic import Landscape, sensor


@pytest.fixture(scope="module")
def rendered():
    return Landscape(seed=21, height_px=512, width_px=480, origin_px=(400, 1200)).render(
        slice(None), slice(None)
    )


def test_the_ms_kernel_is_centred_and_has_the_mtf_it_says():
    offsets, weights = map(np.array, zip(*sensor.TAPS, strict=True))
    from_middle = offsets - (sensor.RATIO - 1) / 2
    assert np.isclose(weights.sum(), 1, atol=1e-7)
    assert np.isclose((weights * from_middle).sum(), 0, atol=1e-7)
    frequency = 1 / (2 * sensor.RATIO)  # Nyquist of the MS grid, in cycles per PAN pixel
    response = (weights * np.cos(2 * np.pi * frequency * from_middle)).sum()
    assert np.isclose(response, sensor.MTF_AT_NYQUIST, atol=2e-3)


def test_ms_is_the_hrms_through_that_kernel(rendered):
    hrms = rendered.hrms.astype(np.float64)
    for axis in (1, 2):
        length = hrms.shape[axis] // 4 - 4
        hrms = sum(
            weight * hrms.take(range(8 + offset, 8 + offset + 4 * length, 4), axis=axis)
            for offset, weight in sensor.TAPS
        )
    unsaturated = hrms < 1500  # beyond, rounding to 11 bits came first for one of the two
    error = (rendered.ms[:3, 2:-2, 2:-2] - hrms)[unsaturated]
    assert abs(error.mean()) < 0.1
    assert error.std() < 4.5


def test_a_shifted_ms_would_be_noticed(rendered):
    hrms = rendered.hrms.astype(np.float64)
    blocks = hrms.reshape(3, 128, 4, 120, 4).mean(axis=(2, 4))
    here = np.abs(rendered.ms[:3] - blocks).mean()
    for axis in (1, 2):
        for step in (-1, 1):
            moved = np.roll(hrms, step, axis=axis).reshape(3, 128, 4, 120, 4).mean(axis=(2, 4))
            assert np.abs(rendered.ms[:3] - moved).mean() > 1.05 * here


def test_pan_is_the_weighted_sum_of_the_bands(rendered):
    assert np.isclose(sum(sensor.PAN_RESPONSE), 1)
    visible = np.tensordot(sensor.PAN_RESPONSE[:3], rendered.hrms.astype(np.float64), axes=1)
    near_infrared = rendered.ms[3].repeat(4, axis=0).repeat(4, axis=1) * sensor.PAN_RESPONSE[3]
    water = rendered.classes == 5  # far from other surfaces the near infrared is smooth
    inner = np.lib.stride_tricks.sliding_window_view(np.pad(water, 10), (21, 21)).all(axis=(2, 3))
    assert inner.sum() > 1000
    error = (rendered.pan[0] - visible - near_infrared)[inner]
    assert abs(error.mean()) < 0.5
    assert 2 < error.std() < 5


def test_values_have_11_bits_and_spare_the_nodata(rendered):
    for image in (rendered.hrms, rendered.pan, rendered.ms):
        assert image.dtype == np.uint16
        assert image.min() >= 1
        assert image.max() <= sensor.MAX_DN
        assert np.percentile(image, 99) - np.percentile(image, 1) > 300


def test_neighbouring_bands_and_sensors_have_noise_of_their_own(rendered):
    grid = np.arange(64)[:, None], np.arange(64)[None, :]
    keys = [sensor.noise.key(21, 90), *(sensor.noise.key(21, 91, band) for band in range(4))]
    drawn = np.stack([sensor.noise.normal(key, *grid).ravel() for key in keys])
    assert np.abs(np.corrcoef(drawn) - np.eye(5)).max() < 0.06
