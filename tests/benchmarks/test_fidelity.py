"""What is measured of a product is what was done to it."""

from dataclasses import replace

import numpy as np
import pytest

from rsmtl.config import Settings
from rsmtl.engine.lazy import predict
from rsmtl.engine.plan import plan
from tests import fakes
from tests.benchmarks import fidelity
from tests.benchmarks.deviation import BLOCK_PX, blocks_of, deviation

SIZES = Settings(window=128, overlap=32, chunk=1)


@pytest.fixture(scope="module")
def measured():
    scene = fakes.make_scene((fakes.textured((1, 420, 420)) * 255).astype(np.float32))
    made = plan(scene, fakes.identity(), SIZES)
    blocks = blocks_of(made, 12)
    (output,) = made.outputs
    return (
        made,
        blocks,
        output,
        {output.name: np.asarray(predict(scene, made.model, SIZES)[output.name])[None]},
    )


def test_a_product_that_is_its_model_has_no_deviation_and_no_floor(measured):
    _, blocks, output, maps = measured
    assert len(blocks) == 12
    for given in (maps, None):
        for within in (True, False):
            found = deviation(given, blocks, output, 255, within)
            assert (found.absolute, found.bias) == (0, 0)


def test_what_is_dark_in_the_overlaps_is_dark_there_and_nowhere_else(measured):
    made, blocks, output, maps = measured
    place = np.arange(420)
    line = (place >= 96) & (place % 96 < 32) & (place // 96 < made.lattice.x.n_windows)
    darker = {output.name: maps[output.name] - 5 * (line[:, None] | line)}
    assert deviation(darker, blocks, output, 255, within=True).bias == pytest.approx(-5, abs=1e-3)
    assert deviation(darker, blocks, output, 510, within=True).absolute == pytest.approx(2.5, abs=1e-3)
    assert deviation(darker, blocks, output, 255, within=False).bias == 0


def test_rows_say_over_what_and_whether_the_aim_is_reached(measured):
    made, blocks, output, maps = measured
    rows = list(fidelity.floor_rows("case", made, {output.name: maps[output.name] - 1}, blocks))
    assert [row.aim for row in rows] == ["", "≤ 0.5"] * 2
    assert [row.is_reached for row in rows if row.aim] == [False, False]
    classes = [replace(made, outputs=())]
    assert list(fidelity.peer_rows("case", classes[0], maps, {"peer": maps}, blocks)) == []


def test_blocks_lie_in_the_middle_of_whole_windows(measured):
    made, blocks, _, _ = measured
    for block in blocks:
        for span in (block.y, block.x):
            assert span.size == BLOCK_PX
            assert 32 <= span.start <= 420 - 32 - BLOCK_PX
    with pytest.raises(ValueError, match="no block in the middle of a window of 128 px"):
        blocks_of(plan(fakes.make_scene(fakes.textured((1, 100, 300))), fakes.identity(), SIZES), 1)
    assert made.settings.window == 128
