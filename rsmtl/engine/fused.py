"""A pansharpened head without truth: beside the PAN and MS that it was made of."""

from dataclasses import asdict
from fractions import Fraction

import numpy as np

from rsmtl.engine.ratio import pixel_ratio
from rsmtl.engine.stored import physical, stored_array
from rsmtl.engine.truth import Rectangle
from rsmtl.errors import InputError
from rsmtl.metrics import FusedPart, NoReference, Sums
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.scene.align import align
from rsmtl.scene.read import read_window
from rsmtl.scene.scene import Scene
from rsmtl.store.place import Place
from rsmtl.store.provenance import Run


def fused_head(spec: ModelSpec, folder: Place) -> HeadSpec:
    """Return the head that is MS at PAN's resolution.

    Raises
    ------
    InputError
        If the product has none, or its bands are not those of MS.
    """
    fused = [h for h in spec.heads if h.kind == "continuous" and h.like == "ms" and h.scale == 1]
    if not fused or {i.name for i in spec.inputs} != {"pan", "ms"}:
        raise InputError(
            f"the product in {folder} has no pansharpened head, which alone can be measured without truth: say with "
            "--truth what it should be"
        )
    n_bands = spec.input("ms").channels
    whole = [head for head in fused if head.channels == n_bands]
    if not whole:
        raise InputError(
            f"quality without truth compares band with band, but {fused[0].name!r} in {folder} has "
            f"{fused[0].channels} band(s) and MS {n_bands}: say with --truth what it should be"
        )
    return whole[0]


def pan_ms_ratio(scene: Scene) -> int:
    """Return PAN pixels per MS pixel of a scene as it was delivered.

    Raises
    ------
    InputError
        If they are not 2, 4, 8 or 16.
    """
    exact = pixel_ratio(scene.inputs["ms"].geobox, scene.inputs["pan"].geobox)
    ratio = round(exact)
    if ratio not in (2, 4, 8, 16):
        raise InputError(
            f"quality without truth needs MS of 2, 4, 8 or 16 times PAN's GSD, scene {scene.id!r} has "
            f"{exact:.3g} times: say with --truth what the result should be"
        )
    return ratio


def check_unchanged(run: Run, scene: Scene) -> None:
    """Refuse to measure a product beside other inputs than it was made of.

    Raises
    ------
    InputError
        If a file's size, time or etag is not what it was, or PAN is of another size.
    """
    then = {source.href: source.model_dump() for source in run.sources}
    changed = [s.href for s in scene.sources if s.href in then and then[s.href] != asdict(s)]
    if changed or tuple(scene.inputs["pan"].geobox.shape) != run.shape_px:
        raise InputError(
            f"scene {run.scene_id!r} has changed since its product was made ({', '.join(changed) or 'its size'}): put "
            "its files back as they were, or make the product anew with --overwrite"
        )


def on_their_own_grids(scene: Scene, ratio: int) -> Scene:
    """Return PAN as it is, and MS on the grid of whole multiples of its pixels."""
    return align(scene, _pair(scene, ratio))


def _pair(scene: Scene, ratio: int) -> ModelSpec:
    n_bands = len(scene.inputs["ms"].bands)
    return ModelSpec(
        system="pair",
        inputs=(
            InputSpec(name="pan", channels=1),
            InputSpec(name="ms", channels=n_bands, scale=Fraction(1, ratio)),
        ),
        heads=(HeadSpec(name="hrms", channels=n_bands, kind="continuous", like="ms"),),
    )


def no_reference_job(
    folder: Place,
    name: str,
    scene: Scene,
    metric: NoReference,
    read: Rectangle,
    own: Rectangle,
    origin: tuple[int, int],
) -> tuple[Sums, ...]:
    """Return what one rectangle of MS pixels contributes."""
    r = metric.ratio
    y, x = (slice(span.start * r, span.stop * r) for span in read)
    values, valid = read_window(scene, _pair(scene, r), y, x)
    fused = physical(stored_array(folder, name)[:, y, x])
    usable = np.logical_and(valid, np.isfinite(fused).all(axis=0))
    rows, cols = (span.stop - span.start for span in read)
    below = np.asarray(usable.reshape(rows, r, cols, r).all(axis=(1, 3)))
    return (metric.sums(FusedPart(values["pan"], values["ms"], fused, below, own, origin)),)
