"""Leases: which replica owns an account; and the lock beside a journal file that tells whether a former owner lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from notaus.errors import JournalFailed, NotausError

TTL = 15.0
"""Seconds a lease lasts unless renewed."""


class LeaseLost(NotausError):
    """Another replica owns the account now: nothing was written, and nothing may be done for it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act for `account` until `expires_at` (epoch seconds). `fence` grows each time it is acquired."""

    account: str
    owner: str
    fence: int
    expires_at: float
    ttl: float = TTL


@dataclass(frozen=True, slots=True)
class Census:
    """Who lives, and who owns what."""

    replicas: Mapping[str, frozenset[str]]
    """The accounts that each living replica is configured for, by its name."""
    owners: Mapping[str, str]
    """The owner of each account whose lease is in force."""


class Presence:
    """A shared lock on `<journal>.lock`, held while this process may own leases; the system drops it when we die.

    Whoever could have had it alone on arrival knows that no earlier owner is left, however long its leases would last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def arrive(self, forget: Callable[[], None]) -> bool:
        """Take the lock, once. If nobody else holds it, `forget` the dead while nobody can join, and return True.

        Raises JournalFailed, and then has not arrived.
        """
        if self._file is not None:
            return False
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            alone = _try_alone(self._file)
            if alone:
                forget()
            fcntl.flock(self._file, fcntl.LOCK_SH)
        except OSError as error:
            self.leave()
            raise JournalFailed(f"the lock file {self.path} cannot be used: {error.strerror}") from error
        except BaseException:
            self.leave()
            raise
        return alone

    def leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _try_alone(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
