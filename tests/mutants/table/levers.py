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
)
