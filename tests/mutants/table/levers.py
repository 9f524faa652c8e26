"""Mutants of the levers: look, leap, look."""

from __future__ import annotations

from tests.mutants.table.mutant import Mutant

MUTANTS = (
    Mutant(
        "levers/kv.py",
        "place == goal or (self.action.only_safer and place > goal)",
        "place == goal",
        "automation writes a less safe rung over a safer one",
        "tests/levers/test_kv.py::test_a_safer_key_is_not_written_by_automation",
    ),
    Mutant(
        "levers/kv.py",
        "                found = await self._look()\n",
        "                found = self.before or await self._look()\n",
        "the key is not read again before it is written again",
        "tests/levers/test_kv.py::test_a_lost_reply_is_settled_by_reading_back_and_not_written_twice",
    ),
    Mutant(
        "levers/kv.py",
        "base = found.value if found is not None else self.keys.last(account, lever)",
        "base = None",
        "fields are destroyed that notaus does not own",
        "tests/levers/test_kv.py::test_a_rung_is_written_over_the_fields_it_owns_and_no_others",
    ),
    Mutant(
        "levers/kv.py",
        "self.unanswered = self.unanswered or isinstance(failure, Silent)",
        "self.unanswered = False",
        "an unanswered write counts as not done",
        "tests/levers/test_kv.py::test_no_answer_and_no_reading_is_unknown",
    ),
    Mutant(
        "levers/kv.py",
        "BLIND_AFTER_SECONDS = 10.0",
        "BLIND_AFTER_SECONDS = 0.0",
        "the emergency is written without looking at once",
        "tests/levers/test_kv.py::test_reads_that_fail_for_ten_seconds_make_the_safest_rung_blind",
    ),
    Mutant(
        "levers/kv.py",
        "        if not changed:\n            return None",
        "        if True:\n            return None",
        "a person's step overwrites what another person wrote",
        "tests/levers/test_kv.py::test_a_person_s_step_on_a_key_that_changed_meanwhile_is_foreign",
    ),
    Mutant(
        "levers/steering_key.py",
        "if old is not None and (old if",
        "if False and (old if",
        "the time of the key goes back",
        "tests/levers/test_kv.py::test_the_time_never_goes_back",
    ),
    Mutant(
        "levers/steering_key.py",
        "        if name not in before:\n            after[name] = fixed",
        "        if True:\n            after[name] = fixed",
        "a tag that the team moved is moved back",
        "tests/levers/test_kv.py::test_a_fixed_field_that_differs_is_kept_and_told",
    ),
    Mutant(
        "levers/deployment.py",
        "self.unanswered = self.unanswered or isinstance(failure, _Unanswered)",
        "self.unanswered = False",
        "a POST without an answer counts as not done",
        "tests/levers/test_deployment.py::test_an_unanswered_post_that_cannot_be_read_back_is_unknown",
    ),
    Mutant(
        "levers/deployment.py",
        "(live is None or live.id != self.action.expected)",
        "False",
        "a rollback overwrites somebody's fix",
        "tests/levers/test_deployment.py::test_another_deployment_than_the_one_judged_is_foreign",
    ),
    Mutant(
        "levers/deployment.py",
        "self.action.accept_changed_secrets and not self.force",
        "not self.force",
        "a refused rollback is forced",
        "tests/levers/test_deployment.py::test_a_refused_rollback_is_told_in_words_and_never_forced",
    ),
    Mutant(
        "levers/deployment.py",
        "        if ours is not None:\n            return self._done(ours, newer)",
        "        if False:\n            return self._done(ours, newer)",
        "a rollback that was done is not recognised",
        "tests/levers/test_deployment.py::test_pulling_again_after_a_crash_finds_its_own_deployment",
    ),
    Mutant(
        "levers/workflow.py",
        "self.unanswered = self.unanswered or isinstance(failure, Silent)",
        "self.unanswered = False",
        "a dispatch whose answer got lost is sent again before its run can show",
        "tests/levers/test_workflow.py::test_one_fault_at_the_dispatch_delays_it_and_never_doubles_it",
    ),
    Mutant(
        "levers/workflow.py",
        "if started is None and self.action.look_only:",
        "if False:",
        "a restart starts a workflow that nobody may want any more",
        "tests/levers/test_workflow.py::test_after_a_crash_nothing_is_started",
    ),
    Mutant(
        "levers/workflow.py",
        '(?!\\d)")',
        '")',
        "the run of another step is taken for this one's",
        "tests/levers/test_workflow.py::test_somebody_elses_run_is_not_taken_for_ours",
    ),
    Mutant(
        "levers/workflow.py",
        'if run.conclusion == "success":',
        "if run.conclusion:",
        "a run that failed counts as done",
        "tests/levers/test_workflow.py::test_a_run_that_ends_otherwise_is_refused_with_its_address",
    ),
    Mutant(
        "daemon/recovery.py",
        "look_only=True",
        "look_only=False",
        "a workflow is started a second time after each crash",
        "tests/daemon/test_recovery.py::test_what_a_lever_of_a_rungs_own_started_is_only_looked_for",
    ),
)
