"""What a run will do, fixed before anything runs: every job of a run is given this and a chunk."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from dask.base import tokenize
from odc.geo.geobox import GeoBox

from rsmtl.blend import CLASS_STEPS, Exact
from rsmtl.config import RunSettings, Settings
from rsmtl.engine.choose import choose
from rsmtl.engine.edge_response import probe_edges
from rsmtl.engine.exact import Sample, exact_values
from rsmtl.engine.executor import Executor, SerialExecutor
from rsmtl.engine.gsd import check_gsd
from rsmtl.engine.outputs import asked_heads, outputs_of
from rsmtl.engine.outside import outside_notes
from rsmtl.engine.ratio import pixel_ratio
from rsmtl.errors import ModelError, PlanError
from rsmtl.lattice import Lattice
from rsmtl.models.margin import EdgeResponse
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, ModelSpec
from rsmtl.radiometry import Radiometry
from rsmtl.redaction import redacted
from rsmtl.scene.align import align, choice_note
from rsmtl.scene.read import reduced, sample_values
from rsmtl.scene.scene import Scene, SceneInput, SourceFile
from rsmtl.shown import Shown, few
from rsmtl.store.ledger import fingerprint_digest
from rsmtl.store.output import Output

SCENE_PERCENTILES = Radiometry(kind="percentile", low=(2.0,), high=(98.0,))

FINE_SAMPLE_PX = 1024
"""Edge of the reduced scene that is sampled where the coarse sample finds nothing valid."""

MAX_CHUNKS = 2_000_000
"""A thousand times those of the largest scenes that satellites deliver."""


@cache
def fingerprinted_software() -> dict[str, str]:
    """Return the versions of what can change a bit of a product."""
    return {name: version(name) for name in ("rsmtl", "torch", "numpy", "rasterio", "odc-geo")}


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """A scene aligned to a model, and how it is run. The same on every worker; a job adds only a chunk."""

    scene: Scene
    model: Model
    settings: RunSettings
    why: Mapping[str, str]
    """Of the settings that were left open: why they were chosen so."""
    lattice: Lattice
    radiometry: Mapping[str, Radiometry]
    """By input; fixed for the whole scene."""
    outputs: tuple[Output, ...]
    delivered_scales: Mapping[str, float]
    """By input, pixels per reference pixel as the scene came; those of the spec are what they were brought to."""
    exact: Mapping[str, Exact]
    """By continuous head: the values that it may have."""
    notes: tuple[str, ...]
    """What whoever asked should know of the scene, a sentence each; none of it prevents a run."""
    edges: Mapping[str, EdgeResponse] = field(default_factory=dict)
    """By head, the edge response as far as it is known; it decides nothing any more."""

    @cached_property
    def heads(self) -> tuple[HeadSpec, ...]:
        """The heads that are finalised and stored."""
        return asked_heads(self.model.spec, self.settings)

    def steps(self, head: HeadSpec) -> float:
        """Steps in a value of one."""
        return CLASS_STEPS if head.kind == "classes" else self.exact[head.name].steps

    def facts(self) -> dict[str, str]:
        """Return what runs over what, in which pieces."""
        sizes = self.settings
        rows, cols = self.lattice.shape
        return {
            "of": self.scene.id,
            "model": self.model.facts()["name"],
            "size": f"{self.lattice.height:,} × {self.lattice.width:,} px",
            "windows": f"{self.lattice.n_windows:,} of {sizes.window} px that overlap by {sizes.overlap} px",
            "chunks": f"{rows * cols:,} of {self.lattice.y.chunk_px} px",
            "batch": str(sizes.batch),
            "precision": f"{sizes.precision} on {sizes.device}",
            "outputs": few(tuple(output.name for output in self.outputs)),
        }

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
            "sources": [_wherever(source) for source in self.scene.sources],
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


def _wherever(source: SourceFile) -> dict[str, Any]:
    """Return what tells a source from another one: not where it is, as disks and catalogues are moved."""
    name = PurePosixPath(redacted(source.href)).name
    return {"name": name, "size_bytes": source.size_bytes, "version": redacted(source.version)}


def plan(
    scene: Scene,
    model: Model,
    settings: Settings | None = None,
    default_chunk: int | None = None,
    *,
    measure: bool = True,
    any_gsd: bool = False,
    executor: Executor | None = None,
) -> Plan:
    """Align a scene to a model, choose what the settings leave open, measure the radiometry, and lay the lattice.

    Parameters
    ----------
    default_chunk
        Strides per chunk if the settings name none; None chooses as many as suit memory and parallelism.
    measure
        Whether to look at a sample of the pixels, by which the radiometry is measured where it is that of the scene.
        Without it the plan tells what a run costs, and is not to be run.
    any_gsd
        Whether to take a scene whose GSD is far from that of the model's training.
    executor
        On one of whose workers a GPU is probed if the batch is left open, and the model's edge response is measured
        if neither the model nor the settings say what margin it needs. Default: this thread.

    Raises
    ------
    SceneError
        If the scene does not fit the model.
    ModelError
        If a head has other bands than the input whose values it has, and these are not scaled alike.
    PlanError
        If window, overlap and scales do not go together, a device that is to be probed is not there, the model has no
        head that is asked for, or the scene is more than 1.5 times finer or coarser than what it was trained on.
    """
    model, settings = model.as_it_is(), settings or Settings()
    spec = model.spec
    if model.fitted:
        check_radiometry(model.fitted, settings)
    aligned = align(scene, spec, settings.resampling)
    heads, outputs = asked_heads(spec, settings), outputs_of(spec, aligned, settings)
    if not any_gsd:
        check_gsd(spec, aligned)
    height, width = aligned.inputs[spec.reference].geobox.shape
    wanted = {
        i.name: SCENE_PERCENTILES if settings.radiometry == "scene" else i.radiometry for i in spec.inputs
    }
    executor = executor or SerialExecutor()

    def probe() -> dict[str, EdgeResponse]:
        fitted = {name: one.fit(_sample(aligned.inputs[name], one)) for name, one in wanted.items()}
        found: dict[str, EdgeResponse] = executor.submit(
            probe_edges, model, settings, aligned, fitted
        ).result()
        return found

    chosen = choose(settings, model, (height, width), outputs, executor, default_chunk, probe)
    sizes = chosen.settings
    laid = Lattice(height, width, sizes.window, sizes.overlap, sizes.chunk)
    _check_number(laid)
    radiometry, samples = wanted, dict[str, Sample]()
    if measure:
        samples = {name: _sample(aligned.inputs[name], found) for name, found in wanted.items()}
        radiometry = {name: found.fit(samples[name]) for name, found in wanted.items()}
        _check_values(spec, heads, aligned, radiometry)
    continuous = [head for head in heads if head.kind == "continuous"]
    return Plan(
        scene=aligned,
        model=model,
        settings=chosen.settings,
        why=chosen.why,
        lattice=laid,
        radiometry=radiometry,
        outputs=outputs,
        delivered_scales={i.name: _delivered_scale(scene, i.name, spec.reference) for i in spec.inputs},
        exact={head.name: exact_values(head, aligned, radiometry, samples) for head in continuous},
        notes=(
            *filter(None, [aligned.nowhere, choice_note(scene, spec)]),
            *outside_notes(aligned, wanted, samples),
        ),
        edges=chosen.edges,
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


def _check_values(
    spec: ModelSpec, heads: tuple[HeadSpec, ...], aligned: Scene, radiometry: Mapping[str, Radiometry]
) -> None:
    """Refuse heads whose values could be brought back only by guessing which band they are of."""
    for head in heads:
        if not head.like or head.channels == spec.input(head.like).channels:
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


def _sample(found: SceneInput, wanted: Radiometry) -> Sample:
    sample = sample_values(found)
    if wanted.kind == "percentile" and not np.isfinite(sample).all(axis=0).any():
        return reduced(found, FINE_SAMPLE_PX).reshape(
            len(found.bands), -1
        )  # what is valid may lie between the blocks
    return sample
