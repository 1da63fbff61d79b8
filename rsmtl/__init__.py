"""Multi-task PyTorch models over satellite scenes larger than memory, on Dask, without a seam.

The public surface, loaded when first used so that `import rsmtl` and `rsmtl --help` are quick:

    scene = rsmtl.open_scene("item.json", assets=["red", "green", "blue"])
    model = rsmtl.load_model("urec-landscape")
    heads = rsmtl.predict(scene, model)                # lazy: a slice runs the windows it needs
    product = rsmtl.write(scene, model, Path("out"))   # durable: Zarr, COG, STAC item, resumable
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rsmtl.config import Settings as Settings
    from rsmtl.engine.classical import pansharpener as pansharpener
    from rsmtl.engine.evaluate import evaluate as evaluate
    from rsmtl.engine.lazy import predict as predict
    from rsmtl.engine.plan import plan as plan
    from rsmtl.engine.product import write as write
    from rsmtl.engine.verify import verify as verify
    from rsmtl.models.checkpoint import load_model as load_model
    from rsmtl.models.model import Model as Model
    from rsmtl.models.spec import HeadSpec as HeadSpec
    from rsmtl.models.spec import InputSpec as InputSpec
    from rsmtl.models.spec import ModelSpec as ModelSpec
    from rsmtl.models.spec import ValueSpec as ValueSpec
    from rsmtl.scene.open import open_scene as open_scene
    from rsmtl.store.plot import plot as plot
    from rsmtl.training import train as train

_HOMES = {
    "Settings": "rsmtl.config",
    "load_model": "rsmtl.models.checkpoint",
    "Model": "rsmtl.models.model",
    "HeadSpec": "rsmtl.models.spec",
    "InputSpec": "rsmtl.models.spec",
    "ModelSpec": "rsmtl.models.spec",
    "ValueSpec": "rsmtl.models.spec",
    "evaluate": "rsmtl.engine.evaluate",
    "pansharpener": "rsmtl.engine.classical",
    "predict": "rsmtl.engine.lazy",
    "plan": "rsmtl.engine.plan",
    "write": "rsmtl.engine.product",
    "verify": "rsmtl.engine.verify",
    "open_scene": "rsmtl.scene.open",
    "plot": "rsmtl.store.plot",
    "train": "rsmtl.training",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rsmtl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
