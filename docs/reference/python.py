"""`reference/python.md`: directives for every public name, so that none is forgotten; autodoc reads the docstrings."""

import inspect
import pkgutil
from collections.abc import Iterable
from importlib import import_module

from sphinx.pycode import ModuleAnalyzer

from docs.docstrings import escaped

MODULES = {
    "dispatch": "rsmtl.dispatch",
    "models": "rsmtl.models",
    "losses": "rsmtl.losses",
    "metrics": "rsmtl.metrics",
}
"""Parts of the page, and the modules whose `__all__` they show."""

SCENES = ("rsmtl.scene.arrays.scene_from_arrays", "rsmtl.scene.open.scene_refs")
FUNCTIONS = (
    "open_scene",
    "load_model",
    "predict",
    "write",
    "plan",
    "verify",
    "evaluate",
    "train",
    "pansharpener",
    "plot",
)
MODELS = ("Model", "ModelSpec", "InputSpec", "HeadSpec", "ValueSpec")
SETTINGS = ("Settings",)
"""What of `rsmtl` is shown where; `test_reference.py` compares them with `rsmtl.__all__`."""

TYPES = (
    "rsmtl.scene.scene.Scene",
    "rsmtl.scene.scene.SceneInput",
    "rsmtl.scene.scene.Storage",
    "rsmtl.scene.scene.SourceFile",
    "rsmtl.scene.open.SceneRef",
    "rsmtl.scene.search.Search",
    "rsmtl.radiometry.Radiometry",
    "rsmtl.engine.plan.Plan",
    "rsmtl.engine.product.Product",
    "rsmtl.engine.drain.Progress",
    "rsmtl.engine.verify.Verification",
    "rsmtl.engine.evaluate.Evaluation",
    "rsmtl.engine.executor.Executor",
    "rsmtl.config.RunSettings",
    "rsmtl.lattice.Lattice",
    "rsmtl.lattice.Axis",
    "rsmtl.lattice.Span",
    "rsmtl.lattice.Window",
    "rsmtl.store.output.Output",
    "rsmtl.blend.Exact",
    "rsmtl.models.margin.Measured",
    "rsmtl.models.margin.EdgeResponse",
    "rsmtl.models.margin.WindowScore",
    "rsmtl.engine.seam.Seam",
)
"""What public functions take and return besides."""


def parts() -> dict[str, str]:
    """Return Markdown by the name under which the page asks for it."""
    return {
        "functions": directives(f"rsmtl.{name}" for name in FUNCTIONS),
        "scenes": directives(SCENES),
        "own_model": directives(f"rsmtl.{name}" for name in MODELS),
        "settings": directives(f"rsmtl.{name}" for name in SETTINGS),
        "types": directives(TYPES),
        "errors": directives(errors()),
        **{part: directives(public(module)) for part, module in MODULES.items()},
    }


def public(module: str) -> list[str]:
    """Return the full names in a module's `__all__` that are documented there, and not with `rsmtl` itself."""
    elsewhere = {*FUNCTIONS, *MODELS, *SETTINGS}
    return [f"{module}.{name}" for name in import_module(module).__all__ if name not in elsewhere]


def errors() -> list[str]:
    """Return the full names of all errors, the general before the special."""
    module = import_module("rsmtl.errors")
    found = [
        one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__
    ]
    return [f"{module.__name__}.{one.__name__}" for one in sorted(found, key=lambda one: len(one.__mro__))]


def directives(names: Iterable[str]) -> str:
    """Return a directive of autodoc's for each of the names."""
    return "\n\n".join(f"```{{eval-rst}}\n{_directive(name)}\n```" for name in names)


def _directive(name: str) -> str:
    home, _, attribute = name.rpartition(".")
    found = getattr(import_module(home), attribute)
    if inspect.isclass(found) and found.__module__.startswith("rsmtl"):
        hidden = "model_config, model_post_init"
        return f".. autoclass:: {name}\n   :members:\n   :undoc-members:\n   :exclude-members: {hidden}"
    if inspect.isfunction(found):
        return f".. autofunction:: {name}"
    return f".. py:data:: {name}\n\n   {escaped(said_of(home, attribute))}"


def said_of(package: str, name: str) -> str:
    """Return the docstring below a constant or an alias, in whichever module of a package it is defined."""
    for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
        if lines := ModuleAnalyzer.for_module(module.name).find_attr_docs().get(("", name)):
            return " ".join(lines).strip()
    return ""
