"""What became of each scene, and the Markdown table of all that Prefect shows as an artifact."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from rsmtl.cli.units import duration, pixels
from rsmtl.store.folder import QUICKLOOK_NAME

N_THUMBNAILS = 24
"""Scenes whose quicklook is in the table; it is kept in Prefect's database, so not those of thousands."""
THUMBNAIL_PX = 200


@dataclass(frozen=True)
class SceneRow:
    """What became of one scene."""

    scene: str
    result: Literal["written", "stood already", "failed"]
    folder: Path | None = None
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
    """Return the table of scenes as Markdown, with the first quicklooks as embedded thumbnails."""
    lines = ["| scene | result | windows | pixels | time | quicklook |", "|---|---|---:|---:|---:|---|"]
    shown = 0
    for row in rows:
        picture = _thumbnail(row) if shown < N_THUMBNAILS else ""
        shown += bool(picture)
        lines.append(f"| {_plain(row.scene)} | {' | '.join(_figures(row))} | {picture} |")
    failed = [f"- **{_plain(row.scene)}**: {_plain(row.reason)}" for row in rows if row.result == "failed"]
    return "\n".join([*lines, *(["", "Failed:", "", *failed] if failed else [])])


def _figures(row: SceneRow) -> tuple[str, str, str, str]:
    if row.result == "failed":
        return row.result, "", "", ""
    return row.result, f"{row.n_windows:,}", pixels(row.n_px), duration(row.seconds)


def _thumbnail(row: SceneRow) -> str:
    """Return the quicklook as an image of a few kB within the text: a browser does not load a server's files."""
    if row.folder is None or not (row.folder / QUICKLOOK_NAME).exists():
        return ""
    with Image.open(row.folder / QUICKLOOK_NAME) as picture:
        picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        encoded = io.BytesIO()
        picture.convert("RGB").save(encoded, "JPEG", quality=80)
    return f"![](data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()})"


def _plain(text: str) -> str:
    """Return text, which may come from a catalogue of strangers, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", " ".join(text.split()))
