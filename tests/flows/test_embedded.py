"""The embedded server's records go where they were said to go, unless the user has said something else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.context import SettingsContext
from prefect.settings import Profile, Settings, get_current_settings, temporary_settings

from flows.embedded import STARTUP_S, records_in
from rsmtl.errors import RunError


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings as Prefect finds them where nobody has configured it."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with SettingsContext(profile=Profile(name="of nobody", settings={}), settings=Settings()):
        yield


def test_without_configuration_the_records_go_to_the_folder_given(tmp_path: Path) -> None:
    with records_in(tmp_path / "out" / ".prefect"):
        settings = get_current_settings()
        assert settings.home == tmp_path / "out" / ".prefect"
        assert str(settings.home) in settings.server.database.connection_url.get_secret_value()
        assert settings.server.analytics_enabled is False
        assert settings.server.ephemeral.enabled is True
        assert settings.server.ephemeral.startup_timeout_seconds == STARTUP_S
    assert settings.home.is_dir()


@pytest.mark.parametrize(
    "own",
    [
        {"api.url": "http://127.0.0.1:4200/api"},
        {"server.analytics_enabled": True},
        {"home": Path("/elsewhere")},
    ],
)
def test_what_the_user_has_set_stands(own: dict[str, object], tmp_path: Path) -> None:
    with temporary_settings(updates=own), records_in(tmp_path / ".prefect"):
        settings = get_current_settings()
        (key,) = own
        found = settings
        for part in key.split("."):
            found = getattr(found, part)
        assert found == own[key]
        if key != "server.analytics_enabled":
            assert settings.home != tmp_path / ".prefect"


def test_a_profile_of_the_user_keeps_the_records_where_they_were(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("")
    with temporary_settings(updates={"profiles_path": profiles}), records_in(tmp_path / ".prefect"):
        assert get_current_settings().home != tmp_path / ".prefect"


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match="cannot write"), records_in(tmp_path / "out" / ".prefect"):
        pass
