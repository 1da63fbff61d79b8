"""Whether a product is the right picture: what the model says in the middle of a window, in the overlaps as elsewhere.

Of every shipped model, and of a wide U-REC with random weights, by default settings: the share of classes that differ
and the mean difference of continuous heads, over the floor (`deviation`). The models of six classes are held against
peers of the same window and overlap, and all of them against the truth, which is what counts in the end.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsmtl.config import Settings
from rsmtl.datasets.dubai import CLASSES as DUBAI_CLASSES
from rsmtl.datasets.files import decode_colors, read_rgb
from rsmtl.dispatch import threads
from rsmtl.engine.plan import Plan, plan
from rsmtl.engine.product import write
from rsmtl.engine.stored import stored_array
from rsmtl.metrics.confusion import confusion_matrix, scores
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.scene.open import open_scene
from rsmtl.store.output import Output
from tests import fakes
from tests.benchmarks import peers
from tests.benchmarks.deviation import Block, Maps, blocks_of, deviation
from tests.benchmarks.overhead import PUBLISHED_WIDTH, landscape, random_model
from tests.benchmarks.peer_runs.job import Job, read
from tests.benchmarks.table import Options, Row
from tests.benchmarks.training import DATA

LANDSCAPE_PX = 2048
DUBAI = ("tile7/image_part_004", "tile4/image_part_001")
"""Of the test split."""
SWEEP = (
    (256, 32, 0),
    (512, 64, 0),
    (512, 256, 0),
    (512, 256, 64),
    (512, 256, 96),
    (1024, 128, 0),
    (1024, 256, 96),
)
"""Window, overlap and margin that are held against the truth."""

FLOOR_AIM, BIAS_AIM, TRUTH_AIM, PEER_AIM = "≤ 1.25", "≤ 0.5", "≥ 1", "≤ 0.5"


@dataclass(frozen=True)
class Case:
    """A model and a scene."""

    name: str
    model: Model
    scene: Path
    truth: NDArray[np.uint8] | None = None
    """`(H, W)`; None where there is none of the model's classes."""
    has_peers: bool = False


def rows(options: Options) -> Iterator[Row]:
    """Measure case by case."""
    for case in _cases(options):
        yield from case_rows(case, options)


def _cases(options: Options) -> Iterator[Case]:
    size = min(options.size_px, LANDSCAPE_PX)
    generated = landscape(options.folder, size)
    truth = read(landscape(options.folder, size, "classes"))[0]
    yield Case("urec-landscape", load_model("urec-landscape"), generated, truth, has_peers=True)
    wide = random_model(options.folder, "urec", width=PUBLISHED_WIDTH)
    yield Case(f"urec, width {PUBLISHED_WIDTH}, random", wide, generated)
    for name in DUBAI:
        image = DATA / "dubai" / f"{name}.jpg"
        if not image.exists():
            print(f"l  {image} is not there, and its rows are left out", flush=True)
            continue
        pixels = np.moveaxis(read_rgb(image), -1, 0)[:, : options.size_px, : options.size_px]
        scene = fakes.write_tiff(options.folder / f"{name.replace('/', '-')}.tif", pixels)
        labels = decode_colors(read_rgb(image.with_suffix(".png")), DUBAI_CLASSES)
        truth = labels[: options.size_px, : options.size_px]
        yield Case(f"urec-dubai, {name}", load_model("urec-dubai"), scene, truth, has_peers=True)
        if name == DUBAI[0]:
            for model in ("dsrl-kampala", "srseg-kampala"):
                yield Case(f"{model}, {name}", load_model(model), scene)


def case_rows(case: Case, options: Options) -> Iterator[Row]:
    """Compare a product with the floor, with peers and with the truth."""
    folder = options.folder / case.name.replace("/", "-").replace(", ", "-")
    made = _planned(case, Settings(device=options.device))
    blocks = blocks_of(made, options.n_blocks)
    ours = _product(made, folder / "product", options.n_workers)
    yield from floor_rows(case.name, made, ours, blocks)
    every = tuple(head.name for head in case.model.spec.heads)
    if len(every) > len(
        made.heads
    ):  # what is no product by default has another margin, and so another layout
        whole = _planned(case, Settings(device=options.device, heads=every))
        maps = _product(whole, folder / "all-heads", options.n_workers)
        yield from floor_rows(f"{case.name}, all heads", whole, maps, blocks_of(whole, options.n_blocks))
    theirs = dict(_peers(case, made, folder, options)) if case.has_peers else {}
    yield from peer_rows(case.name, made, ours, theirs, blocks)
    if case.truth is not None:
        yield from truth_rows(case, ours, theirs)
        yield from _swept(case, folder, options)


def floor_rows(name: str, made: Plan, ours: Maps, blocks: Sequence[Block]) -> Iterator[Row]:
    """Compare D with F, in the overlaps and elsewhere."""
    sizes = f"{name}, {made.settings.window}/{made.settings.overlap}"
    for output in made.outputs:
        for within, where in ((True, "in overlaps"), (False, "elsewhere")):
            if not any((block.overlap == within).any() for block in blocks):
                continue
            of = [deviation(maps, blocks, output, _range(output, blocks), within) for maps in (ours, None)]
            what = f"{sizes}: {output.name}, {where}"
            if output.classes:
                d, f = (one.share * 100 for one in of)
                yield Row("l", f"{what}, D over F", d, f, "%", _over(d, f), FLOOR_AIM)
            else:
                d, f = (one.absolute for one in of)
                yield Row("l", f"{what}, mean difference, D over F", d, f, "DN", _over(d, f))
                d, f = (one.bias for one in of)
                yield Row("l", f"{what}, bias (of 255)", d, f, "DN", abs(d), BIAS_AIM)


def peer_rows(
    name: str, made: Plan, ours: Maps, theirs: Mapping[str, Maps], blocks: Sequence[Block]
) -> Iterator[Row]:
    """Compare D − F of classes with that of each peer, and with the best peer's at equal work."""
    output = next((one for one in made.outputs if one.classes), None)
    if output is None or not theirs:
        return
    above = {
        side: max(0.0, _share(maps, blocks, output) - _share(None, blocks, output)) * 100
        for side, maps in {"": ours, **theirs}.items()
    }
    for peer in theirs:
        yield Row("l", f"{name}: D − F of {peer}", above[""], above[peer], "%", _over(above[""], above[peer]))
    equal = [peer for peer in theirs if "defaults" not in peer]
    if equal:
        best = min(equal, key=above.__getitem__)
        ratio = _over(above[""], above[best])
        yield Row(
            "l", f"{name}: D − F of the best peer ({best})", above[""], above[best], "%", ratio, PEER_AIM
        )


def truth_rows(case: Case, ours: Maps, theirs: Mapping[str, Maps]) -> Iterator[Row]:
    """Compare mean IoU with that of the best peer."""
    iou = {side: _mean_iou(case, maps) for side, maps in {"": ours, **theirs}.items()}
    for peer in theirs:
        yield Row("l", f"{case.name}: mean IoU, {peer}", iou[""], iou[peer], "", _over(iou[""], iou[peer]))
    if theirs:
        best = max(theirs, key=iou.__getitem__)
        what = f"{case.name}: mean IoU, the best peer ({best})"
        yield Row("l", what, iou[""], iou[best], "", _over(iou[""], iou[best]), TRUTH_AIM)


def _swept(case: Case, folder: Path, options: Options) -> Iterator[Row]:
    """Score windows, overlaps and margins."""
    found: dict[tuple[int, int, int], float] = {}
    for window, overlap, margin in SWEEP:
        if case.truth is None or window > min(case.truth.shape):
            continue
        sizes = Settings(window=window, overlap=overlap, margin=margin, device=options.device)
        made = _planned(case, sizes)
        maps = _product(made, folder / f"{window}-{overlap}-{margin}", options.n_workers)
        found[window, overlap, margin] = _mean_iou(case, maps)
    first = next(iter(found.values()), math.nan)
    for (window, overlap, margin), iou in found.items():
        what = f"{case.name}: mean IoU, window {window}, overlap {overlap}, margin {margin}, over the first"
        yield Row("l", what, iou, first, "", _over(iou, first))


def _planned(case: Case, settings: Settings) -> Plan:
    """Plan at any GSD: the models of Kampala are shown what they were not trained on."""
    return plan(open_scene(case.scene), case.model, settings, any_gsd=True)


def _product(made: Plan, out: Path, n_workers: int) -> dict[str, NDArray[Any]]:
    with threads(n_workers) as executor:
        product = write(made.scene, made.model, out, made.settings, any_gsd=True, executor=executor)
    return {output.name: stored_array(product.folder, output.name).values for output in made.outputs}


def _peers(case: Case, made: Plan, folder: Path, options: Options) -> Iterator[tuple[str, Maps]]:
    """Run the peers with our window and overlap, and MONAI as it is by default."""
    radiometry, sizes = made.radiometry["image"], (made.settings.window, made.settings.overlap)
    for side in peers.installed():
        name = peers.PEERS[side][0]
        for is_equal in (True, False) if side == "by_monai" else (True,):
            out = folder / f"{side}-{is_equal}"
            out.mkdir(parents=True)
            ends = (radiometry.low, radiometry.high)
            job = Job(
                str(case.scene),
                str(out),
                *ends,
                options.n_workers,
                is_equal,
                options.device,
                case.model.source,
                *sizes,
            )
            took = peers.run(side, job)
            if isinstance(took, str):
                print(f"l  {case.name}: {name} fails: {took}", flush=True)
            else:
                limits = {one.name: np.dtype(one.dtype) for one in made.outputs}
                yield (
                    name + ("" if is_equal else ", defaults"),
                    {one: _within(peers.map_of(out, one), kind) for one, kind in limits.items()},
                )


def _within(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bound what a peer stores in 16 bits to what we store."""
    return values.clip(np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def _share(maps: Maps | None, blocks: Sequence[Block], output: Output) -> float:
    """Share of classes that differ, over all pixels of the blocks."""
    n = {within: sum(int((block.overlap == within).sum()) for block in blocks) for within in (True, False)}
    shares = {within: deviation(maps, blocks, output, 1, within).share for within in n if n[within]}
    return sum(shares[within] * n[within] for within in shares) / sum(n.values())


def _mean_iou(case: Case, maps: Maps) -> float:
    output = next(head.name for head in case.model.spec.heads if head.kind == "classes")
    classes, n = maps[output][0], case.model.spec.head(output).n_classes
    assert case.truth is not None
    truth = np.where(classes == 255, np.uint8(255), case.truth)
    return scores(confusion_matrix(truth, classes, n)).mean_iou


def _range(output: Output, blocks: Sequence[Block]) -> float:
    """From the 2nd to the 98th percentile of what the model says, where a type alone says little of a range."""
    if output.classes or output.dtype == "uint8":
        return 255.0
    low, high = np.percentile(
        np.concatenate([block.middle[output.name].ravel() for block in blocks]), (2, 98)
    )
    return float(high - low) or 1.0


def _over(one: float, other: float) -> float:
    return one / other if other else (1.0 if not one else math.inf)
