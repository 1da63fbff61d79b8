"""`report.html`: the page itself. It needs no network, runs no script, and its size is bounded."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from rsmtl.engine.seam import Seam
from rsmtl.engine.seams import seams
from rsmtl.errors import InputError, RsmtlError
from rsmtl.report.footprints import HEIGHT, WIDTH, footprint_map
from rsmtl.report.gather import SceneFacts, gather, latest_run, spans
from rsmtl.report.timeline import LEVELS, N_COLUMNS, timeline
from rsmtl.store.folder import QUICKLOOK_NAME
from rsmtl.store.place import Place, read, write_bytes
from rsmtl.units import duration, pixels, px_rate

REPORT_NAME = "report.html"

N_QUICKLOOKS = 12
"""Of the latest scenes, shown in the page itself."""
QUICKLOOK_PX = (640, 320)
"""They fit into this."""
N_SEAMS = 6
"""Latest scenes that are looked at for a grid."""
N_ROWS = 200
"""Finished scenes that the table shows at once; the others are folded away."""
N_REASONS = 20
"""The same of failed and unfinished ones."""


@dataclass(frozen=True)
class Quicklook:
    """A picture within the page."""

    facts: SceneFacts
    data: str
    """URI that holds the picture."""


@dataclass(frozen=True)
class SeamRow:
    """What was found of one output of a scene."""

    scene: str
    seam: Seam


def write_report(out: Place, failed: Mapping[str, str] | None = None) -> Place:
    """Write `report.html` into a folder of products, and return where it is.

    Parameters
    ----------
    out
        Folder that holds a folder for each scene.
    failed
        Sentences of the scenes that failed in the run that ends here, by scene; the store does not know them.

    Raises
    ------
    InputError
        If there is nothing to report.
    RunError
        If the store cannot be read, or the page not be written.
    """
    scenes = gather(out, failed or {})
    if not scenes:
        raise InputError(f"{out} holds no product: give a folder that `rsmtl predict` wrote to")
    write_bytes(out / REPORT_NAME, render(out.name, scenes).encode())
    return out / REPORT_NAME


def render(name: str, scenes: Sequence[SceneFacts]) -> str:
    """Return the page of some scenes, of which the finished ones stand in the store."""
    finished = [facts for facts in scenes if facts.result == "finished"]
    latest = latest_run(finished)
    stages: Counter[str] = Counter()
    for facts in finished:
        stages.update(facts.seconds)
    environment = Environment(
        loader=PackageLoader("rsmtl.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, pixels=pixels)
    rows = _seam_rows(finished[:N_SEAMS])
    return environment.get_template("page.html").render(
        name=name or "products",
        now=datetime.now(UTC),
        finished=finished,
        failed=[facts for facts in scenes if facts.result == "failed"],
        unfinished=[facts for facts in scenes if facts.result == "unfinished"],
        latest=latest,
        models=sorted({facts.model for facts in finished}),
        software=sorted({facts.software for facts in finished if facts.software}),
        px_rate=px_rate,
        map=footprint_map([facts.geometry for facts in finished]),
        map_size=(WIDTH, HEIGHT),
        quicklooks=_quicklooks(finished),
        timeline=timeline(spans(latest)),
        timeline_size=(N_COLUMNS, LEVELS),
        stages=stages.most_common(),
        seams=rows,
        n_seam_scenes=len({row.scene for row in rows}),
        n_grids=len([row for row in rows if row.seam.is_grid]),
        n_rows=N_ROWS,
        n_reasons=N_REASONS,
    )


def _quicklooks(finished: Sequence[SceneFacts]) -> list[Quicklook]:
    found = []
    for facts in finished[: 2 * N_QUICKLOOKS]:
        data = _thumbnail(facts.folder / QUICKLOOK_NAME) if facts.folder else ""
        if data:
            found.append(Quicklook(facts, data))
        if len(found) == N_QUICKLOOKS:
            break
    return found


def _thumbnail(path: Place) -> str:
    """Return a picture small, as a URI that holds it; empty if there is none that can be read."""
    try:
        with Image.open(io.BytesIO(read(path) or b""), formats=["PNG"]) as picture:
            picture.thumbnail(QUICKLOOK_PX)
            encoded = io.BytesIO()
            picture.convert("RGB").save(encoded, "JPEG", quality=75, optimize=True)
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ):  # what Pillow says of damaged files
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def _seam_rows(finished: Sequence[SceneFacts]) -> list[SeamRow]:
    rows = []
    for facts in finished:
        try:
            found = seams(facts.folder) if facts.folder else ()
        except (
            RsmtlError,
            OSError,
            ValueError,
            RuntimeError,
            KeyError,
        ):  # a store that is damaged: for `verify` to say
            continue
        rows += [SeamRow(facts.scene, seam) for seam in found]
    return rows
