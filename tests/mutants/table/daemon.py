"""Mutants of the daemon: nothing done unwritten, without a lease, or twice."""

from __future__ import annotations

from tests.mutants.table.mutant import Mutant

MUTANTS = (
    Mutant(
        "daemon/engine.py",
        "if lease is None or not self._is_current(guarded):",
        "if False:",
        "the lease is not checked before a step is written",
        "tests/daemon/test_engine.py::test_a_lease_that_runs_out_while_the_journal_fails_ends_the_writing",
    ),
    Mutant(
        "daemon/engine.py",
        "reply.cancel()  # told that it failed: it must not happen after all",
        "pass",
        "an order happens after its giver was told that it failed",
        "tests/daemon/test_engine.py::test_an_order_behind_a_stuck_letter_is_dropped_as_well",
    ),
    Mutant(
        "daemon/engine.py",
        "guarded.unjudged = joined(guarded.unjudged, letter.event.readings)",
        "pass",
        "what a stale poll brought is lost",
        "tests/daemon/test_engine.py::test_a_breach_that_ended_while_the_journal_failed_pulls_no_lever_afterwards",
    ),
    Mutant(
        "daemon/engine.py",
        "        elif written:\n",
        "        elif True:\n",
        "effects are started that were never written down",
        "tests/daemon/test_engine.py::test_a_step_that_was_never_written_leaves_nothing_behind",
    ),
    Mutant(
        "daemon/executor.py",
        "if before is not None and not before.cancelling():\n            return",
        "if False:\n            return",
        "one effect is carried out twice at once",
        "tests/daemon/test_executor.py::test_the_same_effect_is_never_carried_out_twice_at_once",
    ),
    Mutant(
        "daemon/executor.py",
        "result = LeverResult(Outcome.UNKNOWN, scru",
        "result = LeverResult(Outcome.DONE, scru",
        "a lever that failed in an unforeseen way counts as done",
        "tests/daemon/test_executor.py::test_a_lever_that_raises_leaves_its_outcome_unknown",
    ),
    Mutant(
        "daemon/executor.py",
        "                if error.permanent:\n                    return str(error)",
        "                if True:\n                    return str(error)",
        "a page is given up at the first failure",
        "tests/daemon/test_executor.py::test_a_page_is_tried_again_with_growing_pauses_until_it_is_delivered",
    ),
    Mutant(
        "daemon/executor.py",
        "            await asyncio.wait([earlier])",
        "            pass",
        "two hands on one lever",
        "tests/daemon/test_executor.py::test_a_later_step_looks_only_once_the_earlier_one_has_let_go",
    ),
    Mutant(
        "daemon/executor.py",
        "effect.asked_at + SLOW_SECONDS - self.clock.now()",
        "SLOW_SECONDS",
        "a restart puts off the page about a slow lever",
        "tests/daemon/test_executor.py::test_people_are_told_ten_seconds_after_the_intent_also_across_a_restart",
    ),
    Mutant(
        "daemon/leadership.py",
        "self.clock.now() < lease.expires_at else None",
        "True else None",
        "a lease that ran out is still used",
        "tests/daemon/test_leadership.py::test_a_journal_that_fails_is_survived_for_two_renewals_and_no_longer",
    ),
    Mutant(
        "daemon/leadership.py",
        "            self.lost(lease.account)  # what was recovered already\n",
        "",
        "what could not be recovered goes on half",
        "tests/daemon/test_leadership.py::test_what_could_not_be_recovered_is_tried_again",
    ),
    Mutant(
        "daemon/recovery.py",
        "now - effect.asked_at > LATE_SECONDS",
        "False",
        "a step is taken long after its time",
        "tests/daemon/test_recovery.py::test_a_step_is_late_two_minutes_after_its_intent",
    ),
    Mutant(
        "daemon/recovery.py",
        "place == service.ladder.place_of(action.rung)",
        "place <= service.ladder.place_of(action.rung)",
        "a step counts as done that was not",
        "tests/daemon/test_recovery.py::test_a_step_is_done_only_at_its_own_rung",
    ),
    Mutant(
        "daemon/poller.py",
        "newest = (tick - entry.settle) //",
        "newest = tick //",
        "samples are read before they are settled",
        "tests/daemon/test_poller.py::test_a_sample_that_is_not_settled_is_not_asked_for",
    ),
    Mutant(
        "daemon/poller.py",
        "merged, world, problems))",
        "merged, world, {}))",
        "why a read failed is told to nobody",
        "tests/daemon/test_poller.py::test_why_the_key_cannot_be_read_goes_into_the_poll",
    ),
)
