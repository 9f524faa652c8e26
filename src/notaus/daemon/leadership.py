"""Leadership: which accounts this replica owns, by leases with fencing numbers in the journal (spec 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from notaus.clock import Clock
from notaus.errors import JournalFailed
from notaus.journal import Journal, Lease, LeaseLost
from notaus.metrics import Metrics

RENEW_SECONDS = 5.0
"""A third of the lease: two renewals may fail before it is lost."""

log = structlog.get_logger(__name__)


class Leadership:
    """Acquires and renews the leases of the accounts; tells when one is gained or lost."""

    def __init__(
        self,
        journal: Journal,
        owner: str,
        accounts: Iterable[str],
        clock: Clock,
        metrics: Metrics,
        gained: Callable[[str], None],
        lost: Callable[[str], None],
        failed: Callable[[str, JournalFailed], None] = lambda account, failed: None,
    ) -> None:
        """`gained` may raise JournalFailed: then it is tried again; `failed` hears why a lease could not be kept."""
        self.journal, self.owner, self.clock, self.metrics = journal, owner, clock, metrics
        self.accounts = tuple(dict.fromkeys(accounts))
        self.gained, self.lost, self.failed = gained, lost, failed
        self.leases: dict[str, Lease] = {}

    def lease(self, account: str) -> Lease | None:
        """The lease held for `account`, as long as it has not run out by our own clock."""
        lease = self.leases.get(account)
        return lease if lease is not None and self.clock.now() < lease.expires_at else None

    def keep(self) -> None:
        """Renew what is held, and try for what is not. Called every few seconds."""
        for account in [account for account in self.leases if account not in self.accounts]:
            self._give_back(self.leases.pop(account))
            self.metrics.leader.labels(account=account).set(0)
        for account in self.accounts:
            try:
                self._keep(account)
            except JournalFailed as failed:
                log.warning("the lease cannot be kept", account=account, reason=str(failed))
                self.failed(account, failed)
            if account in self.leases and self.lease(account) is None:
                self.lose(account)
            self.metrics.leader.labels(account=account).set(self.lease(account) is not None)

    def lose(self, account: str) -> None:
        """It has run out, or is another's."""
        if self.leases.pop(account, None) is not None:
            log.warning("no longer the owner of the account", account=account)
            self.metrics.leader.labels(account=account).set(0)
            self.lost(account)

    def _keep(self, account: str) -> None:
        """Raises JournalFailed."""
        now = self.clock.now()
        lease = self.leases.get(account)
        if lease is not None:
            try:
                self.leases[account] = self.journal.renew(lease, now)
            except LeaseLost:
                self.lose(account)
            return
        found = self.journal.acquire(account, self.owner, now)
        if found is not None:
            self.leases[account] = found
            log.info("owner of the account", account=account)
            self._take_over(account)

    def _take_over(self, account: str) -> None:
        try:
            self.gained(account)
        except JournalFailed:
            self.lost(account)  # what was recovered already
            self._give_back(self.leases.pop(account))
            raise

    def release(self) -> None:
        """Give every lease back, so that the next owner need not wait."""
        for lease in self.leases.values():
            self._give_back(lease)
        self.leases.clear()

    def _give_back(self, lease: Lease) -> None:
        try:
            self.journal.release(lease)
        except (JournalFailed, LeaseLost) as failed:
            log.warning("the lease could not be given back", account=lease.account, reason=str(failed))
