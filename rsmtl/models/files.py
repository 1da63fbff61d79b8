"""How a model's file comes to be: whole or not at all."""

import os
from pathlib import Path

from rsmtl.errors import RunError


def write_whole(path: Path, data: bytes, what: str) -> None:
    """Write or replace a file; a reader sees the old one or the new one, never a part.

    Parameters
    ----------
    what
        What the message calls it: `checkpoint`.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write the {what} {path}: {error.strerror or error}") from error
