import numpy as np
import pytest

from rsmtl.errors import SceneError
from rsmtl.scene.limits import MAX_BANDS, MAX_EDGE_PX, MAX_PX, check_bands, check_block, check_size
from rsmtl.scene.raster import open_raster
from tests.scene.rasters import image, write_raster


def test_what_a_scene_can_have_is_taken():
    check_size("'a.tif'", (MAX_EDGE_PX, MAX_PX // MAX_EDGE_PX))
    check_bands("'a.tif'", MAX_BANDS)
    check_block("'a.tif'", (8192, 8192), 4, "make a COG of it")


@pytest.mark.parametrize("shape", [(MAX_EDGE_PX + 1, 1), (1, MAX_EDGE_PX + 1), (400_000, 400_000)])
def test_what_no_scene_has_is_refused(shape):
    with pytest.raises(
        SceneError, match=r"^'a.tif' claims .* pixels, at most 100,000,000,000 in all and 10,000,000"
    ):
        check_size("'a.tif'", shape)
    with pytest.raises(SceneError, match=r"^'a.tif' holds 1,025 bands, at most 1,024 are taken"):
        check_bands("'a.tif'", MAX_BANDS + 1)
    with pytest.raises(
        SceneError, match=r"^'a.tif' is stored in blocks of 0.5 GiB, at most 0.25 .*: make a COG of it"
    ):
        check_block("'a.tif'", (2, 8192, 8192), 4, "make a COG of it")


def test_all_bands_of_an_interleaved_block_are_decoded_together(tmp_path):
    # 4096 × 4096 × 4 bytes × 5 bands are 320 MiB; band by band they are 64
    given = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "compress": "deflate"}
    path = write_raster(tmp_path / "a.tif", image(5, 20, 20, "float32"), interleave="pixel", **given)
    with pytest.raises(SceneError, match=r"is stored in blocks of 0\.3 GiB"):
        open_raster("image", str(path))
    path = write_raster(tmp_path / "b.tif", image(5, 20, 20, "float32"), interleave="band", **given)
    assert np.isfinite(open_raster("image", str(path)).read(slice(0, 20), slice(0, 20))).all()
