"""Mutants of drills, of the check before the first incident, and of the contradictions it finds."""

from __future__ import annotations

from tests.mutants.table.mutant import Mutant

MUTANTS = (
    Mutant(
        "drill/exercise.py",
        'if state["incident"] is None or self.fault:',
        'if state["incident"] is not None or self.fault:',
        "a drill brings a service back to what has just broken",
        "tests/drill/test_exercise.py::test_a_real_breach_is_no_business_of_a_drill",
    ),
    Mutant(
        "drill/exercise.py",
        "self.seconds < self.target",
        "self.seconds > 0",
        "a target that is missed is met",
        "tests/drill/test_exercise.py::test_a_target_that_is_missed_is_measured_and_fails_the_drill",
    ),
    Mutant(
        "drill/exercise.py",
        'if self.start and state["rung"] != self.start:',
        "if not self.start:",
        "staging stays at its emergency stop after a drill that failed",
        "tests/drill/test_exercise.py::test_what_was_moved_is_put_back_after_a_failure",
    ),
    Mutant(
        "drill/exercise.py",
        "if not service.staging and not sure:",
        "if False and not sure:",
        "a production service is drilled by mistake",
        "tests/drill/test_exercise.py::test_where_a_drill_may_not_be_held_it_says_why",
    ),
    Mutant(
        "core/noise.py",
        "chance**windows",
        "chance",
        "a hold is no longer than a window: every threshold is crossed by chance",
        "tests/core/test_noise.py::test_the_estimate_is_of_the_size_that_a_simulation_finds",
    ),
    Mutant(
        "config/implication.py",
        "if min(further) < 0:",
        "if max(further) < 0:",
        "a milder condition is taken for a worse one",
        "tests/config/test_lint.py::test_the_two_runbooks_contradict_nothing",
    ),
    Mutant(
        "cli/permissions.py",
        "if probe is not None and not probe.denied:",
        "if probe is not None and probe.denied:",
        "a permission that is missing cannot be told",
        "tests/cli/test_inspection.py::test_permissions_for_a_zone_and_for_deployments",
    ),
    Mutant(
        "cloudflare/tokens.py",
        'all(policy.effect == "allow" for policy in found)',
        "True",
        "a permission that is denied counts as granted",
        "tests/cloudflare/test_tokens.py::test_policies_grant_what_they_name_where_they_name_it",
    ),
)
