"""What a run will do, fixed before anything runs: every job of a run is given this and a chunk."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.metadata import version
from math import ceil, isqrt
from typing import Any

import numpy as np
from dask.base import tokenize
from odc.geo.geobox import GeoBox

from rsmtl.blend import DTYPES
from rsmtl.config import Settings
from rsmtl.engine.outputs import outputs_of
from rsmtl.engine.ratio import pixel_ratio
from rsmtl.errors import ModelError, PlanError
from rsmtl.lattice import Lattice, check_divisible
from rsmtl.models.model import Model
from rsmtl.models.spec import InputSpec, ModelSpec
from rsmtl.radiometry import Radiometry
from rsmtl.redaction import redacted_value
from rsmtl.scene.align import align
from rsmtl.scene.read import reduced, sample_values
from rsmtl.scene.scene import Scene, SceneInput
from rsmtl.store.ledger import fingerprint_digest
from rsmtl.store.output import Output

SCENE_PERCENTILES = Radiometry(kind="percentile", low=(2.0,), high=(98.0,))

FINE_SAMPLE_PX = 1024
"""Edge of the reduced scene that is sampled where the coarse sample finds nothing valid."""

CHUNK_BYTES = 256 * 2**20
"""What the arrays of one chunk job may take where the chunk is chosen automatically."""

MAX_CHUNKS = 2_000_000
"""A thousand times those of the largest scenes that satellites deliver."""

CHUNKS_AT_LEAST = 16
"""A scene is cut into about this many chunks at least, so that a handful of workers share even a small one."""


@cache
def fingerprinted_software() -> dict[str, str]:
    """Return the versions of what can change a bit of a product."""
    return {name: version(name) for name in ("rsmtl", "torch", "numpy", "rasterio", "odc-geo")}


@dataclass(frozen=True)
class Plan:
    """A scene aligned to a model, and how it is run. The same on every worker; a job adds only a chunk."""

    scene: Scene
    model: Model
    settings: Settings
    lattice: Lattice
    radiometry: Mapping[str, Radiometry]
    """By input; fixed for the whole scene."""
    outputs: tuple[Output, ...]
    delivered_scales: Mapping[str, float]
    """By input, pixels per reference pixel as the scene came; those of the spec are what they were brought to."""

    @property
    def geobox(self) -> GeoBox:
        """The reference grid."""
        return self.scene.inputs[self.model.spec.reference].geobox

    def outputs_of(self, head: str) -> tuple[Output, ...]:
        """What is stored of a head."""
        return tuple(output for output in self.outputs if output.head == head)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Everything that can change a bit of the product, in parts that a message can name."""
        return {
            "model": self.model.sha256,
            "spec": self.model.spec.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "inputs": {
                name: {
                    "alignment": found.alignment,
                    "bands": list(found.bands),
                    "shape": list(found.geobox.shape),
                    "transform": list(found.geobox.affine)[:6],
                    "storage": asdict(found.storage),
                    "radiometry": self.radiometry[name].model_dump(mode="json"),
                }
                for name, found in self.scene.inputs.items()
            },
            "sources": [redacted_value(asdict(source)) for source in self.scene.sources],
            "pixels": "" if self.scene.sources else tokenize(self.scene),
            "software": fingerprinted_software(),
        }

    @cached_property
    def run(self) -> str:
        """Digest of the fingerprint: the name of the run in ledger and item."""
        return fingerprint_digest(self.fingerprint)

    @cached_property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """All chunks, row by row."""
        return tuple(self.lattice.chunks())


def plan(
    scene: Scene, model: Model, settings: Settings, default_chunk: int | None = None, *, measure: bool = True
) -> Plan:
    """Align a scene to a model, measure its radiometry, and lay the lattice.

    Parameters
    ----------
    default_chunk
        Strides per chunk if the settings name none; None chooses as many as suit memory and parallelism.
    measure
        Whether to measure the radiometry, for which pixels are read. Without it the plan tells what a run costs, and
        is not to be run.

    Raises
    ------
    SceneError
        If the scene does not fit the model.
    ModelError
        If a head has other bands than the input whose values it has, and these are not scaled alike.
    PlanError
        If window, overlap and scales do not go together.
    """
    spec = model.spec
    check_sizes(spec, settings)
    if model.fitted:
        check_radiometry(model.fitted, settings)
    aligned = align(scene, spec, settings.resampling)
    height, width = aligned.inputs[spec.reference].geobox.shape
    lattice = Lattice(height, width, settings.window, settings.overlap)
    outputs = outputs_of(spec, aligned, settings)
    strides = settings.chunk or default_chunk or choose_chunk(lattice, spec, outputs)
    laid = Lattice(height, width, settings.window, settings.overlap, strides)
    _check_number(laid)
    radiometry = {i.name: i.radiometry for i in spec.inputs}
    if measure:
        radiometry = {i.name: _fit(i, aligned.inputs[i.name], settings) for i in spec.inputs}
        _check_values(spec, aligned, radiometry)
    return Plan(
        scene=aligned,
        model=model,
        settings=settings.model_copy(update={"chunk": strides}),
        lattice=laid,
        radiometry=radiometry,
        outputs=outputs,
        delivered_scales={i.name: _delivered_scale(scene, i.name, spec.reference) for i in spec.inputs},
    )


def check_sizes(spec: ModelSpec, settings: Settings) -> None:
    """Refuse a window or an overlap that the model or a grid of another scale cannot hold.

    Raises
    ------
    PlanError
        Naming the size, the divisor and the nearest sizes that fit.
    """
    check_divisible("window", settings.window, spec.divisor, f"the model {spec.system!r} asks for it")
    scales = {i.name: i.scale for i in spec.inputs} | {h.name: h.scale for h in spec.heads}
    for name, scale in scales.items():
        why = f"{name!r} lies on a grid of scale {scale}"
        check_divisible("window", settings.window, scale.denominator, why)
        check_divisible("overlap", settings.overlap, scale.denominator, why)
    needed = max(2 * ceil(spec.margin * h.scale) / h.scale for h in spec.heads)
    if settings.overlap < needed:
        raise PlanError(
            f"the overlap must be at least {ceil(needed)} px, since a margin of {spec.margin} px of every window of "
            f"{spec.system!r} does not count, got {settings.overlap} px: make the overlap larger"
        )


def _check_number(lattice: Lattice) -> None:
    """Refuse a layout whose chunks alone would fill the memory of whoever hands them out."""
    n_chunks = lattice.y.n_chunks * lattice.x.n_chunks
    if n_chunks > MAX_CHUNKS:
        raise PlanError(
            f"the scene has {n_chunks:,} chunks of {lattice.y.chunk_px} px, at most {MAX_CHUNKS:,} are taken: use a "
            "larger chunk or window"
        )


def check_radiometry(method: str, settings: Settings) -> None:
    """Refuse to run a classical method on other values than it was fitted to.

    Raises
    ------
    PlanError
        If the radiometry is that of the scene.
    """
    if settings.radiometry != "model":
        raise PlanError(
            f"{method} works on physical values, which a radiometry of {settings.radiometry!r} takes from it: leave it "
            "at 'model'"
        )


def _check_values(spec: ModelSpec, aligned: Scene, radiometry: Mapping[str, Radiometry]) -> None:
    """Refuse heads whose values could be brought back only by guessing which band they are of."""
    for head in spec.heads:
        if head.kind != "continuous" or head.channels == spec.input(head.like).channels:
            continue
        fitted, storage = radiometry[head.like], aligned.inputs[head.like].storage
        if len(fitted.low) > 1 or any(len(set(one)) > 1 for one in (storage.scale, storage.offset)):
            raise ModelError(
                f"head {head.name!r} has {head.channels} band(s) in the values of input {head.like!r}, which has "
                f"{spec.input(head.like).channels}, each scaled by itself: give the model one fixed radiometry for "
                "all bands, and leave that of the settings at 'model'"
            )


def _delivered_scale(scene: Scene, name: str, reference: str) -> float:
    """Pixels per reference pixel of an input before alignment, which may name the only input anew."""
    if name == reference:
        return 1.0
    return 1 / pixel_ratio(scene.inputs[name].geobox, scene.inputs[reference].geobox)


def choose_chunk(lattice: Lattice, spec: ModelSpec, outputs: tuple[Output, ...]) -> int:
    """Return strides per chunk: as many as the memory aimed at allows, fewer for scenes of few windows.

    It depends on scene, model and settings only, never on the workers at hand, so that a run can be resumed
    on other machines.
    """
    by_memory = (
        int((CHUNK_BYTES / region_bytes_per_px(spec, outputs)) ** 0.5 - lattice.overlap) // lattice.y.stride
    )
    by_windows = isqrt(ceil(lattice.n_windows / CHUNKS_AT_LEAST))
    return max(1, min(by_memory, by_windows))


def region_bytes_per_px(spec: ModelSpec, outputs: tuple[Output, ...]) -> float:
    """Bytes that a chunk job holds per reference pixel: inputs as read and as the network sees them, sums, outputs."""
    inputs = sum(float(i.scale) ** 2 * i.channels * 8 for i in spec.inputs)
    sums = sum(float(h.scale) ** 2 * h.channels * DTYPES[h.kind].itemsize for h in spec.heads)
    stored = sum(float(o.scale) ** 2 * len(o.bands) * np.dtype(o.dtype).itemsize for o in outputs)
    return inputs + sums * 2 + stored


def _fit(spec: InputSpec, found: SceneInput, settings: Settings) -> Radiometry:
    wanted = SCENE_PERCENTILES if settings.radiometry == "scene" else spec.radiometry
    if wanted.kind == "fixed":
        return wanted
    sample = sample_values(found)
    if not np.isfinite(sample).all(axis=0).any():  # what is valid may lie between the blocks of the sample
        sample = reduced(found, FINE_SAMPLE_PX).reshape(len(found.bands), -1)
    return wanted.fit(sample)
