"""Releases as those who deployed them announced them. They tell a page who and what; they are never evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from notaus.core.world import Version

REMEMBERED = 20
LEAST_OF_ID = 6
"""Characters that the beginning of a version's id must have to name it."""


@dataclass(frozen=True, slots=True)
class Release:
    """What was announced: by whom, and of it what the sender knew."""

    by: str
    version: str | None = None
    tag: str | None = None
    commit: str | None = None
    message: str | None = None
    link: str | None = None

    def is_of(self, version: Version) -> bool:
        """Whether it announced that version: by its id, else by its tag."""
        if self.version is not None:
            return len(self.version) >= LEAST_OF_ID and version.id.startswith(self.version)
        return self.tag is not None and self.tag == version.tag

    @property
    def text(self) -> str:
        """In a line: `v2.0.0, commit abc123, deployed by kim: faster search (https://…)`."""
        named = ", ".join(
            part for part in (self.tag or self.version, f"commit {self.commit}" if self.commit else "") if part
        )
        said = f": {self.message}" if self.message else ""
        where = f" ({self.link})" if self.link else ""
        return f"{named}, deployed by {self.by}{said}{where}"


def release_of(releases: Iterable[Release], version: Version | None) -> Release | None:
    """The newest announcement of `version`."""
    found = [release for release in releases if version is not None and release.is_of(version)]
    return found[-1] if found else None
