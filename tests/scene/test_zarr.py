import numpy as np
import pytest
import xarray as xr
import zarr

from rsmtl.errors import RunError, SceneError
from rsmtl.scene.open import open_scene, reopen
from tests.scene.rasters import CRS, grid, image


def write(path, zarr_format=3, consolidated=False, group=None, encoding=None, **variables):
    """Write variables of `(band, y, x)` or `(y, x)` on one grid, in the encoding that rioxarray uses."""
    made = xr.Dataset()
    for name, values in variables.items():
        dims = ("band", "y", "x")[-values.ndim :]
        made[name] = xr.DataArray(values, dims=dims).rio.write_crs(CRS).rio.write_transform(grid())
        made[name].encoding = {"grid_mapping": "spatial_ref", **(encoding or {})}
    made.to_zarr(path, zarr_format=zarr_format, consolidated=consolidated, group=group)
    return path


def read(found):
    return found.read(slice(0, found.geobox.shape[0]), slice(0, found.geobox.shape[1]))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_one_variable(tmp_path, version, consolidated):
    values = image(3, 40, 30)
    scene = open_scene(write(tmp_path / "a.zarr", version, consolidated, dn=values))
    assert (scene.id, list(scene.inputs)) == ("a", ["dn"])
    found = scene.inputs["dn"]
    np.testing.assert_array_equal(read(found), values)
    assert (found.geobox.affine, str(found.geobox.crs)) == (grid(), CRS)
    assert (found.storage.dtype, found.data.dtype) == ("uint16", np.float32)


@pytest.mark.parametrize("version", [2, 3])
def test_sentinel_scale_and_offset(tmp_path, version):
    values = np.array([[0.0, 0.5], [np.nan, 1.0]])
    encoding = {"dtype": "int16", "_FillValue": -1, "scale_factor": 0.25, "add_offset": 0.5}
    found = open_scene(write(tmp_path / "a.zarr", version, encoding=encoding, dn=values)).inputs["dn"]
    np.testing.assert_array_equal(read(found)[0], values)
    storage = found.storage
    assert (storage.dtype, storage.nodata, storage.scale, storage.offset) == ("int16", -1, (0.25,), (0.5,))


def test_scaled_floats_are_scaled_once(tmp_path):
    values = image(1, 4, 4, "float32")
    encoding = {"dtype": "float32", "scale_factor": 0.5, "_FillValue": -9.0}
    path = write(tmp_path / "a.zarr", encoding=encoding, dn=values)
    np.testing.assert_array_equal(read(open_scene(path).inputs["dn"]), values)


def test_variables_are_chosen_and_stacked_by_name(tmp_path):
    red, green, blue = image(3, 20, 10)
    path = write(tmp_path / "a.zarr", blue=blue, green=green, red=red)
    assert sorted(open_scene(path).inputs) == ["blue", "green", "red"]
    scene = open_scene(path, ["red", "blue"])
    assert list(scene.inputs) == ["image"]
    np.testing.assert_array_equal(read(scene.inputs["image"]), [red, blue])
    by_input = open_scene({"pan": path}, {"pan": ["green"]})
    np.testing.assert_array_equal(read(by_input.inputs["pan"]), [green])
    np.testing.assert_array_equal(read(reopen(by_input.opened_with).inputs["pan"]), [green])


def test_a_group_is_a_store_of_its_own(tmp_path):
    values = image(1, 8, 8)
    write(tmp_path / "product.zarr", group="10m", dn=values)
    np.testing.assert_array_equal(read(open_scene(tmp_path / "product.zarr" / "10m").inputs["dn"]), values)
    with pytest.raises(
        SceneError, match=r"holds no array with y and x: name one of its groups instead \('.*zarr/10m'\)"
    ):
        open_scene(tmp_path / "product.zarr")


def test_a_store_without_the_suffix_is_known_by_its_metadata(tmp_path):
    values = image(1, 8, 8)
    write(tmp_path / "product", dn=values)
    np.testing.assert_array_equal(read(open_scene(tmp_path / "product").inputs["dn"]), values)


def test_a_sharded_store_is_read_region_by_region(tmp_path):
    values = image(1, 64, 64)
    encoding = {"chunks": (1, 16, 16), "shards": (1, 32, 32)}
    found = open_scene(write(tmp_path / "a.zarr", encoding=encoding, dn=values)).inputs["dn"]
    np.testing.assert_array_equal(found.read(slice(5, 50), slice(13, 61)), values[:, 5:50, 13:61])


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(SceneError, match=r"nix\.zarr' cannot be opened as a Zarr store"):
        open_scene(tmp_path / "nix.zarr")
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(
        SceneError, match=r"holds no array with y and x: name one of its groups instead \(none\)"
    ):
        open_scene(tmp_path / "empty.zarr")
    write(tmp_path / "a.zarr", a=image(1, 4, 4), b=image(1, 4, 4))
    with pytest.raises(SceneError, match="has no variable red: it has a, b"):
        open_scene(tmp_path / "a.zarr", ["red"])
    with pytest.raises(SceneError, match="holds the variables a, b: say which make up input 'pan'"):
        open_scene({"pan": tmp_path / "a.zarr"})
    xr.Dataset({"dn": (("y", "x"), image(1, 4, 4)[0])}).to_zarr(tmp_path / "nowhere.zarr", consolidated=False)
    with pytest.raises(
        SceneError, match=r"nowhere\.zarr', variable 'dn', has no coordinate reference system"
    ):
        open_scene(tmp_path / "nowhere.zarr")


def test_a_damaged_chunk_says_which_input_cannot_be_read(tmp_path):
    write(tmp_path / "a.zarr", encoding={"chunks": (1, 8, 8)}, dn=image(1, 8, 8))
    (chunk,) = (path for path in (tmp_path / "a.zarr" / "dn" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(b"no zstd frame")
    with pytest.raises(RunError, match="input 'dn' cannot be read at rows 0 to 8, columns 0 to 8"):
        read(open_scene(tmp_path / "a.zarr").inputs["dn"])


def test_opening_reads_no_pixel(tmp_path):
    path = write(tmp_path / "a.zarr", flat=image(1, 40, 30)[0], deep=image(2, 40, 30))
    for chunk in path.glob("*/c/**/0"):
        if chunk.is_file():
            chunk.write_bytes(b"no chunk")
    for name, found in open_scene(path).inputs.items():
        with pytest.raises(RunError, match=r"cannot be read at rows 0 to 40.*the file is damaged"):
            read(found)
        assert found.bands == (("1", "2") if name == "deep" else ("1",))
