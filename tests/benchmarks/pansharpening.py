"""Pansharpening of `panseg-landscape` beside PanNet and classical methods: generated and real pairs, against truth.

python -m tests.benchmarks.pansharpening --out OUT [--data DIR] [--pannet CHECKPOINT]

Generated pairs have HRMS as their truth. The real ones (WorldView-2, `pan_ms`) are judged by Wald's protocol: both
images are brought down by the ratio, and the MS that was measured is the truth. They are judged in red, green and blue,
since the network knows three bands. PanNet is trained first, on the landscapes of `panseg-landscape`, unless a
checkpoint is given. Prints Markdown.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  # gives arrays their `.rio`, and xarray its engine
import torch
import xarray as xr
from affine import Affine

import rsmtl
from rsmtl.metrics.noreference import bring_down
from rsmtl.scene.scene import Scene
from rsmtl.synthetic import Landscape
from rsmtl.training import TrainConfig, read_config

SEEDS = (3_000_000, 3_000_001, 3_000_002, 3_000_003)
"""Of the test split of `panseg-landscape`."""
SIZE_PX = 512
RATIO = 4
CLASSICAL = {"Brovey": "brovey", "GSA": "gsa", "Bayesian": "bayesian", "LMVM": "lmvm"}
SETTINGS = rsmtl.Settings(resampling="cubic")
CRS = "EPSG:32631"
SCORES = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "q2n": "Q2ⁿ", "sam_deg": "SAM (°)", "ergas": "ERGAS"}

Table = dict[str, dict[str, float]]


class MsAlone(torch.nn.Module):
    """What all must beat: MS, interpolated."""

    def forward(self, pan: torch.Tensor, ms: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `hrms`."""
        return {"hrms": torch.nn.functional.interpolate(ms, scale_factor=RATIO, mode="bicubic")}


def main() -> None:
    """Train PanNet if need be, run all methods over all pairs, and print."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.pansharpening")
    parser.add_argument("--out", type=Path, required=True)
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RSMTL_DATA", default)))
    parser.add_argument("--model", default="panseg-landscape")
    parser.add_argument("--pannet", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.pannet or rsmtl.train(pannet_config(), options.out / "pannet", options.data)
    networks = {"panseg-landscape": rsmtl.load_model(options.model), "PanNet": rsmtl.load_model(checkpoint)}
    generated = [judged(generated_pair(seed, options.out), networks) for seed in SEEDS]
    print(markdown(f"{len(SEEDS)} generated pairs", mean(generated)))
    for tile, rows, cols in (
        ("tile1", slice(0, 150), slice(0, 150)),
        ("tile2", slice(56, 150), slice(0, 150)),
    ):
        print(markdown(f"WorldView-2, {tile}", judged(real_pair(tile, rows, cols, options), networks)))


def pannet_config() -> TrainConfig:
    """Return a training of PanNet on the pairs of `panseg-landscape`."""
    ours = read_config("panseg-landscape")
    sampling = ours.sampling.model_copy(update={"patch_px": 64})
    changed = {"system": "pannet", "model": {"width": 16}, "sampling": sampling, "epochs": 8}
    return ours.model_copy(update={**changed, "precision": "fp32", "storage": "fp32"})


def generated_pair(seed: int, out: Path) -> tuple[str, Scene, Path]:
    """Write a landscape; return its name, scene and truth."""
    size = slice(0, SIZE_PX)
    found = Landscape(seed=seed, height_px=SIZE_PX, width_px=SIZE_PX).render(size, size)
    return written(out / str(seed), found.pan, found.ms[:3], found.hrms[:3])


def real_pair(tile: str, rows: slice, cols: slice, options: argparse.Namespace) -> tuple[str, Scene, Path]:
    """Write a pair brought down by its ratio, of a part of a tile in pixels of MS."""
    files = options.data / "pan_ms"
    fine = [slice(RATIO * span.start, RATIO * span.stop) for span in (rows, cols)]
    pan, ms = (
        xr.open_dataarray(files / f"{tile}_{name}.tif", engine="rasterio").values
        for name in ("pan_0.5m", "ms_2m")
    )
    pan, truth = pan[:, *fine], ms[[2, 1, 0], rows, cols]
    height, width = (length // RATIO * RATIO for length in truth.shape[1:])
    pan, truth = pan[:, : RATIO * height, : RATIO * width], truth[:, :height, :width]
    coarse = [bring_down(v.astype(np.float64), RATIO).round().astype(np.uint16) for v in (pan, truth)]
    return written(options.out / tile, coarse[0], coarse[1], truth)


def written(folder: Path, pan: Any, ms: Any, truth: Any) -> tuple[str, Scene, Path]:
    """Write a pair and its truth as rasters of one corner."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values, gsd in (("pan", pan, 1.0), ("ms", ms, float(RATIO)), ("truth", truth, 1.0)):
        transform = Affine(gsd, 0, 500_000, 0, -gsd, 5_000_000)
        array = (
            xr.DataArray(values, dims=("band", "y", "x")).rio.write_crs(CRS).rio.write_transform(transform)
        )
        array.rio.to_raster(folder / f"{name}.tif")
    scene = rsmtl.open_scene({"pan": folder / "pan.tif", "ms": folder / "ms.tif"})
    return folder.name, scene, folder / "truth.tif"


def judged(pair: tuple[str, Scene, Path], networks: dict[str, rsmtl.Model]) -> Table:
    """Return the scores of all methods on a pair."""
    _, scene, truth = pair
    alone = rsmtl.Model.from_module(MsAlone(), networks["PanNet"].spec)
    models = {"MS alone": alone, **networks}
    models |= {name: rsmtl.pansharpener(one, scene, SETTINGS) for name, one in CLASSICAL.items()}
    scores = {}
    for name, model in models.items():
        out = truth.parent / "products" / name
        folder = rsmtl.write(scene, model, out, SETTINGS, overwrite=True, any_gsd=True).folder
        found = rsmtl.evaluate(folder, {"hrms": truth}).results["hrms"]
        scores[name] = {score: float(found[score]) for score in SCORES}
    return scores


def mean(tables: list[Table]) -> Table:
    """Return the mean over pairs."""
    return {
        name: {score: float(np.mean([table[name][score] for table in tables])) for score in SCORES}
        for name in tables[0]
    }


def markdown(title: str, table: Table) -> str:
    """Return a table, best PSNR first."""
    rows = sorted(table.items(), key=lambda row: -row[1]["psnr_db"])
    lines = [f"## {title}", "", f"| | {' | '.join(SCORES.values())} |", "|---|" + "---:|" * len(SCORES)]
    lines += [f"| {name} | {' | '.join(f'{found[s]:.3f}' for s in SCORES)} |" for name, found in rows]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
