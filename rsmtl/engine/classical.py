"""Classical pansharpening, fitted to a scene: what a method must know of all of it, and the model that then runs.

Moments are sums over squares that lie on the scene's grid, added in order: they do not depend on who computes them.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from rsmtl.config import Settings
from rsmtl.engine.executor import Executor, SerialExecutor, in_order
from rsmtl.engine.plan import check_radiometry
from rsmtl.engine.ratio import pixel_ratio
from rsmtl.errors import SceneError
from rsmtl.models.checkpoint import load_model
from rsmtl.models.classical import Brovey, Injection, Lmvm, pansharpening_spec
from rsmtl.models.model import Model
from rsmtl.models.spec import ModelSpec
from rsmtl.scene.align import align
from rsmtl.scene.read import read_window
from rsmtl.scene.scene import Scene

SQUARE_PX = 1024
"""Edge of what one job reads, or the largest multiple of the ratio below it."""

BAYESIAN_LAMBDA = 0.9999
"""Weight of PAN against MS in the Bayesian fusion; as Orfeo ToolBox has it."""

RADIUS_PX = 3
"""Of LMVM's neighbourhood: 7×7 pixels, as Orfeo ToolBox has it."""

METHODS = {
    "lmvm": "local mean and variance matching",
    "brovey": "Brovey's transform",
    "gsa": "Gram-Schmidt adaptive",
    "bayesian": "Bayesian fusion",
}
"""The classical methods by name."""


@dataclass(frozen=True, eq=False)
class ModelFinder:
    """Gives the model for a scene: fitted to it for a classical method, else the one that was trained."""

    name: str
    """A classical method, or what `load_model` finds a model by."""
    trained: Model | None = None

    def __call__(self, scene: Scene, settings: Settings, executor: Executor) -> Model:
        """Return the model; errors as `pansharpener`."""
        return self.trained or pansharpener(self.name, scene, settings, executor=executor)

    def made(self, model_source: str, model_sha256: str) -> bool:
        """Whether a product with this in its record was made by this model, or by the same method."""
        return model_source == self.name and (self.trained is None or model_sha256 == self.trained.sha256)


def model_finder(name_or_path: str) -> ModelFinder:
    """Return what gives the model for a scene.

    Raises
    ------
    ModelError
        As `load_model`.
    """
    if name_or_path in METHODS:
        return ModelFinder(name_or_path)
    trained = load_model(name_or_path)
    return ModelFinder(trained.source, trained)


def pansharpener(
    method: str, scene: Scene, settings: Settings | None = None, *, executor: Executor | None = None
) -> Model:
    """Return a classical pansharpening method as a model for one scene, to be given to `predict` or `write`.

    Parameters
    ----------
    method
        `lmvm`, `brovey`, `gsa` (Aiazzi, Baronti, Selva, "Improving component substitution pansharpening through
        multivariate regression of MS + Pan data", TGRS 2007) or `bayesian` (Fasbender, Radoux, Bogaert, "Bayesian data
        fusion for adaptable image pansharpening", TGRS 2008).
    scene
        With inputs `pan` and `ms`. MS is brought onto PAN's grid as `settings.resampling` says, whatever its offset
        and ratio.
    executor
        Who reads the scene where a method must know all of it (`gsa`, `bayesian`); this thread unless said.

    Raises
    ------
    SceneError
        If the scene has no PAN or no MS, or nothing valid.
    PlanError
        If the settings ask for another radiometry than the model's.
    """
    settings = settings or Settings()
    check_radiometry(method, settings)
    spec = _spec(method, scene)
    module = _module(method, scene, spec, settings, executor or SerialExecutor())
    return replace(Model.from_module(module, spec), fitted=method)


def _spec(method: str, scene: Scene) -> ModelSpec:
    if method not in METHODS:
        raise SceneError(f"there is no pansharpening method {method!r}: use one of {', '.join(METHODS)}")
    if "pan" not in scene.inputs or "ms" not in scene.inputs:
        raise SceneError(
            f"{method} takes inputs 'pan' and 'ms', scene {scene.id!r} gives {', '.join(scene.inputs)}: give "
            "pan=FILE ms=FILE, or say with `--assets` which assets make up each"
        )
    return pansharpening_spec(method, scene.inputs["ms"].bands, RADIUS_PX if method == "lmvm" else 0)


def _module(method: str, scene: Scene, spec: ModelSpec, settings: Settings, executor: Executor) -> nn.Module:
    match method:
        case "lmvm":
            return Lmvm(RADIUS_PX)
        case "brovey":
            return Brovey()
        case "gsa":
            pixels, blocks = _sums(scene, spec, settings, executor)
            moments = _finished(pixels, scene.id)
            if not blocks[0, 0]:
                raise SceneError(
                    f"scene {scene.id!r} has no {_ratio(scene)}×{_ratio(scene)} pixels of PAN, as large as one of MS, "
                    "that are all valid, so gsa cannot be fitted to it: take another method"
                )
            return gram_schmidt_adaptive(moments, _finished(blocks, scene.id))
        case _:
            return bayesian(_finished(_sums(scene, spec, settings, executor)[0], scene.id))


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of `[PAN, MS bands]` over a scene."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n: float

    @property
    def regression(self) -> tuple[float, NDArray[np.float64]]:
        """Offset and weights of PAN's least-squares fit by the bands."""
        weights = np.linalg.lstsq(self.covariance[1:, 1:], self.covariance[1:, 0], rcond=None)[0]
        return float(self.mean[0] - weights @ self.mean[1:]), weights.astype(np.float64)


def gram_schmidt_adaptive(pixels: Moments, blocks: Moments) -> Injection:
    """Return GSA: the intensity is PAN's regression on the bands at MS's resolution, gains are cov(I, MS) / var(I).

    Parameters
    ----------
    pixels
        Of all pixels.
    blocks
        Of the means of r×r pixels, which bring PAN down to MS. The regression makes the intensity follow it in mean
        and scale, so PAN is not matched to it once more.
    """
    offset, weights = blocks.regression
    covariance = pixels.covariance[1:, 1:] @ weights
    variance = float(weights @ covariance)
    gains = covariance / variance if variance > 0 else np.zeros_like(weights)
    return Injection(offset, weights.tolist(), gains.tolist())


def bayesian(pixels: Moments) -> Injection:
    """Return the Bayesian fusion of Fasbender et al., with the weight λ that Orfeo ToolBox gives PAN.

    The result Z minimises λ (PAN − α − βᵀZ)² / S + (1 − λ) (Z − MS)ᵀ Σ⁻¹ (Z − MS), with α, β and the residual
    variance S of PAN's regression on the bands, and Σ the covariance of the bands. In closed form (by the lemma of
    Sherman and Morrison) that is MS + g (PAN − α − βᵀMS), g = λ Σβ / (λ βᵀΣβ + (1 − λ) S).
    """
    offset, weights = pixels.regression
    covariance = pixels.covariance[1:, 1:] @ weights
    explained = float(weights @ covariance)
    residual = max(0.0, float(pixels.covariance[0, 0]) - explained)
    under = BAYESIAN_LAMBDA * explained + (1 - BAYESIAN_LAMBDA) * residual
    gains = BAYESIAN_LAMBDA * covariance / under if under > 0 else np.zeros_like(weights)
    return Injection(offset, weights.tolist(), gains.tolist())


def _sums(scene: Scene, spec: ModelSpec, settings: Settings, executor: Executor) -> NDArray[np.float64]:
    """Sums of products of pixels, and of the means of r×r pixels, over the whole scene."""
    ratio = _ratio(scene)
    aligned = align(scene, spec, settings.resampling)
    height, width = aligned.inputs[spec.reference].geobox.shape
    edge = max(ratio, SQUARE_PX // ratio * ratio)
    squares = [
        (slice(y, min(y + edge, height)), slice(x, min(x + edge, width)))
        for y, x in product(range(0, height, edge), range(0, width, edge))
    ]
    shared = executor.share(aligned)
    n = 2 + len(spec.input("ms").bands)
    jobs = in_order(executor, moment_job, ((shared, spec, y, x, ratio) for y, x in squares))
    return sum(jobs, start=np.zeros((2, n, n)))


def _ratio(scene: Scene) -> int:
    """PAN pixels per MS pixel, rounded."""
    return max(1, round(pixel_ratio(scene.inputs["ms"].geobox, scene.inputs["pan"].geobox)))


def moment_job(scene: Scene, spec: ModelSpec, y: slice, x: slice, ratio: int) -> NDArray[np.float64]:
    """Return Σ v vᵀ for v = `[1, PAN, MS bands]` over a square's valid pixels, and over its means of r×r pixels."""
    values, valid = read_window(scene, spec, y, x)
    stacked = np.concatenate([values["pan"], values["ms"]]).astype(np.float64)
    rows, cols = (size // ratio * ratio for size in valid.shape)
    shape = rows // ratio, ratio, cols // ratio, ratio
    whole = valid[:rows, :cols].reshape(shape).all(axis=(1, 3))
    means = stacked[:, :rows, :cols].reshape(len(stacked), *shape).mean(axis=(2, 4))
    return np.stack([_products(stacked[:, valid]), _products(means[:, whole])])


def _products(values: NDArray[Any]) -> NDArray[np.float64]:
    extended = np.concatenate([np.ones((1, values.shape[1])), values])
    return np.asarray(np.einsum("in,jn->ij", extended, extended))  # not by BLAS: bits depend on its threads


def _finished(sums: NDArray[np.float64], scene_id: str) -> Moments:
    n = sums[0, 0]
    if n == 0:
        raise SceneError(
            f"scene {scene_id!r} has no pixel that is valid in PAN and MS, so no pansharpening can be fitted to it: "
            "look at its nodata value"
        )
    mean = sums[0, 1:] / n
    return Moments(mean, sums[1:, 1:] / n - np.outer(mean, mean), n)
