"""The story with a real Worker: its visitors lead to the decision, and the write changes what it does."""

from __future__ import annotations

import asyncio

from notaus.cli.demo.stage import Stage
from notaus.cli.demo.story import Act, Story
from notaus.cli.demo.teller import Teller
from notaus.sandbox.visitors import Visitors

PER_SECOND = 90.0
"""Visitors; of the machine's seconds."""
HEALTHY_SECONDS = 240.0
"""Of the demo's clock, before the fault."""
AFTERWARDS_SECONDS = 40.0
LONGEST = 300.0
"""The machine's seconds after which the visitors stay away in any case."""


class WorkerStory(Story):
    """Tells it once."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        super().__init__(stage, teller)
        assert stage.worker is not None
        self.visitors = Visitors(stage.worker.url, PER_SECOND, LONGEST)

    async def tell(self) -> list[str]:
        """From beginning to end; what was missing, in words."""
        coming = asyncio.create_task(self.visitors.come())
        try:
            await self._all_is_well()
            await self._fault()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        self.teller.end(self.missing)
        return self.missing

    async def _all_is_well(self) -> None:
        self.teller.chapter("chapter", "1  Real visitors, split by the steering key")
        self.teller.watch("the Worker writes a point for each request …")
        await self.stage.clock.sleep(HEALTHY_SECONDS)
        self.teller.still()
        cohorts = [visit.cohort for visit in self.visitors.visits]
        share = cohorts.count("native") / max(1, len(cohorts))
        text = f"{len(cohorts)} requests answered, {share:.0%} of them by the native handlers"
        self._check(0 < share < 0.5, text)

    async def _fault(self) -> None:
        self.teller.chapter("chapter", "2  The native handlers begin to fail")
        await self.stage.admin("traffic", service="pix-immo", cohort="native", error_rate=0.4)
        fault, began = asyncio.get_running_loop().time(), self.stage.clock.now()
        self.teller.tell("fault", "four in ten of the native handlers' requests fail from now on", began)
        incident = await self._incident(Act("pix-immo", "native errors high", "pix-oncall", "emergency"))
        if incident is None:
            return
        await self.stage.clock.sleep(AFTERWARDS_SECONDS)
        first = next((v.at for v in self.visitors.since(fault) if v.reason == "emergency"), None)
        self._check(first is not None, "the Worker answers reason=emergency")
        if first is not None:
            took = (first - fault) * self.stage.clock.speed
            text = f"from the fault to its first emergency answer: {took:.0f} s of the demo's clock"
            self.teller.tell("measured", text, seconds=round(took))
        newest = list(self.visitors.since(asyncio.get_running_loop().time() - 1.0))
        proxied = bool(newest) and all(visit.cohort == "proxy" for visit in newest)
        self._check(proxied, f"all of its {len(newest)} newest answers come from the proxy, sticky visitors included")
        await self._check_common(Act("pix-immo", "native errors high", "pix-oncall", "emergency"), incident)
        self.teller.timeline(incident)
