from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import rsmtl
from rsmtl.config import Settings
from rsmtl.engine.lazy import predict
from rsmtl.errors import InputError
from rsmtl.scene.scene import Storage
from rsmtl.store.quicklook import EMPTY
from tests import fakes


@pytest.fixture(scope="module", params=[False, True], ids=["stored", "decoded"])
def heads(request: pytest.FixtureRequest) -> xr.Dataset:
    values = fakes.textured((3, 60, 90)) * 1000 + 1
    values[:, :, :20] = np.nan
    scene = fakes.make_scene(values, Storage("uint16", nodata=0))
    settings = Settings(
        window=64, overlap=16, extras=("confidence",), heads=("segmentation", "reconstruction")
    )
    return predict(scene, fakes.random_urec(), settings, decode=request.param).compute()


def drawn(head: xr.DataArray):
    return rsmtl.plot(head, ax=Figure().subplots())


def test_a_class_map_has_its_colours_and_names_on_metres(heads: xr.Dataset) -> None:
    axes = drawn(heads.segmentation)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [f"class {k}" for k in range(6)]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (
        "segmentation",
        "Easting (m)",
        "Northing (m)",
    )
    pixels = axes.images[0].get_array()
    assert (pixels[:, :20] == EMPTY).all()
    colors = heads.segmentation.attrs["flag_colors"].split()
    first = int(heads.segmentation.values[30, 50])
    assert "#{:02x}{:02x}{:02x}".format(*pixels[30, 50]) == colors[first]
    west, east, south, north = axes.images[0].get_extent()
    assert (east - west, north - south) == pytest.approx((45, 30))
    assert west == pytest.approx(float(heads.x[0]) - 0.25)
    assert north == pytest.approx(float(heads.y[0]) + 0.25)


def test_values_are_physical_and_nodata_is_left_out(heads: xr.Dataset) -> None:
    axes = drawn(heads.segmentation_confidence)
    shown = axes.images[0].get_array()
    assert np.ma.getmaskarray(np.ma.masked_invalid(shown))[:, :20].all()
    assert 0 < np.nanmin(np.ma.filled(shown, np.nan)) <= np.nanmax(np.ma.filled(shown, np.nan)) <= 1
    assert axes.figure.axes[1].get_ylabel() == "segmentation confidence"
    assert drawn(heads.reconstruction).images[0].get_array().shape == (60, 90, 3)
    assert (drawn(heads.reconstruction).images[0].get_array()[:, :20] == EMPTY).all()
    assert drawn(heads.reconstruction[0]).get_title() == "reconstruction"


def test_what_was_written_is_drawn_like_what_was_predicted(heads: xr.Dataset, tmp_path: Path) -> None:
    heads.drop_encoding().chunk().to_zarr(tmp_path / "x.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "x.zarr", consolidated=False, decode_coords="all")
    theirs, ours = (drawn(one.segmentation).images[0].get_array() for one in (again, heads))
    assert (theirs == ours).all()


@pytest.mark.parametrize("wrong", ["dataset", "line", 7])
def test_anything_else_is_refused(heads: xr.Dataset, wrong) -> None:
    given = {"dataset": heads, "line": heads.segmentation[0]}.get(wrong, wrong)
    with pytest.raises(InputError, match=r"plot draws one head .* got"):
        rsmtl.plot(given)
