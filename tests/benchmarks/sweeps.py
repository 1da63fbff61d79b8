"""How much the size of a chunk and that of a window matter: each over the defaults, on the same scene.

All settings take turns. A chunk changes nothing but the layout: large ones leave workers idle at the end, small ones
hand over more borders, and processor time tells the two apart. A window changes the work itself: with an eighth of it
as overlap the model sees as many pixels twice, but the last window of a row reaches further past the scene.
"""

from collections.abc import Iterator

from rsmtl.config import Settings
from rsmtl.dispatch import local_cluster
from rsmtl.engine.plan import plan
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene
from tests.benchmarks.overhead import MODEL, SETTINGS, Cost, landscape, row_of, run, warm_up
from tests.benchmarks.pictures import curves
from tests.benchmarks.table import Options, Row

CHUNKS = (1, 2, 4, 8)
"""Strides."""
WINDOWS = (256, 512, 1024)
UNITS = {"chunk": "strides", "window": "px"}


TIME, WORK = "time", "processor time"


def rows(options: Options) -> Iterator[Row]:
    """Run each setting after the defaults of its round; half as many rounds as pairs are asked for."""
    scene, model = open_scene(landscape(options.folder, options.size_px)), load_model(MODEL)
    asked = {("chunk", n): SETTINGS.model_copy(update={"chunk": n}) for n in CHUNKS}
    asked |= {("window", n): Settings(window=n, overlap=n // 8) for n in WINDOWS}
    plans = {what: plan(scene, model, settings) for what, settings in asked.items()}
    default = plan(scene, model, SETTINGS)
    found: dict[tuple[str, int], list[tuple[Cost, Cost]]] = {what: [] for what in plans}
    with local_cluster(options.n_workers) as executor:
        warm_up(default, executor)
        for _ in range((options.n_pairs + 1) // 2):
            usual = run(default, executor)
            for what, made in plans.items():
                found[what].append((run(made, executor), usual))
    drawn: dict[str, dict[str, list[tuple[float, float]]]] = {which: {TIME: [], WORK: []} for which in UNITS}
    for (which, n), pairs in found.items():
        wall = [(one.wall_s, other.wall_s) for one, other in pairs]
        cpu = [(one.cpu_s, other.cpu_s) for one, other in pairs]
        row = row_of("f", f"{which} of {n} {UNITS[which]} over the default", "s", wall)
        drawn[which][TIME].append((n, row.ratio))
        drawn[which][WORK].append((n, row_of("f", "", "s", cpu).ratio))
        yield row
    for which, lines in drawn.items():
        labels = f"{which}, {UNITS[which]}", "over the default"
        curves(options.plots / f"{which}.png", f"What the size of a {which} costs", labels, lines)
