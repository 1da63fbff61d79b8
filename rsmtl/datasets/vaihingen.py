"""ISPRS Vaihingen, 2D semantic labelling: 33 areas of a 9 cm orthophoto (near infrared, red, green), six classes.

The folder holds what the benchmark's archives unpack to:

- `ISPRS_semantic_labeling_Vaihingen/top/top_mosaic_09cm_areaN.tif`, or `top/` directly in the folder;
- complete truth `ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE/top_mosaic_09cm_areaN.tif` of all 33 areas, or
  `gts_for_participants/` beside `top/`, which has 16 of them: enough for the split of `srseg`, not for that of `urec`;
- eroded truth `ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/top_mosaic_09cm_areaN_noBoundary.tif`, or
  `gts_eroded_for_participants/` with files of the same names; black, around the borders of objects, is `IGNORE`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rsmtl.datasets.files import check_same_size, decode_colors, read_bands, read_rgb
from rsmtl.datasets.scene import LABELS, SPLITS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.errors import InputError
from rsmtl.models.spec import ClassSpec
from rsmtl.radiometry import Radiometry

CLASSES = (
    ClassSpec(name="impervious surface", color=(255, 255, 255)),
    ClassSpec(name="building", color=(0, 0, 255)),
    ClassSpec(name="low vegetation", color=(0, 255, 255)),
    ClassSpec(name="tree", color=(0, 255, 0)),
    ClassSpec(name="car", color=(255, 255, 0)),
    ClassSpec(name="clutter", color=(255, 0, 0)),
)
"""In the colours of the truth."""

AREAS: Mapping[str, Mapping[Split, tuple[int, ...]]] = {
    "urec": {
        "train": (1, 3, 5, 7, 11, 13, 21, 23, 26, 28, 30, 32, 34, 37),
        "validation": (15, 17),
        "test": (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38),
    },
    "srseg": {
        "train": (1, 3, 5, 13, 17, 21, 23, 26, 37),
        "validation": (7, 32),
        "test": (11, 15, 28, 30, 34),
    },
}
"""Areas of each split; areas do not overlap.

`urec` is that of Papadomanolaki et al., IGARSS 2019. `srseg` is that of Pereira and dos Santos, 2020, who train on
eleven areas and publish no validation: two of the eleven, 7 and 32, are held out here; the test is theirs.
"""

RADIOMETRY = Radiometry(low=(0.0,), high=(255.0,))

_ARCHIVE = "ISPRS_semantic_labeling_Vaihingen"
_TRUTH = {
    "complete": ("top_mosaic_09cm_area{}.tif", f"{_ARCHIVE}_ground_truth_COMPLETE", "gts_for_participants"),
    "eroded": (
        "top_mosaic_09cm_area{}_noBoundary.tif",
        f"{_ARCHIVE}_ground_truth_eroded_COMPLETE",
        "gts_eroded_for_participants",
    ),
}
"""Name of a file, and the folders where it may lie, best first."""


class VaihingenData(BaseModel):
    """The benchmark in a folder that holds its unpacked archives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["vaihingen"] = "vaihingen"
    split: Literal["urec", "srseg"] = "urec"
    """Which publication's areas."""
    truth: Literal["complete", "eroded"] = "complete"
    """Eroded: the borders of objects do not count."""

    def about(self) -> About:
        """Return what all scenes have in common."""
        return About({"image": ("nir", "red", "green")}, CLASSES, {"image": RADIOMETRY}, gsd_m=0.09)

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the areas of the split.

        Raises
        ------
        InputError
            If there is no image in the folder.
        """
        roots = tuple(root for root in (folder, folder / _ARCHIVE) if any(root.glob("top/top_mosaic_*.tif")))
        if not roots:
            raise InputError(
                f"there are no images in {folder}: the Vaihingen data set has top/top_mosaic_09cm_areaN.tif, there or "
                f"in {_ARCHIVE}"
            )
        file, *places = _TRUTH[self.truth]
        return tuple(
            SceneSource(
                f"area{area}",
                split,
                partial(
                    _read,
                    roots[0] / "top" / f"top_mosaic_09cm_area{area}.tif",
                    tuple(
                        root / place / file.format(area) for place in places for root in (folder, roots[0])
                    ),
                ),
            )
            for split in SPLITS
            for area in AREAS[self.split][split]
        )


def _read(path: Path, truths: tuple[Path, ...]) -> dict[str, Layer]:
    image = read_bands(path, 3)
    truth = next((truth for truth in truths if truth.exists()), None)
    if truth is None:
        raise InputError(
            f"there is no truth for {path}: expected {truths[0]}, which comes with the archive {truths[0].parent.name}"
        )
    labels = decode_colors(read_rgb(truth), [one.color for one in CLASSES])
    check_same_size(path, image.shape, labels.shape)
    return {"image": Layer(image, RADIOMETRY), LABELS: labels_layer(labels)}
