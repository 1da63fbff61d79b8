"""What the ground is made of: the classes, and the reflectance and texture of each material."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from rsmtl.models.spec import ClassSpec

CLASSES: tuple[ClassSpec, ...] = (
    ClassSpec(name="field", color=(245, 221, 163)),
    ClassSpec(name="grass", color=(117, 195, 54)),
    ClassSpec(name="road", color=(105, 105, 112)),
    ClassSpec(name="building", color=(191, 95, 74)),
    ClassSpec(name="tree", color=(0, 75, 32)),
    ClassSpec(name="water", color=(60, 130, 215)),
)
"""The classes of the truth; a class's number is its place here. `field` is sown or ploughed land; `grass` meadows,
gardens, verges and banks; `tree` woods, hedges and single crowns. The colours can be told apart by people who do not
see all of them."""

CLASS_NODATA = 255
"""Stored in class maps outside the valid area."""


class Class(IntEnum):
    """Numbers of `CLASSES`."""

    FIELD = 0
    GRASS = 1
    ROAD = 2
    BUILDING = 3
    TREE = 4
    WATER = 5


@dataclass(frozen=True)
class Material:
    """Reflectance and texture of one kind of surface."""

    name: str
    cls: Class
    reflectance: tuple[float, float, float, float]
    """Of red, green, blue and near infrared."""
    grain: float = 0.03
    """Relative spread of the reflectance from pixel to pixel."""
    mottle: float = 0.05
    """Relative spread at scales of 2 to 12 m."""
    rows: float = 0.0
    """Relative depth of the rows that machines leave."""


MATERIALS: tuple[Material, ...] = (
    Material("wheat", Class.FIELD, (0.052, 0.098, 0.036, 0.46), rows=0.05),
    Material("maize", Class.FIELD, (0.060, 0.088, 0.042, 0.36), rows=0.16),
    Material("beet", Class.FIELD, (0.066, 0.132, 0.062, 0.50), mottle=0.04, rows=0.10),
    Material("rapeseed", Class.FIELD, (0.235, 0.222, 0.060, 0.46), rows=0.04),
    Material("ripe grain", Class.FIELD, (0.235, 0.178, 0.098, 0.34), rows=0.06),
    Material("stubble", Class.FIELD, (0.272, 0.222, 0.150, 0.32), rows=0.10),
    Material("ploughed", Class.FIELD, (0.142, 0.104, 0.076, 0.20), grain=0.05, mottle=0.09, rows=0.14),
    Material("harrowed", Class.FIELD, (0.200, 0.150, 0.108, 0.26), mottle=0.09, rows=0.06),
    Material("meadow", Class.GRASS, (0.082, 0.104, 0.054, 0.36), grain=0.05, mottle=0.13),
    Material("dry meadow", Class.GRASS, (0.116, 0.124, 0.068, 0.33), grain=0.05, mottle=0.14),
    Material("garden", Class.GRASS, (0.090, 0.108, 0.060, 0.36), grain=0.08, mottle=0.22),
    Material("bank", Class.GRASS, (0.098, 0.102, 0.062, 0.28), grain=0.07, mottle=0.18),
    Material("asphalt", Class.ROAD, (0.098, 0.097, 0.098, 0.11), grain=0.025, mottle=0.03),
    Material("worn asphalt", Class.ROAD, (0.132, 0.128, 0.122, 0.15), grain=0.03, mottle=0.05),
    Material("marking", Class.ROAD, (0.300, 0.300, 0.290, 0.31), grain=0.03),
    Material("red tiles", Class.BUILDING, (0.250, 0.112, 0.082, 0.29), mottle=0.05),
    Material("brown tiles", Class.BUILDING, (0.168, 0.096, 0.074, 0.21), mottle=0.05),
    Material("slate", Class.BUILDING, (0.086, 0.088, 0.096, 0.11), mottle=0.04),
    Material("metal roof", Class.BUILDING, (0.285, 0.290, 0.295, 0.31), grain=0.02, mottle=0.02),
    Material("leaves", Class.TREE, (0.036, 0.058, 0.022, 0.40), grain=0.10, mottle=0.10),
    Material("needles", Class.TREE, (0.026, 0.040, 0.021, 0.28), grain=0.09, mottle=0.08),
    Material("hedge", Class.TREE, (0.038, 0.058, 0.028, 0.40), grain=0.14, mottle=0.20),
    Material("river", Class.WATER, (0.036, 0.054, 0.048, 0.020), grain=0.02, mottle=0.03),
    Material("lake", Class.WATER, (0.022, 0.040, 0.046, 0.012), grain=0.015, mottle=0.02),
)
"""Spectra are of the order that field spectrometers give for such surfaces in early summer."""

M = {material.name: number for number, material in enumerate(MATERIALS)}
"""Number of each material by name."""

CLASS_OF = np.array([material.cls for material in MATERIALS], np.uint8)
REFLECTANCE = np.array([material.reflectance for material in MATERIALS], np.float32).T.copy()
"""`(4, n)` float32."""
GRAIN = np.array([material.grain for material in MATERIALS], np.float32)
MOTTLE = np.array([material.mottle for material in MATERIALS], np.float32)
ROWS = np.array([material.rows for material in MATERIALS], np.float32)
