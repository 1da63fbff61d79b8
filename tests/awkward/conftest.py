"""The process that makes the rows' products, and tiny models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rsmtl.models.exported import save_exported
from tests import fakes
from tests.awkward.runner import Runner


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Programs of one convolution with random weights, by number of bands."""
    folder = tmp_path_factory.mktemp("models")
    for bands in (1, 3):
        model = fakes.class_mixer(bands)
        save_exported(folder / f"{bands}.pt2", model.module, model.spec, window=128)
    return {bands: folder / f"{bands}.pt2" for bands in (1, 3)}


@pytest.fixture(scope="session")
def runner(models: dict[int, Path]) -> Iterator[Runner]:
    """Warm: what a first call imports is no row's time or memory."""
    found = Runner()
    found.call("predict", "nothing.tif", "--model", models[1], "--out", "nowhere", "--json")
    found.call("direct make", models[3], "nowhere", "nothing.tif")
    yield found
    found.close()
