"""The reference agrees with the code."""

from __future__ import annotations

from notaus.config.daemon_keys import CHANNEL_KINDS
from notaus.config.keys import CHECKS, LEVERS, SERVICE, SOURCES
from notaus.config.reference import daemon_tables, reference, service_tables
from notaus.config.table import Keys

from .texts import CONFIG


def test_the_page_is_up_to_date() -> None:
    """People would follow what no longer holds: `python -m notaus.config.reference > docs/configuration.md`."""
    assert (CONFIG.parent / "docs/configuration.md").read_text(encoding="utf-8") == reference()


def test_every_key_of_every_level_is_in_the_page() -> None:
    """A key that is not described is found by reading the code."""
    page = reference()
    tables: tuple[Keys, ...] = (
        *service_tables(),
        *daemon_tables(),
        *SOURCES.values(),
        *LEVERS.values(),
        *CHECKS.values(),
    )
    assert SERVICE in tables
    for table in tables:
        assert f"### {table.level}\n" in page
        for key in table.keys:
            assert f"`{key.name}`" in page
            assert key.meaning in page.replace("\\|", "|")


def test_every_kind_of_channel_has_its_table() -> None:
    """A kind that is missing there cannot be set up without reading the code."""
    levels = {table.level for table in daemon_tables()}
    assert {f"channels.{kind.name}.NAME" for kind in CHANNEL_KINDS} <= levels


def test_every_default_can_be_read_by_its_key() -> None:
    """The documented default is the default, or it deceives."""
    for table in (*service_tables(), *daemon_tables()):
        for key in table.keys:
            if key.default:
                assert key.builtin is not None
