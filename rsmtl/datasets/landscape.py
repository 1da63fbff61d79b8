"""Generated landscapes as a data set: every scene is a world of its own, so no pixel leaks between splits."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rsmtl.datasets.patches import LabelledScene, Splits
from rsmtl.radiometry import Radiometry
from rsmtl.synthetic import CLASSES, Landscape

RADIOMETRY = Radiometry(kind="percentile", low=(2.0,), high=(98.0,))
"""Measured on each scene, so that a model is at home with sensors of other bit depths."""

_FIRST_SEED = {"train": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
"""Worlds far from the small seeds that people choose for tests and demonstrations."""
_CLOUDED = 4
"""One training scene in so many has clouds: their shadows and veils belong to the job."""


class LandscapeData(BaseModel):
    """Which data set a training uses: this one, and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["landscape"] = "landscape"
    n_train: int = Field(default=40, gt=0)
    """Scenes to train on."""
    n_validation: int = Field(default=4, gt=0)
    n_test: int = Field(default=8, gt=0)
    size_px: int = Field(default=1024, gt=0)
    """Edge of a scene."""


def load_landscape(config: LandscapeData) -> Splits:
    """Render the scenes that `config` asks for: red, green and blue at the PAN's GSD, 11 bits."""
    train, validation, test = (
        tuple(
            _render(_FIRST_SEED[split] + i, config.size_px, clouds=split == "train" and i % _CLOUDED == 0)
            for i in range(count)
        )
        for split, count in (
            ("train", config.n_train),
            ("validation", config.n_validation),
            ("test", config.n_test),
        )
    )
    return Splits(train, validation, test, ("red", "green", "blue"), CLASSES, RADIOMETRY)


def _render(seed: int, size_px: int, *, clouds: bool) -> LabelledScene:
    landscape = Landscape(seed=seed, height_px=size_px, width_px=size_px, clouds=clouds)
    rendered = landscape.render(slice(0, size_px), slice(0, size_px))
    radiometry = RADIOMETRY.fit(rendered.hrms.astype(np.float32))
    return LabelledScene(f"landscape {seed}", rendered.hrms, rendered.classes, radiometry)
