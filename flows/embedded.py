"""Prefect without a server of the user's own: where its embedded one keeps its records, and what it keeps to itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect import get_client
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings, temporary_settings

from rsmtl.errors import RunError
from rsmtl.lifeline import end_with_parent
from rsmtl.store.place import disk_errors

STARTUP_S = 120
"""Prefect gives its embedded server 20 s, which a busy machine takes to lay out a new database."""
N_EVENTS = 50
"""Events that wait for the server. When it is gone, Prefect tries for 7 s to send each of them before it ends."""


@contextmanager
def embedded_server(home: Path | None) -> Iterator[None]:
    """Let flows run on Prefect's embedded server while the block lasts, with its records in `home`.

    Whatever the user has set stands; see `records_in`.

    Raises
    ------
    RunError
        If `home` cannot be made, or the server does not start, or is gone when the flow tells it how it ended.
    """
    with records_in(home):
        _start()
        try:
            yield
        except httpx.TransportError as error:
            raise RunError(
                f"Prefect's server is gone ({error}), so how the run ended is not recorded; what it made stands: see "
                "to the server, and give the same command again"
            ) from error


@contextmanager
def records_in(home: Path | None) -> Iterator[None]:
    """Let an embedded server keep its records in `home`, and send nothing to its makers, unless the user wants else.

    With an API address set that server is used; without a `home`, with a profile of the user's, or `PREFECT_HOME`,
    the records are kept where they always are.

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
        "events.worker_max_queue_size": N_EVENTS,
    }
    if standing.api.url is None:
        defaults["client.max_retries"] = 2  # over 6 s instead of 62: nobody starts an embedded server again
    if home and standing.api.url is None and not standing.profiles_path.exists():
        with disk_errors(home):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        defaults["home"] = home
    with temporary_settings(set_defaults=defaults):
        yield


class _Server(SubprocessASGIServer):
    """Prefect's embedded server, but that it ends with this process, however that ends.

    The first one that is made is the one that Prefect then takes.
    """

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        words = ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1"]
        how = ["--port", str(self.port), "--log-level", "error", "--lifespan", "on"]
        own = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *words, *how],
            env={**os.environ, **own, **settings},
            preexec_fn=end_with_parent,
        )


def _start() -> None:
    """Start the server, if there is none to be used, deaf to Ctrl-C.

    A terminal sends Ctrl-C to the server too. Were it to end, Prefect would spend two minutes on trying to tell
    it of the interrupted flow.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    _Server()
    try:
        get_client(sync_client=True)
    except RuntimeError as error:
        raise RunError(f"Prefect's embedded server did not start ({error}): look at its log above") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
