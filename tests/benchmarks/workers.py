"""What more workers bring: 1, 2 and 4 worker processes, one torch thread each, over one of them.

The bare forward passes of the same windows are measured beside the run: what they gain is all that the machine's cores,
caches and memory allow, and what the run gains less is the engine's.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from rsmtl.dispatch import local_cluster
from rsmtl.engine.plan import plan
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from tests.benchmarks.overhead import MODEL, SETTINGS, forward_passes, landscape, row_of, run, warm_up
from tests.benchmarks.pictures import curves
from tests.benchmarks.table import Options, Row

RUN, BARE, IDEAL = "run", "bare forward passes", "as many times as fast"
AIMS = {(RUN, 4): "≥ 3.6"}


def rows(options: Options) -> Iterator[Row]:
    """Let clusters of each size, which all stand, take turns; half as many times as asked, as one worker takes long."""
    made = plan(open_scene(landscape(options.folder, options.size_px)), load_model(MODEL), SETTINGS)
    mpx = made.lattice.height * made.lattice.width / 1e6
    numbers = [n for n in (1, 2, 4) if n <= options.n_workers]
    speeds: dict[tuple[str, int], list[float]] = {(what, n): [] for what in (RUN, BARE) for n in numbers}
    with ExitStack() as stack:
        executors = {n: stack.enter_context(local_cluster(n)) for n in numbers}
        for executor in executors.values():
            warm_up(made, executor)
        for _ in range((options.n_pairs + 1) // 2):
            for what, action in ((RUN, run), (BARE, forward_passes)):
                for n, executor in executors.items():
                    speeds[what, n].append(mpx / action(made, executor).wall_s)
    drawn: dict[str, list[tuple[float, float]]] = {
        IDEAL: [(n, n) for n in numbers],
        RUN: [(1, 1.0)],
        BARE: [(1, 1.0)],
    }
    for (what, n), many in speeds.items():
        if n > 1:
            pairs = list(zip(many, speeds[what, 1], strict=True))
            row = row_of("e", f"{what}: {n} workers over one", "Mpx/s", pairs, AIMS.get((what, n), ""))
            drawn[what].append((n, row.ratio))
            yield row
    curves(
        options.plots / "workers.png",
        "What more workers bring",
        ("worker processes, one thread each", "times as fast as one worker"),
        drawn,
        dashed=[IDEAL],
    )
