"""rsmtl against what its users would take instead: time and peak memory of one job, from the file to both heads' maps.

Every side runs in a process of its own, with as many threads, or worker processes, as the others, and as its users
run it. Sides take turns. The clock begins when all is imported, the workers are up and the model is loaded. Twice:

equal work
    The same weights, window, overlap, batch, precision and layout. All blend with ramps, but the grid loop and Dask,
    which crop; peers blend logits and keep no valid mask, which is less work. Their maps are plain files: they compare
    with our store. COGs with overviews, quicklook and STAC item are told apart.
defaults
    What each side does if nothing is said, or as its own examples say.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rsmtl.engine.plan import plan
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from tests.benchmarks.overhead import SETTINGS, landscape
from tests.benchmarks.peer_runs.job import MODEL, Job, Took, read
from tests.benchmarks.pictures import COLORS
from tests.benchmarks.table import Options, Row

OURS = "by_rsmtl"
PEERS = {
    "by_monai": ("MONAI", "monai"),
    "by_toolbelt": ("pytorch-toolbelt", "pytorch_toolbelt"),
    "by_grid_loop": ("TorchGeo-style loop", ""),
    "by_map_overlap": ("dask.map_overlap", ""),
}
"""Names of peers by the module that runs them, and the package it needs that is not rsmtl's own."""
AIMS = {True: "≥ 1.2", False: "≥ 2.5"}
"""Against the fastest peer, on equal work and with defaults."""
MEMORY_AIM, MEMORY_AIM_PX = "≤ 0.2", 8192
"""Against the leanest peer, where the scene is so large."""

Round = Mapping[str, Took | str]
"""What each side took, or why it failed."""


def rows(options: Options) -> Iterator[Row]:
    """Let all sides take turns, with equal work and with their defaults."""
    scene = landscape(options.folder, options.size_px)
    sides = [OURS, *installed()]
    rounds: dict[bool, list[Round]] = {True: [], False: []}
    for number in range(options.n_pairs):
        for is_equal, done in rounds.items():
            folder = options.folder / f"{number}-{is_equal}"
            done.append(
                {
                    side: run(side, job_of(scene, folder / side, options.n_workers, is_equal, options.device))
                    for side in sides
                }
            )
    shares = {
        peer: equal_classes(options.folder / "0-True", peer)
        for peer in sides[1:]
        if _finished(rounds[True], peer)
    }
    for is_equal, done in rounds.items():
        yield from time_rows(is_equal, done, shares)
    yield from memory_rows(rounds[True], options.size_px)
    _draw(options.plots / "peers.png", rounds)


def job_of(
    scene: Path, folder: Path, n_threads: int, is_equal: bool, device: Literal["cpu", "cuda"] = "cpu"
) -> Job:
    """Return the job of a side, which writes to a folder of its own."""
    folder.mkdir(parents=True)
    fitted = plan(open_scene(scene), load_model(MODEL), SETTINGS).radiometry["image"]
    return Job(str(scene), str(folder), fitted.low, fitted.high, n_threads, is_equal, device)


def time_rows(is_equal: bool, rounds: list[Round], shares: Mapping[str, float]) -> Iterator[Row]:
    """Compare times with each peer and with the fastest one."""
    work = "equal work" if is_equal else "defaults"
    finished = [peer for peer in rounds[0] if peer != OURS and _finished(rounds, peer)]
    for peer in rounds[0]:
        if peer in finished:
            share = f", {shares[peer]:.2%} of classes as ours" if is_equal else ""
            yield _time_row(f"{work}: {PEERS[peer][0]}{share}", rounds, peer, _stored_s)
        elif peer != OURS:
            reason = next(took for took in (one[peer] for one in rounds) if isinstance(took, str))
            print(f"a  {work}: {PEERS[peer][0]} fails: {reason}", flush=True)
    if finished:
        fastest = min(finished, key=lambda peer: _median(rounds, peer, _stored_s))
        name = f"fastest peer ({PEERS[fastest][0]})"
        yield _time_row(f"{work}: {name}", rounds, fastest, _stored_s, AIMS[is_equal])
        yield _time_row(
            f"{work}: {name}, with our COGs, quicklook and item", rounds, fastest, _wall_s, AIMS[is_equal]
        )


def memory_rows(rounds: list[Round], size_px: int) -> Iterator[Row]:
    """Compare peaks of all processes with each peer and with the leanest one."""
    finished = [peer for peer in rounds[0] if peer != OURS and _finished(rounds, peer)]
    for peer in finished:
        yield _memory_row(f"peak memory at {size_px}²: {PEERS[peer][0]}", rounds, peer)
    if finished:
        leanest = min(finished, key=lambda peer: _median(rounds, peer, _peak_mib))
        aim = MEMORY_AIM if size_px >= MEMORY_AIM_PX else ""
        yield _memory_row(
            f"peak memory at {size_px}²: leanest peer ({PEERS[leanest][0]})", rounds, leanest, aim
        )


def equal_classes(folder: Path, peer: str) -> float:
    """Return the share of pixels to which a peer gives the class that we do."""
    (ours,) = (folder / OURS).glob("*/segmentation*.tif")
    return float((map_of(folder / peer, "segmentation") == read(ours)).mean())


def map_of(folder: Path, name: str) -> NDArray[Any]:
    """Return a map that a peer has left, `(bands, H, W)`."""
    tiff = folder / f"{name}.tif"
    found = read(tiff) if tiff.exists() else np.asarray(zarr.open_array(folder / f"{name}.zarr"))
    return found if found.ndim == 3 else found[None]


def installed() -> Iterator[str]:
    for side, (name, package) in PEERS.items():
        if not package or find_spec(package):
            yield side
        else:
            how = "pip install -c constraints.txt -e '.[peers]'"
            print(f"{name} is not installed, and its rows are left out: `{how}` adds it", flush=True)


def run(side: str, job: Job) -> Took | str:
    """Let a side do a job in a process of its own; return what it took, or why it failed."""
    command = [sys.executable, "-m", "tests.benchmarks.peer_runs", side, job.to_json()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return Took(**json.loads(done.stdout.splitlines()[-1]))
    reason = (done.stderr.splitlines() or [f"ended by signal {-done.returncode}"])[-1]
    if side == OURS:
        raise RuntimeError(f"rsmtl's own run failed: {reason}")
    return reason


def _finished(rounds: list[Round], side: str) -> bool:
    return all(isinstance(one.get(side), Took) for one in rounds)


def _stored_s(took: Took) -> float:
    return took.stored_s


def _wall_s(took: Took) -> float:
    return took.wall_s


def _peak_mib(took: Took) -> float:
    return took.peak_bytes / 2**20


def _values(rounds: list[Round], side: str, of: Callable[[Took], float]) -> list[float]:
    return [of(took) for took in (one[side] for one in rounds) if isinstance(took, Took)]


def _median(rounds: list[Round], side: str, of: Callable[[Took], float]) -> float:
    return statistics.median(_values(rounds, side, of))


def _time_row(what: str, rounds: list[Round], peer: str, of: Callable[[Took], float], aim: str = "") -> Row:
    """How many times as fast we are."""
    ours, theirs = (_values(rounds, side, of) for side in (OURS, peer))
    ratio = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
    return Row("a", what, statistics.median(ours), statistics.median(theirs), "s", ratio, aim)


def _memory_row(what: str, rounds: list[Round], peer: str, aim: str = "") -> Row:
    """Our share of a peer's."""
    ours, theirs = (_values(rounds, side, _peak_mib) for side in (OURS, peer))
    ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    return Row("a", what, statistics.median(ours), statistics.median(theirs), "MiB", ratio, aim)


def _draw(path: Path, rounds: Mapping[bool, list[Round]]) -> None:
    """Bars of time with equal work and with defaults, and of peak memory."""
    figure = Figure(figsize=(13, 4.5), dpi=150, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, is_equal, work in zip(panels, (True, False), ("equal work", "defaults"), strict=False):
        ours, *_ = _bars(axes, rounds[is_equal], _wall_s, f"Seconds, {work}")
        ours.set_alpha(0.4)
        axes.barh(0, _median(rounds[is_equal], OURS, _stored_s), color=COLORS[0])
        axes.set_xlabel("pale: COGs, quicklook and STAC item", fontsize=11, loc="left")
    _bars(panels[2], rounds[True], lambda took: took.peak_bytes / 2**30, "Peak memory, GiB")
    panels[2].invert_yaxis()
    figure.savefig(path)


def _bars(axes: Any, rounds: list[Round], of: Callable[[Took], float], title: str) -> Any:
    names = ["rsmtl", *(name for name, _ in PEERS.values())]
    lengths = [_median(rounds, side, of) if _finished(rounds, side) else 0 for side in (OURS, *PEERS)]
    bars = axes.barh(names, lengths, color=[COLORS[0], *[COLORS[2]] * len(PEERS)])
    axes.bar_label(bars, [f"{length:.3g}" if length else "" for length in lengths], padding=4, fontsize=12)
    axes.tick_params(axis="y", labelsize=12)
    axes.set_title(title, loc="left", fontsize=14, pad=10)
    axes.margins(x=0.15)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return bars
