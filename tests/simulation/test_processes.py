"""A kill in the simulation is a kill: no line of the program runs after it."""

from __future__ import annotations

import asyncio

import pytest

from notaus.backtest.virtual_time import VirtualTimeLoop, run
from tests.simulation.processes import Process, tasks_of_processes


@pytest.mark.parametrize("steps", range(7))
def test_a_process_that_dies_at_any_await_runs_no_further_line(steps: int) -> None:
    """If this fails, a crash would be a tidy end: `finally` would put right what a real kill leaves as it is."""
    done: list[str] = []

    async def child() -> None:
        try:
            for number in range(3):
                done.append(f"child {number}")
                await asyncio.sleep(1)
        finally:
            done.append("child tidied up")

    async def program() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.sleep(1.5)
                done.append("program")
        finally:
            done.append("program tidied up")

    async def play(loop: VirtualTimeLoop) -> None:
        loop.set_task_factory(tasks_of_processes)
        process = Process("daemon")
        process.doom(steps, lambda: (done.append("killed"), process.kill())[0])
        main = process.start(program())
        await asyncio.wait([main], timeout=60)
        assert main.cancelled()
        process.bury()

    run(play)
    everything = ["child 0", "child 1", "program", "child 2", "child tidied up", "program tidied up"]
    before = done[: done.index("killed")]
    assert before == everything[: len(before)]
    assert done[len(before) : len(before) + 1] == ["killed"]


def test_what_is_outside_of_a_process_outlives_it() -> None:
    """If this fails, a crash of the daemon would end the sandbox's work, and no write could be done without its writer."""
    done: list[str] = []

    async def server() -> None:
        await asyncio.sleep(5)
        done.append("served")

    async def play(loop: VirtualTimeLoop) -> None:
        loop.set_task_factory(tasks_of_processes)
        process = Process("daemon")
        main = process.start(asyncio.sleep(60))
        outside = asyncio.create_task(server())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.wait([main, outside])
        assert main.cancelled()
        process.bury()

    run(play)
    assert done == ["served"]
