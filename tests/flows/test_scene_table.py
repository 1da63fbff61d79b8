"""The table of scenes: Markdown that shows what is meant, with pictures for the first scenes only."""

import base64
import io
from pathlib import Path

from PIL import Image

from flows.scene_table import N_ROWS, N_THUMBNAILS, THUMBNAIL_PX, SceneRow, scene_table
from rsmtl.store.folder import QUICKLOOK_NAME


def written(scene: str, folder: Path) -> SceneRow:
    return SceneRow(scene, "written", folder, n_windows=1234, n_px=5_000_000, seconds=75.2)


def with_picture(folder: Path) -> Path:
    folder.mkdir()
    Image.new("RGB", (900, 300), (200, 30, 40)).save(folder / QUICKLOOK_NAME)
    return folder


def test_each_scene_has_a_row_with_its_figures(tmp_path: Path) -> None:
    table = scene_table(
        [written("a", tmp_path), SceneRow("b", "failed", reason="no such file: give another")]
    )
    lines = table.splitlines()
    assert lines[0] == "2 scenes: 1 failed, 1 written"
    assert lines[4:] == [
        "| a | written | 1,234 | 5.0 Mpx | 1 min 15 s |  |",
        "| b | failed |  |  |  |  |",
        "",
        "Failed:",
        "",
        "- **b**: no such file: give another",
    ]


def test_pictures_are_small_and_few(tmp_path: Path) -> None:
    folder = with_picture(tmp_path / "product")
    rows = [written(f"s{k}", folder) for k in range(N_THUMBNAILS + 3)]
    table = scene_table(rows)
    assert table.count("![](data:image/jpeg;base64,") == N_THUMBNAILS
    encoded = table.split("base64,")[1].split(")")[0]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert max(picture.size) == THUMBNAIL_PX
        red, green, blue = picture.getpixel((100, 30))
    assert red > 150 > green + blue


def test_of_ten_thousand_scenes_the_table_has_what_was_done_and_what_failed(tmp_path: Path) -> None:
    rows = [SceneRow(f"s{k}", "stood already", tmp_path) for k in range(9_600)]
    rows += [SceneRow(f"s{k}", "failed", reason="broken " * 20) for k in range(9_600, 9_900)]
    rows += [written(f"s{k}", tmp_path) for k in range(9_900, 10_000)]
    lines = scene_table(rows).splitlines()
    assert lines[0] == "10,000 scenes: 300 failed, 9,600 stood already, 100 written"
    assert lines[4].startswith("| s9600 | failed |")
    assert lines[4 + N_ROWS : 4 + N_ROWS + 2] == ["", "and 9,800 more"]
    assert lines[-1] == "- and 100 more"
    assert len("\n".join(lines)) < 100_000


def test_what_a_catalogue_says_is_not_taken_for_markdown(tmp_path: Path) -> None:
    table = scene_table([SceneRow("x|y\n<img src=z>", "failed", reason="[a](http://b) `c`")])
    row = table.splitlines()[4]
    assert row == r"| x\|y \<img src=z\> | failed |  |  |  |  |"
    assert r"\[a\]\(http://b\) \`c\`" in table
