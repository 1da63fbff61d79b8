"""Versions of what matters: those here must be those of the scheduler and of every worker."""

import hashlib
import platform
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

from rsmtl.doctor.finding import HERE, Finding

PACKAGES = (
    "rsmtl",
    "torch",
    "dask",
    "distributed",
    "cloudpickle",
    "msgpack",
    "numpy",
    "xarray",
    "zarr",
    "rasterio",
    "odc-geo",
    "pydantic",
)
EXTRAS = {"prefect": "flows", "timm": "encoders of dsrl by name"}
"""Optional packages, and what they are for."""
SOURCE, MISSING = "source of rsmtl", "missing"


def look_at_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of Python and of packages that are installed, and a digest of rsmtl's own source."""
    found = {"Python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = MISSING
    spec = util.find_spec("rsmtl")
    if spec is None or not spec.submodule_search_locations:
        return found | {SOURCE: MISSING}
    digest, root = hashlib.sha256(), Path(spec.submodule_search_locations[0])
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found | {SOURCE: digest.hexdigest()[:12]}


def look_at_import() -> str:
    """Import what every job needs."""
    import_module("rsmtl.dispatch")
    return "imported"


def judge_versions(found: Mapping[str, Mapping[str, str]], names: tuple[str, ...]) -> Iterator[Finding]:
    """Compare those of all places with those here."""
    ours = found[HERE]
    if ours["rsmtl"] == MISSING:
        yield Finding(
            "versions",
            "rsmtl runs from a folder and is not installed, and its version is part of every product",
            "mend",
            "install it with pip",
        )
    for place, theirs in found.items():
        if place != HERE:
            yield from _compared(place, ours, theirs, names)
    compared = ("Python", SOURCE, *names)
    same = [p for p, theirs in found.items() if all(theirs[name] == ours[name] for name in compared)]
    told = ", ".join(f"{name} {ours[name]}" for name in ("Python", "rsmtl", "torch", "dask", "rasterio"))
    yield Finding("versions", f"{told}; source {ours[SOURCE]}", where=tuple(same))


def _compared(
    place: str, ours: Mapping[str, str], theirs: Mapping[str, str], names: tuple[str, ...]
) -> Iterator[Finding]:
    if theirs[SOURCE] == MISSING:
        yield Finding(
            "versions", "rsmtl is missing", "mend", f"install rsmtl {ours['rsmtl']} there", where=(place,)
        )
    elif theirs[SOURCE] != ours[SOURCE]:
        yield Finding(
            "versions",
            f"the source of rsmtl is another one ({theirs[SOURCE]}, {ours[SOURCE]} here)",
            "mend",
            "install the same rsmtl in both places, and start the process there again",
            where=(place,),
        )
    for name in ("Python", *names):
        if theirs[name] != ours[name] and name != "rsmtl":
            yield _differing(name, place, ours[name], theirs[name])
    if theirs.get("timm") == MISSING != ours.get("timm", MISSING):
        text = f"timm is missing, {ours['timm']} here ({EXTRAS['timm']})"
        todo = f"install timm {ours['timm']} there if the model needs it"
        yield Finding("extras", text, "note", todo, where=(place,))


def _differing(name: str, place: str, ours: str, theirs: str) -> Finding:
    if name == "Python" and ours.split(".")[:2] == theirs.split(".")[:2]:
        return Finding("versions", f"Python is {theirs}, {ours} here", "note", where=(place,))
    if theirs == MISSING:
        return Finding(
            "versions", f"{name} is missing", "mend", f"install {name} {ours} there", where=(place,)
        )
    return Finding(
        "versions",
        f"{name} is {theirs}, {ours if ours != MISSING else 'but missing'} here",
        "mend",
        f"install the same {name} in both places",
        where=(place,),
    )


def judge_extras(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell of optional packages."""
    for name, purpose in EXTRAS.items():
        version = found[name]
        if version == MISSING:
            yield Finding("extras", f"{name} is not installed (for {purpose})", "note")
        else:
            yield Finding("extras", f"{name} {version}")
