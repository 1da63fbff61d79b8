"""Structured logs: what happens to scenes and chunks, as events with fields, and as lines of JSON in a file."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rsmtl.errors import InputError, RsmtlError
from rsmtl.redaction import redacted_value

ROOT = "rsmtl"
"""Name of the logger that all of this package's are children of."""

logging.getLogger(ROOT).addHandler(logging.NullHandler())  # or Python prints errors that nobody asked to hear

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"event", "message", "asctime"}


def tell(log: logging.Logger, event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event; every field is an attribute of its record, and all of them are in its message.

    It is heard also where `logging.disable` has silenced what libraries say to themselves, as the command line does.

    Parameters
    ----------
    event
        What happened: `chunk finished`.
    fields
        JSON values: `scene`, `chunk`, `worker`, … URLs in them lose what may be a secret.
    """
    if log.getEffectiveLevel() > level:
        return
    fields = redacted_value(fields)
    message = " ".join([event, *(f"{name}={json.dumps(value)}" for name, value in fields.items())])
    extra = {"event": event, **fields}
    log.handle(log.makeRecord(log.name, level, __file__, 0, "%s", (message,), None, extra=extra))


def tell_failed(log: logging.Logger, scene: str, error: Exception) -> None:
    """Log that a scene failed, or the run as a whole if none is named, with the error's sentence."""
    about = {"scene": scene} if scene else {}
    event, kind = "scene failed" if scene else "run failed", type(error).__name__
    tell(log, event, level=logging.ERROR, **about, error=kind, reason=" ".join(str(error).split()))


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level and logger, then the event and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; one that is no event of `tell` has its message for an event."""
        told = vars(record)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": told.get("event", record.getMessage()),
            **{name: value for name, value in told.items() if name not in _OWN},
        }
        return json.dumps(line, default=str)


class _File(logging.FileHandler):
    """A log that can no longer be written, on a full disk for example, does not end what it tells of."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let the record go."""

    def close(self) -> None:
        """Close the file; what it still holds may be lost."""
        with suppress(OSError):
            super().close()


@contextmanager
def log_to(path: Path | None) -> Iterator[None]:
    """Append the events of this package to a file as lines of JSON while the block lasts; None: to no file.

    An error that ends the block is an event too.

    Raises
    ------
    InputError
        If the file cannot be opened.
    """
    if path is None:
        yield
        return
    try:
        handler = _File(path, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the log {path} ({error.strerror}): give another file") from error
    handler.setFormatter(JsonLines())
    root = logging.getLogger(ROOT)
    before = root.level
    root.addHandler(handler)
    root.setLevel(min(logging.INFO, before or logging.INFO))
    try:
        yield
    except RsmtlError as error:
        tell_failed(root, "", error)
        raise
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()
