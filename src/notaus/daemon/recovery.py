"""Recovery of a step whose lever was being pulled when the daemon ended: done since, still wanted, or too late?

Soon after, the lever is simply pulled again: it looks before it leaps. Much later the trouble may be over, and a step is
dropped rather than taken late (spec 6): unless it turns out to be done, it counts as one that did not get through, which
is tried again at the next tick if its condition still stands. What the lever of a rung's own may have started is looked
for, however soon, and not started again before that.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from notaus.core.effect import Action, Effect, Invoke, LeverResult, Outcome, PullLever, WriteKv
from notaus.core.service import Service
from notaus.core.world import KvView, World
from notaus.daemon.ports import WorldReader
from notaus.errors import CallFailed, ReadFailed

LATE_SECONDS = 120
"""After its intent a lever is no longer pulled without another look at the condition."""
LOOK_SECONDS = 10.0

NOT_DONE = LeverResult(Outcome.FAILED, "notaus was not running when it was to be done, and it is not done")


def late(effect: Effect, now: int) -> bool:
    """Whether the effect is a lever that was to be pulled long ago, and shows in the world where it was."""
    if not isinstance(effect, PullLever) or isinstance(effect.action, Invoke):
        return False
    return now - effect.asked_at > LATE_SECONDS


def resumed(effect: Effect) -> Effect:
    """The effect as it is asked for again after a start."""
    if isinstance(effect, PullLever) and isinstance(effect.action, Invoke):
        return replace(effect, action=replace(effect.action, look_only=True))
    return effect


async def done_already(service: Service, effect: PullLever, world: WorldReader) -> bool:
    """Whether the step shows in the world; where that cannot be read, it does not."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return reached(service, effect.action, await world.read(service))
    except (ReadFailed, CallFailed, TimeoutError):
        return False


def reached(service: Service, action: Action, world: World) -> bool:
    """Whether the world is where `action` was to bring it; what other levers did it does not show."""
    if isinstance(action, Invoke):
        return False
    if isinstance(action, WriteKv):
        place = service.ladder.place(world.value) if isinstance(world, KvView) and world.value is not None else None
        return place is not None and place == service.ladder.place_of(action.rung)
    return not isinstance(world, KvView) and world.live is not None and world.live.alone == action.version
