"""A run's record and a product's small files, for the tests of what is written last."""

from pathlib import Path
from typing import Any

import numpy as np

from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.store.cog import write_cog
from rsmtl.store.folder import PROVENANCE_NAME, QUICKLOOK_NAME, cog_path
from rsmtl.store.grid import output_geobox
from rsmtl.store.output import Output
from rsmtl.store.provenance import InputRun, Run, Source, software
from tests.store.products import CLASSES, array_of, utm

BANDS = ("red", "green", "blue", "nir")
SPEC = ModelSpec(
    system="urec",
    inputs=(InputSpec(name="image", channels=4, bands=BANDS),),
    heads=(
        HeadSpec(
            name="segmentation", channels=3, kind="classes", activation="softmax", classes=CLASSES
        ),
        HeadSpec(name="hrms", channels=4, kind="continuous", like="image"),
        HeadSpec(name="sr", channels=3, scale="4", kind="continuous", like="image"),
    ),
)  # fmt: skip


def run_of(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "scene_id": "S2A_29RKH_20200219_0_L2A",
        "opened_with": {"source": "item.json", "assets": ["red"]},
        "derived_from": "/data/stac/s2_29RKH/item.json",
        "fingerprint": "f" * 64,
        "model_source": "/models/urec-landscape.safetensors",
        "model_href": "/models/urec-landscape.safetensors",
        "model_sha256": "a" * 64,
        "model_spec": SPEC.model_dump(mode="json"),
        "settings": {"window": 512, "overlap": 64, "chunk": None, "batch": 2, "extras": []},
        "inputs": {
            "image": InputRun(
                bands=BANDS, alignment="native", radiometry={"kind": "fixed", "low": [0.0], "high": [1.0]}
            )
        },
        "sources": (Source(href="/data/red.tif", size_bytes=17, version="1700000000"),),
        "shape_px": (200, 300),
        "chunk_px": 192,
        "n_chunks": 4,
        "windows_run": 5,
        "windows_skipped": 1,
        "seconds": {"model": 2.5},
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:06+00:00",
        "software": software(),
    }
    return Run(**(values | changes))


def write_small_files(folder: Path, *outputs: Output) -> None:
    """COGs of 200 by 300 reference pixels, and something in the place of each other file."""
    for k, output in enumerate(outputs):
        grid = output_geobox(utm(200, 300), output)
        values = (
            np.random.default_rng(k).integers(0, 3, (len(output.bands), *grid.shape)).astype(output.dtype)
        )
        path = cog_path(folder, output.name)
        write_cog(
            array_of(grid, values), path, nodata=output.nodata, bands=output.bands, classes=output.classes
        )
    for name in (PROVENANCE_NAME, QUICKLOOK_NAME):
        (folder / name).write_bytes(b"small")
