"""`run.json`: what a product was made from, with what, and what it took."""

import platform
from importlib.metadata import version
from typing import Any

import rasterio
from pydantic import BaseModel, ConfigDict, ValidationError

from rsmtl.errors import InputError, explain
from rsmtl.store.folder import PROVENANCE_NAME
from rsmtl.store.place import Place, read, write_text

PACKAGES = (
    "rsmtl",
    "torch",
    "numpy",
    "xarray",
    "zarr",
    "dask",
    "rasterio",
    "rioxarray",
    "odc-geo",
    "stackstac",
)


class Source(BaseModel):
    """A file that was read, with what tells whether it has changed since."""

    model_config = ConfigDict(frozen=True)

    href: str
    size_bytes: int | None
    version: str


class InputRun(BaseModel):
    """How one input of the model was made."""

    model_config = ConfigDict(frozen=True)

    bands: tuple[str, ...]
    alignment: str
    """`native`, or how it was brought onto its grid."""
    radiometry: dict[str, Any]
    """As it was applied, after percentiles were measured."""
    delivered_scale: float | None = None
    """Pixels per reference pixel as the scene came, before anything was brought onto a grid: 0.25 for MS of a 4:1
    pair. None in records of before it was kept."""


class Run(BaseModel):
    """The whole record of a run."""

    model_config = ConfigDict(frozen=True)

    scene_id: str
    opened_with: dict[str, Any]
    """What opens the scene again; empty for one made in memory."""
    derived_from: str
    """The STAC item the scene came from; empty if there was none."""
    fingerprint: str
    """Digest of everything that decides the product's bits."""
    model_source: str
    """What the model is found by: name or path of a checkpoint, or a classical method; empty for one in memory."""
    model_href: str
    """Where the weights' file stood; empty for one in memory."""
    model_sha256: str
    model_spec: dict[str, Any]
    settings: dict[str, Any]
    inputs: dict[str, InputRun]
    sources: tuple[Source, ...]
    shape_px: tuple[int, int]
    chunk_px: int
    n_chunks: int
    windows_run: int
    windows_skipped: int
    """Windows of the lattice without a valid pixel."""
    seconds: dict[str, float]
    """By stage, summed over all jobs."""
    started: str
    """UTC, of the call that finished the product."""
    finished: str
    software: dict[str, str]


def software() -> dict[str, str]:
    """Return the versions of what can change a product."""
    versions = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "gdal": rasterio.__gdal_version__, **versions}


def write_run(folder: Place, run: Run) -> None:
    """Write `run.json`.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    write_text(folder / PROVENANCE_NAME, run.model_dump_json(indent=2))


def read_run(folder: Place) -> Run:
    """Return what `run.json` says.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    RunError
        If the disk or the store does not answer.
    """
    path = folder / PROVENANCE_NAME
    content = read(path)
    if content is None:
        raise InputError(f"there is no product in {folder}: it has no {PROVENANCE_NAME}")
    try:
        return Run.model_validate_json(content)
    except ValidationError as error:
        raise InputError(
            f"{path} is damaged ({explain(error)}): make the product again with --overwrite"
        ) from error
