"""Which arrays a product holds, and how their numbers are stored."""

from colorsys import hsv_to_rgb
from typing import Any

import numpy as np

from rsmtl.config import Settings
from rsmtl.errors import PlanError
from rsmtl.models.spec import ClassSpec, HeadSpec, ModelSpec
from rsmtl.scene.scene import Scene, Storage
from rsmtl.store.output import Output

CLASS_NODATA = 255
"""Class maps, confidences and probabilities are uint8 and keep this value for pixels that are not valid."""

PROBABILITY_STEPS = 254
"""A stored probability p stands for p / 254."""


def asked_heads(spec: ModelSpec, settings: Settings) -> tuple[HeadSpec, ...]:
    """Return the heads that a run finalises and stores, in the spec's order: those asked for, or all products.

    Raises
    ------
    PlanError
        If the model has no head of a name that is asked for; the message lists those it has.
    """
    unknown = sorted(set(settings.heads) - {head.name for head in spec.heads})
    if unknown:
        raise PlanError(
            f"the model {spec.system!r} has no head {', '.join(map(repr, unknown))}: its heads are "
            f"{', '.join(head.name for head in spec.heads)}"
        )
    return tuple(h for h in spec.heads if (h.name in settings.heads if settings.heads else h.product))


def outputs_of(spec: ModelSpec, scene: Scene, settings: Settings) -> tuple[Output, ...]:
    """Return the arrays that a run of the model over an aligned scene stores; errors as `asked_heads`."""
    found: list[Output] = []
    for head in asked_heads(spec, settings):
        if head.kind == "classes":
            found += _class_outputs(head, settings)
        else:
            found += _continuous_outputs(head, scene)
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


MASK_VALID = 255
"""Masks hold this where a pixel is valid, and 0 where it is not, as GDAL's do."""


def _continuous_outputs(head: HeadSpec, scene: Scene) -> list[Output]:
    """Values, and a mask beside them where no sentinel can be told from a valid value."""
    if not head.like:
        return [_own_output(head)]
    like = scene.inputs[head.like]
    same_bands = head.channels == len(like.bands)
    nodata, masked = _nodata(like.storage)
    values = Output(
        name=head.name,
        head=head.name,
        bands=like.bands if same_bands else tuple(f"band {k + 1}" for k in range(head.channels)),
        dtype=like.storage.dtype,
        nodata=nodata,
        scale=head.scale,
        band_scale=like.storage.scale if same_bands else like.storage.scale[:1],
        band_offset=like.storage.offset if same_bands else like.storage.offset[:1],
        like=head.like,
        description=f"in the values of input {head.like!r}",
        mask=f"{head.name}_mask" if masked else "",
    )
    if not masked:
        return [values]
    mask = Output(
        name=values.mask,
        head=head.name,
        bands=("valid",),
        dtype="uint8",
        nodata=None,
        scale=head.scale,
        description=f"{MASK_VALID} where {head.name!r} is valid, 0 where it is not",
        mask_of=head.name,
    )
    return [values, mask]


def _own_output(head: HeadSpec) -> Output:
    own = head.own
    return Output(
        name=head.name,
        head=head.name,
        bands=(head.name,) if head.channels == 1 else tuple(f"band {k + 1}" for k in range(head.channels)),
        dtype=own.dtype,
        nodata=own.stored_nodata,
        scale=head.scale,
        band_scale=(own.scale,),
        band_offset=(own.offset,),
        unit=own.unit,
        description=f"{head.name} in {own.unit}" if own.unit else head.name,
    )


def _nodata(storage: Storage) -> tuple[float | None, bool]:
    """The input's own sentinel, or else NaN; and whether a mask is needed, as any integer may be a valid value."""
    dtype = np.dtype(storage.dtype)
    if dtype.kind == "f":
        return float("nan"), False
    if storage.nodata is not None and _holds(dtype, storage.nodata):
        return storage.nodata, False
    return None, storage.masked


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Whether an integer type can store a number; catalogues name sentinels that their files cannot hold."""
    limits = np.iinfo(dtype)
    exact = float(number).is_integer() and abs(number) <= 2**53  # values are float64 until they are stored
    return exact and limits.min <= number <= limits.max
