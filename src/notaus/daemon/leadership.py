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
    ) -> None:
        self.journal, self.owner, self.clock, self.metrics = journal, owner, clock, metrics
        self.accounts = tuple(dict.fromkeys(accounts))
        self.gained, self.lost = gained, lost
        self.leases: dict[str, Lease] = {}

    def lease(self, account: str) -> Lease | None:
        """The lease held for `account`, as long as it has not run out by our own clock."""
        lease = self.leases.get(account)
        return lease if lease is not None and self.clock.now() < lease.expires_at else None

    def keep(self) -> None:
        """Renew what is held, and try for what is not. Called every few seconds."""
        for account in self.accounts:
            held = account in self.leases
            try:
                self._keep(account)
            except LeaseLost:
                self.leases.pop(account, None)
            except JournalFailed as failed:
                log.warning("the lease cannot be kept", account=account, reason=str(failed))
            holds = self.lease(account) is not None
            self.metrics.leader.labels(account=account).set(1 if holds else 0)
            if held and not holds:
                self.leases.pop(account, None)
                log.warning("no longer the owner of the account", account=account)
                self.lost(account)
            elif holds and not held:
                log.info("owner of the account", account=account)
                self.gained(account)

    def _keep(self, account: str) -> None:
        now = self.clock.now()
        lease = self.leases.get(account)
        if lease is not None:
            self.leases[account] = self.journal.renew(lease, now)
            return
        found = self.journal.acquire(account, self.owner, now)
        if found is not None:
            self.leases[account] = found

    def release(self) -> None:
        """Give every lease back, so that the next owner need not wait."""
        for lease in self.leases.values():
            try:
                self.journal.release(lease)
            except (JournalFailed, LeaseLost) as failed:
                log.warning("the lease could not be given back", account=lease.account, reason=str(failed))
        self.leases.clear()
