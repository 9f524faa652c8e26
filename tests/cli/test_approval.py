"""An approval from the question to the verified rollback, over the command line alone."""

from __future__ import annotations

from typing import Any

import httpx

from tests.cli.conftest import call, sandbox_state, services, wait_until

Env = dict[str, str]
SPEED = 20.0
"""The rule holds for five minutes."""


def test_a_request_is_found_approved_and_carried_out(daemon: Env, sandbox: Any) -> None:
    """`notaus approve` at 3 a.m. must need no id, and end with what came of it."""
    slow = {"service": "bookstrack", "tag": "v2.0.0", "faulty": {"latency_ms": 4000}}
    httpx.post(f"{sandbox['admin']}/deploy", json=slow, trust_env=False).raise_for_status()

    wait_until(lambda: services(daemon)["bookstrack"]["request"], 120)
    request = call("status", "bookstrack", "--json", env=daemon).json["services"]["bookstrack"]["request"]
    assert f"waits for approval: {request}" in call("status", env=daemon).out
    answers: list[Any] = []

    def approved() -> bool:
        """On a busy machine the fast clock outruns the readings, and an approval on old ones is refused."""
        answers.append(call("approve", "--by", "anna", "--json", env=daemon))
        return bool(answers[-1].json.get("accepted"))

    wait_until(approved, 150)
    assert answers[-1].json["outcome"] == "done", answers
    assert sandbox_state(sandbox)["workers"]["api-worker"]["live_at_edge"] == "v1.9.0"
    late = call("deny", request, env=daemon)
    assert (late.code, "was approved already" in late.out) == (1, True)
