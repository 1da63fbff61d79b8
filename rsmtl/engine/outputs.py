"""Which arrays a product holds, and how their numbers are stored."""

from colorsys import hsv_to_rgb
from typing import Any

import numpy as np

from rsmtl.config import Settings
from rsmtl.models.spec import ClassSpec, HeadSpec, ModelSpec
from rsmtl.scene.scene import Scene, Storage
from rsmtl.store.output import Output

CLASS_NODATA = 255
"""Class maps, confidences and probabilities are uint8 and keep this value for pixels that are not valid."""

PROBABILITY_STEPS = 254
"""A stored probability p stands for p / 254."""


def asked_heads(spec: ModelSpec, settings: Settings) -> tuple[HeadSpec, ...]:
    """Return the heads that a run stores."""
    return spec.heads


def outputs_of(spec: ModelSpec, scene: Scene, settings: Settings) -> tuple[Output, ...]:
    """Return the arrays that a run of the model over an aligned scene stores."""
    found: list[Output] = []
    for head in spec.heads:
        if head.kind == "classes":
            found += _class_outputs(head, settings)
        else:
            found.append(_continuous_output(head, scene))
    return tuple(found)


def _class_outputs(head: HeadSpec, settings: Settings) -> list[Output]:
    classes = head.classes or _unnamed(head.n_classes)
    bands = {
        "": (head.name,),
        "confidence": ("confidence",),
        "probabilities": tuple(found.name for found in classes),
    }
    descriptions = {
        "": "most probable class",
        "confidence": "probability of the most probable class",
        "probabilities": "probability of each class",
    }
    return [
        Output(
            name=f"{head.name}_{extra}" if extra else head.name,
            head=head.name,
            bands=bands[extra],
            dtype="uint8",
            nodata=CLASS_NODATA,
            scale=head.scale,
            classes=() if extra else classes,
            band_scale=(1 / PROBABILITY_STEPS,) if extra else (1.0,),
            description=descriptions[extra],
        )
        for extra in ("", *settings.extras)
    ]


def _unnamed(n_classes: int) -> tuple[ClassSpec, ...]:
    """Names and well-spread hues for a head that brings none."""
    colors = [hsv_to_rgb((k * 0.618) % 1, 0.6, 0.85) for k in range(n_classes)]
    return tuple(
        ClassSpec(name=f"class {k}", color=(round(255 * r), round(255 * g), round(255 * b)))
        for k, (r, g, b) in enumerate(colors)
    )


def _continuous_output(head: HeadSpec, scene: Scene) -> Output:
    like = scene.inputs[head.like]
    same_bands = head.channels == len(like.bands)
    return Output(
        name=head.name,
        head=head.name,
        bands=like.bands if same_bands else tuple(f"band {k + 1}" for k in range(head.channels)),
        dtype=like.storage.dtype,
        nodata=_nodata(like.storage),
        scale=head.scale,
        band_scale=like.storage.scale if same_bands else like.storage.scale[:1],
        band_offset=like.storage.offset if same_bands else like.storage.offset[:1],
        description=f"in the values of input {head.like!r}",
    )


def _nodata(storage: Storage) -> float | None:
    """The input's own sentinel; else NaN, or the least number of an integer type that can have invalid pixels."""
    dtype = np.dtype(storage.dtype)
    if dtype.kind == "f":
        return float("nan")
    if storage.nodata is not None and _holds(dtype, storage.nodata):
        return storage.nodata
    return float(np.iinfo(dtype).min) if storage.masked else None


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Whether an integer type can store a number; catalogues name sentinels that their files cannot hold."""
    limits = np.iinfo(dtype)
    exact = float(number).is_integer() and abs(number) <= 2**53  # values are float64 until they are stored
    return exact and limits.min <= number <= limits.max
