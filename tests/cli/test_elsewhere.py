"""A daemon in a container or on another host is named by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from notaus.cli import remote
from notaus.config import load_settings
from notaus.config.settings import Settings
from notaus.errors import NotausError

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def settings() -> Settings:
    return load_settings(CONFIG, {}, lenient=True)


def test_the_environment_names_a_daemon_elsewhere(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders would go to a daemon on this machine, or to none."""
    assert remote.address(settings) == "http://127.0.0.1:9464"
    monkeypatch.setenv("NOTAUS_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("NOTAUS_API_TOKEN", "a-token-of-elsewhere")
    assert remote.address(settings) == "http://127.0.0.1:1"
    assert remote._token(settings) == "a-token-of-elsewhere"


async def test_nobody_acts_in_place_of_a_daemon_elsewhere(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of reach is not dead: this process would act beside it."""
    monkeypatch.setenv("NOTAUS_URL", "http://127.0.0.1:1")
    with pytest.raises(NotausError, match="NOTAUS_URL"):
        async with remote.Daemon.found(settings):
            pass
