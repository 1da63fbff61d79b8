from pathlib import Path

import numpy as np

from rsmtl.datasets import LandscapeData, Splits, load_splits

SMALL = LandscapeData(n_train=2, n_validation=1, n_test=1, size_px=192)


def load(data: LandscapeData = SMALL) -> Splits:
    return load_splits(data, Path("nowhere"))


def test_every_scene_is_a_world_of_its_own():
    splits = load()
    scenes = (*splits.train, *splits.validation, *splits.test)
    images = {scene.layers["image"].values[...].tobytes() for scene in scenes}
    assert len({s.name for s in scenes}) == len(images) == 4


def test_radiometry_is_that_of_a_prediction():
    scene = load().test[0]
    assert scene.layers["image"].radiometry.kind == "fixed"
    for band in scene.read(slice(0, 192), slice(0, 192))["image"].numpy():
        assert np.isclose([np.percentile(band, 2), np.percentile(band, 98)], [0, 1], atol=1e-3).all()


def test_same_scenes_each_time():
    first, second = load().train[1], load().train[1]
    assert all(
        (first.layers[name].values[...] == second.layers[name].values[...]).all() for name in first.layers
    )


def test_pairs_lie_over_each_other():
    splits = load(SMALL.model_copy(update={"pair": True}))
    window = splits.train[0].read(slice(0, 192), slice(0, 192))
    assert {name: tuple(values.shape) for name, values in window.items()} == {
        "pan": (1, 192, 192),
        "ms": (3, 48, 48),
        "hrms": (3, 192, 192),
        "segmentation": (192, 192),
    }
    coarse = window["hrms"].reshape(3, 48, 4, 48, 4).mean(dim=(2, 4))
    assert (coarse - window["ms"]).abs().mean() < 0.02
    assert float(window["pan"].min()) > 0
    assert float(window["pan"].max()) <= 1
