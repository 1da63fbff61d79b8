import numpy as np

from rsmtl.datasets import LandscapeData, load_landscape

SMALL = LandscapeData(n_train=2, n_validation=1, n_test=1, size_px=192)


def test_every_scene_is_a_world_of_its_own():
    splits = load_landscape(SMALL)
    scenes = (*splits.train, *splits.validation, *splits.test)
    assert len({s.name for s in scenes}) == len({s.image.tobytes() for s in scenes}) == 4


def test_radiometry_is_that_of_a_prediction():
    scene = load_landscape(SMALL).test[0]
    assert scene.radiometry.kind == "fixed"
    values = scene.radiometry.to_network(scene.image.astype(np.float32))
    for band in values:
        assert np.isclose([np.percentile(band, 2), np.percentile(band, 98)], [0, 1], atol=1e-3).all()


def test_same_scenes_each_time():
    first, second = load_landscape(SMALL), load_landscape(SMALL)
    assert (first.train[1].image == second.train[1].image).all()
    assert (first.train[1].labels == second.train[1].labels).all()
