"""Generated landscapes as a data set: every scene is a world of its own, so no pixel leaks between splits."""

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rsmtl.datasets.scene import LABELS, SPLITS, About, Layer, SceneSource, Split, labels_layer
from rsmtl.radiometry import Radiometry
from rsmtl.synthetic import CLASSES, Landscape

BANDS = ("red", "green", "blue")
RADIOMETRY = Radiometry(kind="percentile", low=(2.0,), high=(98.0,))
"""Of `image`: measured on each scene, so that a model is at home with sensors of other bit depths."""
ELEVEN_BITS = Radiometry(low=(0.0,), high=(2047.0,))
"""Of PAN, MS and HRMS, whose values a sigmoid must reach."""

_FIRST_SEED: dict[Split, int] = {"train": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
"""Worlds far from the small seeds that people choose for tests and demonstrations."""
_CLOUDED = 4
"""One training scene in so many has clouds: their shadows and veils belong to the job."""
_RATIO = 4


class LandscapeData(BaseModel):
    """How many landscapes, and how large; they need no folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["landscape"] = "landscape"
    n_train: int = Field(default=40, gt=0)
    """Scenes to train on."""
    n_validation: int = Field(default=4, gt=0)
    n_test: int = Field(default=8, gt=0)
    size_px: int = Field(default=1024, gt=0, multiple_of=_RATIO)
    """Edge of a scene."""
    pair: bool = False
    """False: red, green and blue at the PAN's GSD. True: PAN, MS of a quarter of its resolution, and HRMS."""

    def about(self) -> About:
        """Return what all scenes have in common."""
        if not self.pair:
            return About({"image": BANDS}, CLASSES, {"image": RADIOMETRY}, Landscape.gsd_m)
        bands = {"pan": ("pan",), "ms": BANDS, "hrms": BANDS}
        return About(bands, CLASSES, dict.fromkeys(("pan", "ms"), ELEVEN_BITS), Landscape.gsd_m)

    def sources(self, folder: Path) -> tuple[SceneSource, ...]:
        """List the scenes, which are rendered when they are read."""
        counts = {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}
        return tuple(
            SceneSource(
                f"landscape {_FIRST_SEED[split] + i}",
                split,
                partial(
                    _render,
                    _FIRST_SEED[split] + i,
                    self.size_px,
                    split == "train" and i % _CLOUDED == 0,
                    self.pair,
                ),
            )
            for split in SPLITS
            for i in range(counts[split])
        )


def _render(seed: int, size_px: int, clouds: bool, pair: bool) -> dict[str, Layer]:
    landscape = Landscape(seed=seed, height_px=size_px, width_px=size_px, clouds=clouds)
    rendered = landscape.render(slice(0, size_px), slice(0, size_px))
    labels = {LABELS: labels_layer(rendered.classes)}
    if pair:
        ms = Layer(rendered.ms[: len(BANDS)], ELEVEN_BITS, Fraction(1, _RATIO))
        return {
            "pan": Layer(rendered.pan, ELEVEN_BITS),
            "ms": ms,
            "hrms": Layer(rendered.hrms, ELEVEN_BITS),
            **labels,
        }
    radiometry = RADIOMETRY.fit(rendered.hrms.astype(np.float32))
    return {"image": Layer(rendered.hrms, radiometry), **labels}
