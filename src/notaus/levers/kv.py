"""The `kv` lever: one key of a Workers KV namespace, set to a rung. Looks, leaps, and looks again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from notaus.clock import Clock
from notaus.core.effect import LeverResult, Outcome, WriteKv
from notaus.core.ladder import Fields, KvLever, Ladder, Place, Rung
from notaus.core.service import Service
from notaus.core.world import KvView
from notaus.errors import CallFailed, ReadFailed, Refused, Silent
from notaus.levers.patience import Patience
from notaus.levers.steering_key import Found, SteeringKeys, Value, differences, steered

BLIND_AFTER_SECONDS = 10.0


class KvWorld:
    """Where a KV-steered service stands."""

    def __init__(self, keys: SteeringKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def read(self, service: Service) -> KvView:
        """The key as the API shows it. Raises ReadFailed."""
        lever = _lever(service)
        try:
            found = await self._keys.read(service.account, lever)
        except CallFailed as failure:
            raise ReadFailed(f"KV key {lever.key!r}: {failure}") from None
        return KvView(int(self._clock.now()), found.value, found.problem)


class KvPuller:
    """Sets a service's steering key to a rung."""

    def __init__(self, keys: SteeringKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def pull(self, service: Service, action: WriteKv) -> LeverResult:
        """Never raises for what Cloudflare does; safe to call again: a rung already reached is not written twice."""
        return await _Pull(self._keys, self._clock, service, action).run()


@dataclass(slots=True)
class _Pull:
    """One pull, from the first look to the last."""

    keys: SteeringKeys
    clock: Clock
    service: Service
    action: WriteKv
    patience: Patience = field(init=False)
    before: Found | None = None
    """What the first look found: what the write replaces, whatever later looks show."""
    attempt: dict[str, object] | None = None
    """The value last sent, stored or not."""
    unanswered: bool = False
    """The last write was not answered, and no look has settled it yet."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.patience = Patience(self.clock)

    @property
    def ladder(self) -> Ladder:
        return self.service.ladder

    @property
    def rung(self) -> Rung:
        return self.ladder.rung(self.action.rung)

    async def run(self) -> LeverResult:
        while True:
            try:
                found = await self._look()
            except CallFailed as failure:
                return self._ended(failure, "the key could not be read")
            settled = None if found is None else self._settled(found)
            if settled is not None:
                return settled
            try:
                return await self._leap(found)
            except Refused as refused:
                return self._ended(refused, "Cloudflare refused the write")
            except CallFailed as failure:
                self.unanswered = self.unanswered or isinstance(failure, Silent)
                if not await self.patience.wait(failure):
                    return await self._last_look(failure)

    async def _look(self) -> Found | None:
        """What the key holds; None where it stays unread and the safest rung is written blind. Raises CallFailed."""
        while True:
            try:
                found = await self.keys.read(self.service.account, _lever(self.service), urgent=True)
            except CallFailed as failure:
                if self.action.blind and (isinstance(failure, Refused) or self.patience.spent >= BLIND_AFTER_SECONDS):
                    return None
                until = BLIND_AFTER_SECONDS if self.action.blind else None
                if isinstance(failure, Refused) or not await self.patience.wait(failure, until):
                    raise
            else:
                self.before = self.before or found
                return found

    def _settled(self, found: Found) -> LeverResult | None:
        """The result, where what was found leaves nothing to write or forbids writing."""
        doubtful, self.unanswered = self.unanswered, False
        if self.attempt is not None and found.value == self.attempt:
            return self._done("read back after an unclear answer")
        if found.value is None:
            creates = found.missing and not self.action.only_safer and self.action.expected is None
            return None if self.action.blind or creates else self._result(Outcome.REFUSED, _unrankable(found.problem))
        place, goal = self.ladder.place(found.value), self.ladder.place_of(self.rung.name)
        if place is None:
            unrankable = _unrankable(f"{_shown(self.ladder, found.value)} is no state that the ladder knows")
            return None if self.action.blind else self._result(Outcome.REFUSED, unrankable)
        if place == goal or (self.action.only_safer and place > goal):
            where = f"at {self.rung.name}" if place == goal else f"safer than {self.rung.name}"
            return self._result(Outcome.ALREADY, f"already {where}: {_shown(self.ladder, found.value)}", found.value)
        return self._overtaken(found.value, place, doubtful) or self._unexpected(found.value)

    def _overtaken(self, value: Value, place: Place, doubtful: bool) -> LeverResult | None:
        """Somebody wrote between our tries: over our own write, perhaps, or to a less safe place. Humans win."""
        before = self._value_before()
        if before is None or value == before:
            return None
        was = self.ladder.place(before)
        if not doubtful and (was is None or place >= was):
            return None
        shown = _shown(self.ladder, value)
        return self._result(
            Outcome.FOREIGN, f"somebody else changed the key meanwhile: {shown}; nothing more was written"
        )

    def _unexpected(self, value: Value) -> LeverResult | None:
        changed = [name for name, wanted in (self.action.expected or {}).items() if value.get(name) != wanted]
        if not changed:
            return None
        was = ", ".join(f"{n} is {value.get(n)!r}, expected {(self.action.expected or {})[n]!r}" for n in changed)
        return self._result(Outcome.FOREIGN, f"somebody else changed the key first: {was}; nothing was written")

    async def _leap(self, found: Found | None) -> LeverResult:
        """Write, and look once more. Raises CallFailed where the write did not go through for certain."""
        account, lever = self.service.account, _lever(self.service)
        base = found.value if found is not None else self.keys.last(account, lever)
        value, self.notes = steered(self.ladder, self.rung, base or {}, self.clock.now())
        if found is None:
            kept = "other fields as last seen" if base is not None else "its other fields, never seen, are lost"
            self.notes += (f"written without reading the key first, which failed; {kept}",)
        metadata = None if found is None or found.missing else await self._metadata()
        self.attempt = value
        await self.keys.write(account, lever, value, metadata)
        await self._look_again(value)
        return self._done(differences(self._value_before(), value))

    async def _metadata(self) -> object:
        """What is stored beside the value. An emergency stop does not wait for it."""
        try:
            return await self.keys.metadata(self.service.account, _lever(self.service))
        except CallFailed:
            self.notes += ("the key's metadata could not be read; if there was any, it is lost",)
            return None

    async def _look_again(self, written: Value) -> None:
        """A stored write is done, whatever this shows; but somebody may have written right after us."""
        try:
            now = await self.keys.read(self.service.account, _lever(self.service), urgent=True)
        except CallFailed:
            self.notes += ("stored, but could not be read back",)
            return
        if now.value != written and now.value != self._value_before():
            what = _shown(self.ladder, now.value) if now.value is not None else now.problem
            self.notes += (f"somebody else wrote the key right after: {what}",)

    async def _last_look(self, failure: CallFailed) -> LeverResult:
        """Patience is over; if the last write was not answered, one look may still settle it."""
        if self.unanswered:
            try:
                found = await self.keys.read(self.service.account, _lever(self.service), urgent=True)
            except CallFailed:
                pass
            else:
                settled = self._settled(found)
                if settled is not None:
                    return settled
        return self._ended(failure, "the write did not go through")

    def _ended(self, failure: CallFailed, what: str) -> LeverResult:
        if self.unanswered:
            what = f"{differences(self._value_before(), self.attempt or {})} was sent, not answered, not readable since"
            return self._result(Outcome.UNKNOWN, f"{what}: {failure}", self.attempt)
        refused = isinstance(failure, Refused)
        return self._result(Outcome.REFUSED if refused else Outcome.FAILED, f"{what}: {failure}")

    def _done(self, detail: str) -> LeverResult:
        return self._result(Outcome.DONE, f"{self.rung.name}: {detail}", self.attempt)

    def _value_before(self) -> Value | None:
        return self.before.value if self.before else None

    def _result(self, outcome: Outcome, detail: str, value: Value | None = None) -> LeverResult:
        # A value may hold fields of any shape that others own; they are carried along as they are.
        return LeverResult(outcome, detail, self._value_before(), cast("Fields | None", value), notes=self.notes)


def _lever(service: Service) -> KvLever:
    lever = service.ladder.lever
    assert isinstance(lever, KvLever), f"{service.name} is not steered by a KV key"
    return lever


def _unrankable(problem: str | None) -> str:
    return f"{problem}: it cannot be ranked, so nothing was written; set it by hand"


def _shown(ladder: Ladder, value: Value) -> str:
    return ", ".join(f"{name}={value.get(name)!r}" for name in ladder.ranked_fields)
