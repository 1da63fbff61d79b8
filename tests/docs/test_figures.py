"""Figures show what the engine does, for whatever sizes."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from docs import figures
from docs.figures import FIGURES, THEMES, borders, layers, ledger, order, weights, windows
from rsmtl.config import Settings
from rsmtl.engine.drain import even_order
from rsmtl.engine.jobs import finish_job, run_job
from rsmtl.engine.plan import plan
from rsmtl.lattice import Axis, Lattice
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import place
from rsmtl.store.zarr import create_store
from tests import fakes

THEME = THEMES[0]
LATTICES = [Lattice(300, 500, 128, 32, 2), Lattice(100, 90, 128, 32), Lattice(257, 640, 96, 0, 1)]


def texts(figure: figures.Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("lattice", LATTICES)
def test_each_window_is_drawn(lattice: Lattice) -> None:
    (axes,) = windows(THEME, lattice).axes
    outlines = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_edgecolor()[3]]
    assert len(outlines) == lattice.n_windows + 2  # the scene, and one window again
    assert f"stride {lattice.x.stride} px" in texts(axes.figure)


def test_strips_say_how_many_chunks_add_to_them() -> None:
    lattice = LATTICES[0]
    said = texts(borders(THEME, lattice, (1, 1)))
    assert sorted(text for text in said if text.isdigit()) == ["2", "2", "4"]
    assert "2" not in texts(borders(THEME, lattice, (0, 0)))


@pytest.mark.parametrize("length", [90, 300, 1000])
def test_weights_are_said_to_sum_to_one(length: int) -> None:
    drawn = weights(THEME, Axis(length, 128, 32, 2), ("linear",))
    assert drawn.axes[0].get_title() == f"linear: the sum is exactly 1 at each of {length:,} pixels"


def test_chunks_are_numbered_in_the_order_of_the_engine() -> None:
    lattice = LATTICES[0]
    (axes,) = order(THEME, lattice).axes
    drawn = [lattice_chunk(lattice, *text.get_position()) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [str(n + 1) for n in range(len(drawn))]
    assert drawn == even_order(figures._plan(lattice))


def lattice_chunk(lattice: Lattice, x: float, y: float) -> tuple[int, int]:
    return int(y // lattice.y.chunk_px), int(x // lattice.x.chunk_px)


def test_states_are_those_that_the_ledger_has(tmp_path: Path) -> None:
    settings = Settings(window=32, overlap=8, chunk=1, batch=1)
    made = plan(fakes.make_scene(np.random.default_rng(1).random((1, 60, 60))), fakes.identity(), settings)
    folder = place(tmp_path)
    Ledger(folder).open(made.fingerprint)
    create_store(folder, made.outputs, made.geobox, made.lattice.y.chunk_px)
    assert not run_job(made, folder, (1, 1)).finished
    sums = tmp_path / "ledger" / "partials" / made.run[:16] / "1-1.npz"
    mark = tmp_path / "ledger" / "chunks" / "1-1.json"
    assert (sums.exists(), mark.exists()) == (True, False)
    assert [run_job(made, folder, chunk).finished for chunk in ((0, 0), (0, 1), (1, 0))] == [True] * 3
    assert finish_job(made, folder, (1, 1)).finished
    assert mark.exists()
    said = "\n".join(texts(ledger(THEME)))
    for name in (
        "ledger/partials/<run>/",
        "ledger/chunks/<row>-<col>.json",
        "product.zarr",
        "item.json",
        "run_job",
    ):
        assert name in said


def test_layers_are_those_of_the_contract(tmp_path: Path) -> None:
    contract = tmp_path / "pyproject.toml"
    contract.write_text(
        '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["rsmtl.above", "rsmtl.one | rsmtl.two"]\n'
    )
    assert texts(layers(THEME, contract))[:2] == ["one   two", "above"]


def test_all_are_drawn_for_light_and_dark(tmp_path: Path) -> None:
    figures.draw_all(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {f"{f}-{t.name}" for f in FIGURES for t in THEMES}
    light, dark = ((tmp_path / f"layers-{theme.name}.svg").read_text() for theme in THEMES)
    assert light != dark
