"""Prefect without a server of the user's own: where its embedded one keeps its records, and what it keeps to itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.settings import get_current_settings, temporary_settings

from rsmtl.store.folder import disk_errors

STARTUP_S = 120
"""Prefect gives its embedded server 20 s, which a busy machine takes to lay out a new database."""


@contextmanager
def embedded_server(home: Path) -> Iterator[None]:
    """Let flows run on Prefect's embedded server while the block lasts, with its records in `home`.

    Whatever the user has set, by environment variable or profile, stands: with an API address that server is
    used, and with a profile of the user's or `PREFECT_HOME` the records are kept where they always are.

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
