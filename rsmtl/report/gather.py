"""What a folder of products says of itself: finished scenes, unfinished ones, and who worked on the latest."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import prod
from typing import Any, Literal
from urllib.parse import quote

from rsmtl.errors import InputError, SceneError
from rsmtl.redaction import redacted
from rsmtl.store.folder import FINGERPRINT_NAME, ITEM_NAME, LEDGER_NAME, product_folder
from rsmtl.store.ledger import Ledger, Span
from rsmtl.store.place import Place, read, store_errors
from rsmtl.store.provenance import Run, read_run

Result = Literal["finished", "unfinished", "failed"]

N_READERS = 16
"""Files read at the same time, since an object store answers each after a while."""

_PAUSE = timedelta(minutes=30)
"""Between two scenes; after a longer one the later belongs to another run."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LONGEST_RUN = 300
"""Scenes of the latest run whose ledgers are read."""


@dataclass(frozen=True)
class SceneFacts:
    """What is known of one scene."""

    scene: str
    result: Result
    reason: str = ""
    """Why there is no product, in a sentence."""
    folder: Place | None = None
    href: str = ""
    """Of the product's item, relative to the page."""
    model: str = ""
    n_windows: int = 0
    n_px: int = 0
    """Of the reference grid."""
    began: datetime | None = None
    ended: datetime | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of all workers, by stage."""
    geometry: Mapping[str, Any] | None = None
    """GeoJSON."""
    software: str = ""

    @property
    def took_s(self) -> float:
        """From beginning to end, of the call that finished the product."""
        return max(0.0, (self.ended - self.began).total_seconds()) if self.began and self.ended else 0.0


def gather(out: Place, failed: Mapping[str, str]) -> list[SceneFacts]:
    """Return what is known of every scene: the failed, the unfinished, then the finished, the latest first.

    Parameters
    ----------
    out
        Folder that holds a folder for each scene.
    failed
        Sentences of scenes of which the caller knows that they failed, by scene.
    """
    with store_errors(out), ThreadPoolExecutor(N_READERS) as readers:
        folders = sorted(item.parent.name for item in out.glob(f"*/{ITEM_NAME}"))
        found = list(readers.map(_finished, [out / name for name in folders]))
    names = {facts.folder.name for facts in found if facts.folder}
    with store_errors(out):
        ledgers = (ledger.parent.parent for ledger in out.glob(f"*/{LEDGER_NAME}/{FINGERPRINT_NAME}"))
        begun = [folder for folder in ledgers if folder.name not in names]
    told = [SceneFacts(shown(scene), "failed", shown(reason)) for scene, reason in failed.items()]
    known = {_folder_name(out, scene) for scene in failed}
    unfinished = [_unfinished(folder) for folder in sorted(begun) if folder.name not in known]
    damaged = [facts for facts in found if facts.result == "failed"]
    finished = [facts for facts in found if facts.ended]
    latest_first = sorted(finished, key=lambda facts: facts.ended or _LONG_AGO, reverse=True)
    return [*told, *damaged, *unfinished, *latest_first]


def latest_run(scenes: Sequence[SceneFacts]) -> list[SceneFacts]:
    """Return the finished scenes of the latest run: those that followed one another without a long pause."""
    finished = [facts for facts in scenes if facts.result == "finished" and facts.began and facts.ended]
    run: list[SceneFacts] = []
    for facts in finished[:_LONGEST_RUN]:
        if run and facts.ended and min(one.began for one in run if one.began) - facts.ended > _PAUSE:
            break
        run.append(facts)
    return run


def spans(scenes: Iterable[SceneFacts]) -> list[Span]:
    """Return what workers did for some scenes, and when."""
    folders = [facts.folder for facts in scenes if facts.folder is not None]
    with ThreadPoolExecutor(N_READERS) as readers:
        ledgers = readers.map(lambda folder: Ledger(folder).done().values(), folders)
    return [span for records in ledgers for record in records for span in record.spans]


def shown(text: str) -> str:
    """Return a stranger's text as the page shows it: without signs that cannot be seen, or URLs with secrets."""
    return redacted("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))


def _finished(folder: Place) -> SceneFacts:
    try:
        run = read_run(folder)
        began, ended = (datetime.fromisoformat(when).astimezone(UTC) for when in (run.started, run.finished))
    except (InputError, ValueError, OverflowError) as error:
        return SceneFacts(folder.name, "failed", shown(str(error)), folder)
    return SceneFacts(
        scene=shown(run.scene_id),
        result="finished",
        folder=folder,
        href=quote(f"{folder.name}/{ITEM_NAME}"),
        model=shown(_model_name(run)),
        n_windows=run.windows_run,
        n_px=prod(run.shape_px),
        began=began,
        ended=ended,
        seconds=run.seconds,
        geometry=_geometry(folder),
        software=shown(run.software.get("rsmtl", "")),
    )


def _geometry(folder: Place) -> Mapping[str, Any] | None:
    try:
        found = json.loads(read(folder / ITEM_NAME) or b"")["geometry"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _unfinished(folder: Place) -> SceneFacts:
    n_chunks = len(Ledger(folder).done())
    return SceneFacts(folder.name, "unfinished", f"{n_chunks:,} chunks stand; --resume finishes it", folder)


def _model_name(run: Run) -> str:
    name = run.model_source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return name or str(run.model_spec.get("system", ""))


def _folder_name(out: Place, scene: str) -> str:
    try:
        return product_folder(out, scene).name
    except SceneError:
        return ""
