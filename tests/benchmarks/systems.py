"""What the engine costs other systems, over their bare forward passes: super-resolution ×4, and a pair of PAN and MS.

Both are narrower than the published ones by half, and have random weights. Each pixel of the super-resolution's image
becomes sixteen of classes and as many of three bands, which are blended, finalised and written: the engine has the most
to do for the least model. MS of the pair lies on a grid of its own, four times as coarse as that of PAN.
"""

from collections.abc import Iterator

from rsmtl.dispatch import local_cluster
from rsmtl.engine.plan import plan
from rsmtl.scene.open import open_scene
from tests.benchmarks.overhead import SETTINGS, compared, landscape, random_model
from tests.benchmarks.table import Options, Row

WIDTH = 16
SR_WINDOW = SETTINGS.model_copy(update={"window": 256, "overlap": 32})
"""Of the coarse image; the fine one has windows of 1024 px."""


def rows(options: Options) -> Iterator[Row]:
    """Compare on a quarter of the edge for the super-resolution, and on half of it for the pair."""
    folder, half, quarter = options.folder, options.size_px // 2, options.size_px // 4
    sr = plan(
        open_scene(landscape(folder, quarter)), random_model(folder, "dsrl", scale=4, width=WIDTH), SR_WINDOW
    )
    images = {name: landscape(folder, half, name) for name in ("pan", "ms")}
    system = random_model(folder, "panseg", ms_channels=4, hrms_channels=4, n_classes=6, width=WIDTH)
    pair = plan(open_scene(images), system, SETTINGS)
    with local_cluster(options.n_workers) as executor:
        for what, made in ((f"dsrl ×4, width {WIDTH}", sr), (f"panseg, width {WIDTH}", pair)):
            yield from compared("g", what, made, executor, options.n_pairs)
