"""Verdicts: tables of what the samples after a step say of it (spec 5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notaus.core.sample import History, Sample
from notaus.core.service import Service
from notaus.core.verdict import Verdict, newest_common, share_of, signal_checks, starved, verdict
from notaus.core.verification import Check, SignalCheck
from tests.builders import KV_RULES, STEP, T0, a_comparison, a_kv_ladder, a_rate, a_sample, a_service, a_step

DUE = T0 + 360


def service(settle: int = 0, **changes: object) -> Service:
    return a_service(settle, **changes)


def history(until: int = DUE, **shares: object) -> History:
    """Samples every 15 s up to `until`: a number throughout, or a function of the time."""
    series: dict[str, list[Sample]] = {}
    for name, given in shares.items():
        cohort, _, measure = name.partition("__")
        for at in range(T0, until + 1, STEP):
            value = given(at) if callable(given) else given
            if value == "pending":
                continue
            if value is None:
                sample = a_rate(at, 0, 0)
            elif measure == "latency_p90":
                sample = a_sample(at, value, 1000)
            else:
                sample = a_rate(at, value, 1000)
            series.setdefault(f"{cohort}.{measure}", []).append(sample)
    return History().merged({name: tuple(samples) for name, samples in series.items()}, 0)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (0.003, Verdict.RESOLVED),
        (0.05, Verdict.NOT_RESOLVED),
        (None, Verdict.CANNOT_TELL),
        (lambda at: 0.05 if at == DUE else 0.003, Verdict.CANNOT_TELL),
        (lambda at: 0.05 if at == DUE - 120 else 0.003, Verdict.CANNOT_TELL),
        (lambda at: 0.05 if at == DUE - 135 else 0.003, Verdict.RESOLVED),
        (lambda at: None if at == DUE else 0.003, Verdict.CANNOT_TELL),
        (lambda at: None if at > DUE - 75 else 0.05, Verdict.CANNOT_TELL),  # 4 of 9 known: less than half
        (lambda at: None if at > DUE - 60 else 0.05, Verdict.NOT_RESOLVED),  # 5 of 9
        (lambda at: 0.003 if at == DUE - 30 else 0.05, Verdict.CANNOT_TELL),
        (lambda at: "pending" if at > DUE - 30 else 0.003, Verdict.CANNOT_TELL),
    ],
)
def test_the_verdict_is_taken_on_the_last_resolve_for(given: object, found: Verdict) -> None:
    """Resolved: known false throughout the closed interval. Not resolved: true of each known, at least half known."""
    step = a_step("reduced", "errors")
    assert verdict(service(), step, history(native__error_rate=given), DUE, {}) == (found, DUE)


@pytest.mark.parametrize(("settle", "at", "early"), [(0, DUE - 1, True), (0, DUE, False), (60, DUE + 59, True)])
def test_no_verdict_before_its_samples_are_settled(settle: int, at: int, early: bool) -> None:
    """A verdict on data that Cloudflare is still filling in."""
    found, _ = verdict(service(settle), a_step("reduced", "errors"), history(native__error_rate=0.003), at, {})
    assert (found is Verdict.NOT_YET) is early


def test_nobody_can_tell_for_one_more_validate_and_then_it_is_given_up() -> None:
    """An incident that hangs on missing data for ever."""
    step = a_step("reduced", "errors")
    samples = history(DUE + 300, native__error_rate=None)
    found = [verdict(service(), step, samples, at, {})[0] for at in (DUE + 285, DUE + 300)]
    assert found == [Verdict.CANNOT_TELL, Verdict.GIVEN_UP]


def test_a_late_verdict_rests_on_the_newest_samples_that_are_settled() -> None:
    """Spec 12: a verdict that fell due during downtime is taken on the newest settled samples."""
    samples = history(DUE + 600, native__error_rate=lambda at: 0.05 if at <= DUE + 60 else 0.003)
    assert verdict(service(), a_step("reduced", "errors"), samples, DUE + 600, {}) == (Verdict.RESOLVED, DUE + 600)
    partly = history(DUE + 300, native__error_rate=0.003)
    assert newest_common(service(), [KV_RULES[0]], partly, DUE + 607) == DUE + 300
    assert newest_common(service(), [KV_RULES[0]], History(), DUE + 607) == DUE + 600


def test_only_windows_that_lie_wholly_after_the_step_took_effect_count() -> None:
    """Samples from before the step would call it useless."""
    short = service(validate=60)
    samples = history(DUE, native__error_rate=lambda at: 0.05 if at < T0 + 120 else 0.003)
    found, end = verdict(short, a_step("reduced", "errors"), samples, T0 + 120, {})
    assert (found, end) == (Verdict.CANNOT_TELL, T0 + 120)
    bad = history(DUE, native__error_rate=lambda at: 0.003 if at < T0 + 120 else 0.05)
    assert verdict(short, a_step("reduced", "errors"), bad, T0 + 120, {})[0] is Verdict.NOT_RESOLVED
    none = verdict(service(validate=30), a_step("reduced", "errors"), samples, T0 + 90, {})
    assert none[0] is Verdict.CANNOT_TELL


def test_samples_before_the_deployment_judged_do_not_count() -> None:
    """Spec 7: verdicts are about a deployment."""
    samples = history(native__error_rate=0.05)
    assert verdict(service(), a_step("reduced", "errors"), samples, DUE, {"errors": DUE + 1})[0] is Verdict.CANNOT_TELL
    assert verdict(service(), a_step("reduced", "errors"), samples, DUE, {"errors": DUE})[0] is Verdict.NOT_RESOLVED


def test_every_triggering_rule_has_its_say() -> None:
    """One rule that cleared would end an incident of two."""
    step = a_step("reduced", "errors", "slower", "gone")
    clear = history(native__error_rate=0.003, native__latency_p90=400, proxy__latency_p90=400)
    assert verdict(service(), step, clear, DUE, {})[0] is Verdict.RESOLVED
    slow = history(native__error_rate=0.003, native__latency_p90=600, proxy__latency_p90=400)
    assert verdict(service(), step, slow, DUE, {})[0] is Verdict.NOT_RESOLVED
    assert verdict(service(), a_step("reduced"), History(), DUE, {})[0] is Verdict.RESOLVED


@pytest.mark.parametrize(("verified", "found"), [(True, Verdict.RESOLVED), (False, Verdict.CANNOT_TELL), (None, None)])
def test_a_triggers_step_is_judged_by_its_checks(verified: bool | None, found: Verdict | None) -> None:
    """No metric can see what the person saw."""
    step = a_step("emergency", "database errors", verified=verified)
    assert verdict(service(), step, History(), DUE, {})[0] is (found or Verdict.CANNOT_TELL)


@pytest.mark.parametrize(
    ("share", "proxy", "found"),
    [
        (0, 0.003, Verdict.RESOLVED),
        ("0.009", 0.003, Verdict.RESOLVED),
        ("0.01", 0.003, Verdict.NOT_RESOLVED),
        (0, 0.05, Verdict.NOT_RESOLVED),
        (0, lambda at: 0.05 if at == DUE else 0.003, Verdict.CANNOT_TELL),
        (0, None, Verdict.CANNOT_TELL),
        (None, 0.003, Verdict.CANNOT_TELL),
        ("pending", 0.003, Verdict.CANNOT_TELL),
    ],
)
def test_at_a_draining_rung_the_cohort_must_be_drained_and_the_other_be_well(
    share: object, proxy: object, found: Verdict
) -> None:
    """Spec 5: its share below 1 %, and no such rule true of the other cohort; its own error rate is no more asked."""
    samples = history(native__error_rate=0.5, native__share=share, proxy__error_rate=proxy)
    assert verdict(service(), a_step("emergency", "errors high"), samples, DUE, {})[0] is found


def test_relative_rules_count_as_cleared_at_a_draining_rung() -> None:
    """Native against proxy means nothing where native has no traffic."""
    samples = history(native__latency_p90=900, proxy__latency_p90=400, native__share=0)
    assert verdict(service(), a_step("emergency", "slower"), samples, DUE, {})[0] is Verdict.RESOLVED
    unshared = service(ladder=a_kv_ladder(share=None))
    assert share_of(unshared, samples, "native", DUE) == 0


@pytest.mark.parametrize(("rung", "found"), [("disabled", Verdict.RESOLVED), ("reduced", Verdict.CANNOT_TELL)])
def test_a_cohort_that_the_rung_gives_nothing_and_that_gets_nothing_counts_as_cleared(
    rung: str, found: Verdict
) -> None:
    """Else every working `disabled` would end in "cannot tell" (spec 18)."""
    samples = history(native__error_rate=None)
    assert verdict(service(), a_step(rung, "errors"), samples, DUE, {})[0] is found
    unread = History().merged({"native.error_rate": tuple(Sample(at) for at in range(T0, DUE + 1, STEP))}, 0)
    assert verdict(service(), a_step(rung, "errors"), unread, DUE, {})[0] is Verdict.CANNOT_TELL


def test_which_cohort_a_rung_starves() -> None:
    """A cohort without traffic by our own doing is neither blind nor unresolved."""
    ladder = a_kv_ladder()
    found = {rung.name: starved(service(), rung) for rung in ladder.rungs}
    assert found == {"normal": None, "reduced": None, "disabled": "native", "emergency": "native"}
    assert starved(service(ladder=a_kv_ladder(share=None)), ladder.rung("disabled")) is None
    assert starved(service(signals={}, rules=()), ladder.rung("disabled")) is None


def test_signal_checks_report_over_their_own_time() -> None:
    """`error_rate < 5%` for 5m, from samples wholly after the step."""
    check = Check(SignalCheck(a_comparison("native.error_rate < 5%"), 300), "errors below 5 %")
    elsewhere = replace(check, at="emergency", name="elsewhere", advisory=True)
    checked = service(verify=(check, elsewhere))
    good = signal_checks(checked, a_step(), history(native__error_rate=lambda at: 0.5 if at < T0 + 120 else 0.003))
    assert [(r.name, r.passed, r.detail) for r in good] == [
        ("errors below 5 %", True, "true at 17 of 17 known samples")
    ]
    bad = signal_checks(checked, a_step(), history(native__error_rate=lambda at: 0.05 if at == DUE else 0.003))
    assert not bad[0].passed
    assert not signal_checks(checked, a_step(), history(native__error_rate=None))[0].passed


@pytest.mark.parametrize(("waited", "found"), [(60, Verdict.CANNOT_TELL), (301, Verdict.GIVEN_UP)])
def test_samples_from_before_it_is_due_decide_nothing(waited: int, found: Verdict) -> None:
    """A read that failed since would leave the verdict to what was so in the middle of it."""
    step, seen = a_step("reduced", "errors"), history(DUE - 4 * STEP, native__error_rate=0.001)
    assert verdict(service(), step, seen, DUE + waited, {}) == (found, DUE - 4 * STEP)
