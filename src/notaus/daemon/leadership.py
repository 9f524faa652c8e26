"""Leadership: which accounts this replica owns, by leases with fencing numbers in the journal (spec 12).

Every replica announces itself in the journal. Free accounts are taken up to an even share of them; a replica with two
accounts more than another gives one up per round, so that a new one gets its share and nothing goes back and forth.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import structlog

from notaus.clock import Clock
from notaus.daemon.calls import Calls, inline
from notaus.errors import JournalFailed
from notaus.journal import TTL, Census, Journal, Lease, LeaseLost
from notaus.metrics import Metrics

RENEW_SECONDS = 5.0
"""A third of the lease: two renewals may fail before it is lost."""
PATIENCE_ROUNDS = 2
"""Another replica may have had its round just before the account became free."""
KEEP_SECONDS = 600.0
"""What was taken beyond our share because nobody else took it is kept for this long before it is offered again."""

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
        gained: Callable[[str], Awaitable[None]],
        lost: Callable[[str], None],
        failed: Callable[[str, JournalFailed], None] = lambda account, failed: None,
        works: Callable[[], None] = lambda: None,
        under_way: Callable[[str], int] = lambda account: 0,
        call: Calls = inline,
        *,
        resident: bool = True,
    ) -> None:
        """`gained` may raise JournalFailed: then it is tried again; `failed` hears why a lease could not be kept.

        `works` hears of each round in which the journal answered. To one that is not `resident` nobody gives anything.
        `under_way` says how much is under way in an account: what is quiet changes hands first.
        """
        self.journal, self.owner, self.clock, self.metrics = journal, owner, clock, metrics
        self.accounts = tuple(dict.fromkeys(accounts))
        self.gained, self.lost, self.failed, self.works = gained, lost, failed, works
        self.under_way, self.call, self.resident = under_way, call, resident
        self.leases: dict[str, Lease] = {}
        """Those held, with their ends by our own clock."""
        self.elsewhere: dict[str, str] = {}
        """The accounts that another replica owns, with its name, as of the last round."""
        self._left: Counter[str] = Counter()
        """The accounts that nobody owns, and for how many rounds they were left to others."""
        self._keep_until = 0.0
        self._renewing = asyncio.Lock()
        self.changing = asyncio.Lock()
        """Held while accounts change hands, their services being recovered."""

    def lease(self, account: str) -> Lease | None:
        """The lease held for `account`, as long as it has not run out by our own clock."""
        lease = self.leases.get(account)
        return lease if lease is not None and self.clock.now() < lease.expires_at else None

    async def keep(self) -> None:
        """Renew what is held, and try for what is not. Called every few seconds; one round at a time.

        Leases are renewed also while accounts change hands: to recover a thousand services takes longer than a lease lasts.
        """
        self._let_run_out()
        try:
            census = await self._renew_all()
            if census is not None and not self.changing.locked():
                async with self.changing:
                    await self._share_out(census)
        except JournalFailed as failed:
            for account in self.accounts:
                self._fail(account, failed)
        self._let_run_out()

    async def _renew_all(self) -> Census | None:
        """Who lives and owns what; None while an earlier round is at it. Raises JournalFailed."""
        if self._renewing.locked():
            return None
        async with self._renewing:
            offered = self.accounts if self.resident else ()
            census = await self.call(self.journal.announce, self.owner, offered, *self._time())
            for account in list(self.leases):
                await self._renew(account)
        self.works()
        return census

    async def _share_out(self, census: Census) -> None:
        """Raises JournalFailed."""
        for account in [account for account in self.leases if account not in self.accounts]:
            await self._give_up(account)
        await self._give_up_surplus(census)
        await self._take_free(census)

    def _time(self) -> tuple[float | None, float]:
        """The time and the length of a lease: a remote journal keeps its own time, which runs as fast as it does."""
        return (None, TTL / self.clock.speed) if self.journal.remote else (self.clock.now(), TTL)

    def _let_run_out(self) -> None:
        for account in self.accounts:
            held = self.lease(account) is not None
            if not held:
                self.lose(account)
            self.metrics.of(self.metrics.leader, account).set(held)

    def lose(self, account: str) -> None:
        """It has run out, or is another's."""
        if self.leases.pop(account, None) is not None:
            log.warning("no longer the owner of the account", account=account)
            self.metrics.of(self.metrics.leader, account).set(0)
            self.lost(account)

    def _fail(self, account: str, failed: JournalFailed) -> None:
        log.warning("the lease cannot be kept", account=account, reason=str(failed))
        self.failed(account, failed)

    async def _renew(self, account: str) -> None:
        lease, asked = self.leases.get(account), self.clock.now()
        if lease is None:
            return
        try:
            renewed = await self.call(self.journal.renew, lease, self._time()[0])
        except LeaseLost:
            if self._holds(lease):
                self.lose(account)
        except JournalFailed as failed:
            self._fail(account, failed)
        else:
            # Neither lost meanwhile nor run out, with what was dropped for that.
            if self._holds(lease) and self.lease(account) is not None:
                self.leases[account] = replace(renewed, expires_at=asked + TTL)

    def _holds(self, lease: Lease) -> bool:
        """Whether it is still this one: meanwhile it may have been given up and acquired anew."""
        current = self.leases.get(lease.account)
        return current is not None and current.fence == lease.fence

    async def _take(self, account: str) -> None:
        asked = self.clock.now()
        try:
            found = await self.call(self.journal.acquire, account, self.owner, *self._time())
            if found is not None:
                await self._take_over(replace(found, expires_at=asked + TTL))
        except JournalFailed as failed:
            self._fail(account, failed)

    async def _take_over(self, lease: Lease) -> None:
        """Raises JournalFailed."""
        self.leases[lease.account] = lease
        log.info("owner of the account", account=lease.account, fence=lease.fence)
        try:
            await self.gained(lease.account)
        except JournalFailed:
            self.leases.pop(lease.account, None)
            self.lost(lease.account)  # what was recovered already
            await self._give_back(lease)
            raise

    # Shares

    async def _take_free(self, census: Census) -> None:
        """Take what nobody owns, up to our share; and what was left to the others, once they have left it, too."""
        self.elsewhere = {a: owner for a, owner in census.owners.items() if owner != self.owner and a in self.accounts}
        share = self._share(census)
        free = [account for account in self.accounts if account not in self.leases and account not in self.elsewhere]
        for account in free:
            if len(self.leases) >= share:
                if self._left[account] < PATIENCE_ROUNDS:
                    continue
                self._keep_until = self.clock.now() + KEEP_SECONDS
            await self._take(account)
        self._left = Counter({account: self._left[account] + 1 for account in free if account not in self.leases})

    def _share(self, census: Census) -> int:
        """How many accounts each replica has at the most, where all have enough."""
        rivals = sum(not theirs.isdisjoint(self.accounts) for name, theirs in census.replicas.items())
        return -(-len(self.accounts) // max(rivals, 1))

    async def _give_up_surplus(self, census: Census) -> None:
        """One account, the quietest, where another replica that could have it has two fewer."""
        if self.clock.now() < self._keep_until:
            return
        counts = Counter(census.owners.values())
        few = [theirs for name, theirs in census.replicas.items() if counts[name] + 2 <= len(self.leases)]
        wanted = [account for account in self.leases if any(account in theirs for theirs in few)]
        if wanted:
            account = min(wanted, key=self.under_way)
            log.info("another replica has fewer accounts: giving one up", account=account)
            await self._give_up(account)

    # Giving back

    async def _give_up(self, account: str) -> None:
        lease = self.leases.pop(account)
        self.metrics.of(self.metrics.leader, account).set(0)
        self.lost(account)
        await self._give_back(lease)

    async def release(self) -> None:
        """Give every lease back, so that the next owner need not wait."""
        self.leases.clear()
        try:
            await self.call(self.journal.leave, self.owner)
        except JournalFailed as failed:
            log.warning("the leases could not be given back; they run out by themselves", reason=str(failed))

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self.call(self.journal.release, lease)
        except JournalFailed as failed:
            log.warning("the lease could not be given back", account=lease.account, reason=str(failed))
