"""From what a scene offers to what a model takes: the right inputs, in order, on grids that fit one another."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import ceil

from affine import Affine
from odc.geo.geobox import GeoBox

from rsmtl.errors import SceneError
from rsmtl.models.spec import InputSpec, ModelSpec
from rsmtl.scene.grid import crs_name, same_grid
from rsmtl.scene.lazy import lazy_bands
from rsmtl.scene.listed import listed
from rsmtl.scene.resample import ResampledReader, Resampling
from rsmtl.scene.scene import Scene, SceneInput
from rsmtl.scene.stack import join


def align(scene: Scene, spec: ModelSpec, resampling: Resampling = "bilinear") -> Scene:
    """Return the scene with just the model's inputs, in the model's order, each on the grid that its scale asks for.

    The reference grid is the reference input's own. An input that lies on it at its scale passes through
    untouched; any other is resampled lazily, and its `alignment` says how. Aligning an aligned scene changes
    nothing.

    Parameters
    ----------
    resampling
        How, for inputs that do not fit; also for bands of one input whose GSDs differ.

    Raises
    ------
    SceneError
        If an input is missing, has another number of bands or the right ones in another order, or does not
        overlap the reference input.
    """
    chosen = _choose(scene, spec)
    for wanted in spec.inputs:
        _check_bands(scene, wanted, chosen[wanted.name])
    whole = {name: _gather(scene, found, resampling) for name, found in chosen.items()}
    reference = whole[spec.reference].geobox
    inputs = {
        i.name: _onto(scene, whole[i.name], i, reference, spec.reference, resampling) for i in spec.inputs
    }
    used = {source for found in chosen.values() for source in found.sources}
    unused = {source for found in scene.inputs.values() for source in found.sources} - used
    return replace(scene, inputs=inputs, sources=tuple(s for s in scene.sources if s not in unused))


def scaled_grid(reference: GeoBox, scale: Fraction) -> GeoBox:
    """Return the grid with `scale` pixels per reference pixel, from the same corner; a last pixel may reach past."""
    height, width = (ceil(size * scale) for size in reference.shape)
    return GeoBox((height, width), reference.affine @ Affine.scale(float(1 / scale)), reference.crs)


def _choose(scene: Scene, spec: ModelSpec) -> dict[str, SceneInput]:
    """Pick the scene's inputs by name; a model with one input takes the only one, or the only one of its bands."""
    names = [i.name for i in spec.inputs]
    if all(name in scene.inputs for name in names):
        return {name: scene.inputs[name] for name in names}
    if len(names) == 1:
        fitting = [
            i for i in scene.inputs.values() if len(scene.inputs) == 1 or _has_bands(i, spec.inputs[0])
        ]
        if len(fitting) == 1:
            return {names[0]: replace(fitting[0], name=names[0])}
    takes = " and ".join(_described(i.name, i.channels, i.bands) for i in spec.inputs)
    if len(names) == 1:
        remedy = "say which to take with `--assets`, by name"
    else:
        remedy = "give a file for each input, or say with `--assets` which assets make up each"
    raise SceneError(f"the model takes {takes}, scene {scene.id!r} gives {_offer(scene.inputs)}: {remedy}")


def choice_note(scene: Scene, spec: ModelSpec) -> str:
    """Return a sentence that says which of several inputs `align` takes for its bands' names; else nothing."""
    wanted = spec.inputs[0]
    if len(spec.inputs) > 1 or len(scene.inputs) == 1 or wanted.name in scene.inputs:
        return ""
    taken = next(i.name for i in scene.inputs.values() if _has_bands(i, wanted))
    return (
        f"of {_offer(scene.inputs)} in scene {scene.id!r}, {taken!r} is taken, as its bands are "
        f"{listed(wanted.bands)}: take another one with `--assets`"
    )


def _has_bands(found: SceneInput, wanted: InputSpec) -> bool:
    """Whether an input has the very bands that are wanted; how many it has says nothing of what they are."""
    names = (sorted(band.lower() for band in bands) for bands in (found.bands, wanted.bands))
    return bool(wanted.bands) and next(names) == next(names)


def _offer(inputs: Mapping[str, SceneInput]) -> str:
    return listed(_described(i.name, len(i.bands), i.bands) for i in inputs.values())


def _described(name: str, n: int, bands: tuple[str, ...]) -> str:
    names = f": {listed(bands)}" if bands else ""
    return f"{name!r} ({n} band{'s' if n != 1 else ''}{names})"


def _check_bands(scene: Scene, wanted: InputSpec, found: SceneInput) -> None:
    takes, gives = listed(wanted.bands) if wanted.bands else "", listed(found.bands)
    if len(found.bands) != wanted.channels:
        raise SceneError(
            f"the model's input {wanted.name!r} takes {wanted.channels} band{'s' if wanted.channels != 1 else ''}"
            f"{f' ({takes})' if takes else ''}, scene {scene.id!r} gives {len(found.bands)} ({gives}): "
            f"{'give a scene that has them all, or ' if len(found.bands) < wanted.channels else ''}"
            "say which to take, in order, with `--assets`: bands of a file (3,2,1), assets of an item "
            "(red,green,blue) or bands of an asset (visual:3,visual:2)"
        )
    known = [band.lower() for band in wanted.bands]
    given = [band.lower() for band in found.bands]
    if known != given and sorted(known) == sorted(given):
        raise SceneError(
            f"the model's input {wanted.name!r} takes its bands in the order {takes}, scene {scene.id!r} gives "
            f"{gives}: put them in order with `--assets {','.join(wanted.bands)}`"
        )


def _gather(scene: Scene, found: SceneInput, resampling: Resampling) -> SceneInput:
    """Bring the bands of one input onto its finest grid."""
    if not found.parts:
        return found
    for part in found.parts:
        _check_crs(scene, part, found.geobox)
        if not ResampledReader(part, found.geobox, resampling).overlaps:
            raise SceneError(
                f"bands {listed(part.bands)} of input {found.name!r} of scene {scene.id!r} do not overlap its other "
                "bands: give bands of the same ground"
            )
    parts = [
        part if same_grid(part.geobox, found.geobox) else _resampled(part, found.geobox, resampling)
        for part in found.parts
    ]
    told = [f"bands {', '.join(p.bands)}: {p.alignment}" for p in parts if p.alignment != "native"]
    return replace(join(found.name, parts), alignment="; ".join(told))


def _onto(
    scene: Scene, found: SceneInput, wanted: InputSpec, reference: GeoBox, named: str, resampling: Resampling
) -> SceneInput:
    """Bring an input onto the reference grid at its scale."""
    target = scaled_grid(reference, wanted.scale)
    if same_grid(found.geobox, target):
        return replace(found, scale=wanted.scale)
    _check_crs(scene, found, target)
    if not ResampledReader(found, target, resampling).overlaps:
        raise SceneError(
            f"input {found.name!r} of scene {scene.id!r} does not overlap its reference input {named!r}: "
            "give inputs of the same ground"
        )
    moved = _resampled(found, target, resampling)
    told = [text for text in (found.alignment, moved.alignment) if text != "native"]
    return replace(moved, scale=wanted.scale, alignment="; then ".join(told))


def _check_crs(scene: Scene, found: SceneInput, target: GeoBox) -> None:
    """Refuse to bring an input onto another grid if one of the two lies nowhere on the Earth."""
    if not same_grid(found.geobox, target) and None in (found.geobox.crs, target.crs):
        raise SceneError(
            f"input {found.name!r} of scene {scene.id!r} lies on another grid than its fellows, and without a "
            "coordinate reference system it is not known where: assign one to each file with `gdal_translate -a_srs`"
        )


def _resampled(found: SceneInput, target: GeoBox, resampling: Resampling) -> SceneInput:
    """Put an input lazily on another grid; it keeps its name and says how it was done."""
    return replace(
        found,
        data=lazy_bands(ResampledReader(found, target, resampling), found.bands),
        geobox=target,
        storage=replace(found.storage, masked=True),
        alignment=f"{resampling}, from {_gsd(found.geobox)} in {crs_name(found.geobox)} onto {_gsd(target)}"
        + ("" if found.geobox.crs == target.crs else f" in {crs_name(target)}"),
    )


def _gsd(geobox: GeoBox) -> str:
    sizes = dict.fromkeys(f"{abs(size):.6g}" for size in (geobox.resolution.x, geobox.resolution.y))
    unit = str(geobox.crs.units[0]) if geobox.crs else ""
    return " × ".join(sizes) + {"metre": " m", "meter": " m"}.get(
        unit, "°" if "degree" in unit else f" {unit}"
    )
