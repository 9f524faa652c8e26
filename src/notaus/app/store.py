"""Where the journal is kept."""

from __future__ import annotations

from notaus.config import Settings
from notaus.errors import JournalFailed
from notaus.journal import Journal


def open_journal(settings: Settings) -> Journal:
    """The journal of `store`; its directory is created. Raises JournalFailed."""
    directory = settings.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalFailed(f"the directory {directory} of the journal cannot be made: {error.strerror}") from None
    return Journal.open(settings.store_url)
