"""What became of each scene, and the Markdown table of all that Prefect shows as an artifact."""

import base64
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from rsmtl.store.folder import QUICKLOOK_NAME
from rsmtl.store.place import Place, read
from rsmtl.units import duration, pixels

N_ROWS = 200
"""Scenes in the table, and in the list of those that failed; all of it is kept in Prefect's database."""
N_THUMBNAILS = 24
"""Scenes whose quicklook is in the table."""
THUMBNAIL_PX = 200


@dataclass(frozen=True)
class SceneRow:
    """What became of one scene."""

    scene: str
    result: Literal["written", "stood already", "failed"]
    folder: Place | None = None
    """Of the product; None if it failed."""
    n_windows: int = 0
    """Run over the product's whole life."""
    n_px: int = 0
    """Of the reference grid."""
    seconds: float = 0.0
    """Of the attempt that finished the scene, or found that it stands."""
    reason: str = ""
    """Why it failed, in a sentence."""


def scene_table(rows: list[SceneRow]) -> str:
    """Return counts and the table of scenes as Markdown, with the first quicklooks as embedded thumbnails.

    It stays within some hundred lines: what this run made comes first, what stood already last.
    """
    counts = Counter(row.result for row in rows)
    lines = [f"{len(rows):,} scenes: {', '.join(f'{counts[name]:,} {name}' for name in sorted(counts))}", ""]
    lines += ["| scene | result | windows | pixels | time | quicklook |", "|---|---|---:|---:|---:|---|"]
    shown = 0
    for row in sorted(rows, key=lambda row: row.result == "stood already")[:N_ROWS]:
        picture = _thumbnail(row) if shown < N_THUMBNAILS else ""
        shown += bool(picture)
        lines.append(f"| {_plain(row.scene)} | {' | '.join(_figures(row))} | {picture} |")
    lines += ["", f"and {len(rows) - N_ROWS:,} more"] if len(rows) > N_ROWS else []
    return "\n".join([*lines, *_failures([row for row in rows if row.result == "failed"])])


def _failures(failed: list[SceneRow]) -> list[str]:
    if not failed:
        return []
    lines = [f"- **{_plain(row.scene)}**: {_plain(row.reason)}" for row in failed[:N_ROWS]]
    return ["", "Failed:", "", *lines, *([f"- and {len(failed) - N_ROWS:,} more"] if failed[N_ROWS:] else [])]


def _figures(row: SceneRow) -> tuple[str, str, str, str]:
    if row.result == "failed":
        return row.result, "", "", ""
    return row.result, f"{row.n_windows:,}", pixels(row.n_px), duration(row.seconds)


def _thumbnail(row: SceneRow) -> str:
    """Return the quicklook as an image of a few kB within the text: a browser does not load a server's files."""
    found = read(row.folder / QUICKLOOK_NAME) if row.folder else None
    if found is None:
        return ""
    try:
        with Image.open(io.BytesIO(found)) as picture:
            picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            encoded = io.BytesIO()
            picture.convert("RGB").save(encoded, "JPEG", quality=80)
    except OSError:  # damaged since it was made, which is for `verify` to find
        return ""
    return f"![](data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()})"


def _plain(text: str) -> str:
    """Return text, which may come from a catalogue of strangers, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", " ".join(text.split()))
