"""Whether a scene's values are such as the model was made for."""

from collections.abc import Mapping

import numpy as np

from rsmtl.engine.exact import Sample
from rsmtl.radiometry import Radiometry
from rsmtl.scene.scene import Scene

SHARE = 0.1
"""Of the valid pixels of a sample that may lie outside."""


def outside_notes(
    scene: Scene, radiometry: Mapping[str, Radiometry], samples: Mapping[str, Sample]
) -> tuple[str, ...]:
    """Return a sentence for each input of whose pixels more than a tenth lie outside the range of its radiometry.

    One from 0 to 1 changes nothing, and tells of no range; and one measured on the scene fits it.

    Parameters
    ----------
    radiometry
        By input, as the model or the settings ask for it.
    samples
        `(bands, n)` physical values by input, NaN where not valid; the same for the same scene.
    """
    found = []
    for name, sample in samples.items():
        applied = radiometry[name]
        if applied.kind == "percentile" or applied == Radiometry():
            continue
        low, high = (np.array(v)[:, None] for v in (applied.low, applied.high))
        valid = sample[:, np.isfinite(sample).all(axis=0)]
        outside = ((valid < low) | (valid > high)).any(axis=0)
        if valid.shape[1] and outside.mean() > SHARE:
            ends = f"{min(applied.low):,.6g} to {max(applied.high):,.6g}"
            found.append(
                f"{outside.mean():.0%} of the pixels of input {name!r} of scene {scene.id!r} lie outside the {ends} "
                f"that the model expects (they reach from {valid.min():,.6g} to {valid.max():,.6g}): give a scene of "
                "such values, or use `--radiometry scene`"
            )
    return tuple(found)
