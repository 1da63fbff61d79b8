"""Prefect without a server of the user's own: where its embedded one keeps its records, and what it keeps to itself."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.settings import get_current_settings, temporary_settings

from rsmtl.errors import RunError
from rsmtl.store.folder import disk_errors

STARTUP_S = 120
"""Prefect gives its embedded server 20 s, which a busy machine takes to lay out a new database."""


@contextmanager
def embedded_server(home: Path) -> Iterator[None]:
    """Let flows run on Prefect's embedded server while the block lasts, with its records in `home`.

    Whatever the user has set stands; see `records_in`.

    Raises
    ------
    RunError
        If `home` cannot be made, or the server does not start.
    """
    with records_in(home):
        _start()
        yield


@contextmanager
def records_in(home: Path) -> Iterator[None]:
    """Let an embedded server keep its records in `home`, and send nothing to its makers, unless the user wants else.

    With an API address set that server is used; with a profile of the user's, or `PREFECT_HOME`, the records are
    kept where they always are.

    Raises
    ------
    RunError
        If `home` cannot be made.
    """
    standing = get_current_settings()
    defaults: dict[str, Any] = {
        "server.analytics_enabled": False,
        "server.ephemeral.enabled": True,
        "server.ephemeral.startup_timeout_seconds": STARTUP_S,
    }
    if standing.api.url is None and not standing.profiles_path.exists():
        with disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        defaults["home"] = home
    with temporary_settings(set_defaults=defaults):
        yield


def _start() -> None:
    """Start the server, if there is none to be used, deaf to Ctrl-C.

    A terminal sends Ctrl-C to the server too. Were it to end, Prefect would spend two minutes on trying to tell
    it of the interrupted flow.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    try:
        get_client(sync_client=True)
    except RuntimeError as error:
        raise RunError(f"Prefect's embedded server did not start ({error}): look at its log above") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
