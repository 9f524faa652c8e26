"""Known-stable versions, the target of a rollback, and whether a deployment is to blame."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from notaus.core.deployment import (
    Average,
    Doubt,
    Origin,
    Registry,
    Standing,
    average,
    last_served,
    observed,
    origin,
    suspect,
    target,
)
from notaus.core.sample import History
from notaus.core.world import Version
from tests.builders import STEP, T0, a_comparison, a_deployment, a_history, a_rate, a_registry, a_version, a_view

HOUR = 3600
V1, V2, V3 = "id-of-v1", "id-of-v2", "id-of-v3"


def test_at_first_start_known_stable_versions_are_presumed_from_the_history() -> None:
    """Spec 6: presumed, and shown so. Served an hour to the second is enough, a second less is not."""
    view = a_view(
        a_deployment(T0 - 10, "v3"), a_deployment(T0 - 10 - HOUR, "v2"), a_deployment(T0 - 9 - 2 * HOUR, "v1")
    )
    registry = observed(Registry(), view, HOUR, None)
    assert registry.of(V2) == Standing(T0 - 10, True, None, T0 - 10, True)
    assert registry.of(V1) == Standing(None, False, None, T0 - 10 - HOUR, True)
    assert registry.of(V3) == Standing(None, False, None, None, True)
    assert (registry.stable(V2), registry.stable(V1), registry.stable(V3)) == (True, False, False)
    assert registry.of("never seen") == Standing()


@pytest.mark.parametrize(
    ("age", "clean", "stable_since"),
    [
        (HOUR, T0 - 2 * HOUR, T0),
        (HOUR - 1, T0 - 2 * HOUR, None),
        (2 * HOUR, T0 - HOUR, T0),
        (2 * HOUR, T0 - HOUR + 1, None),
    ],
)
def test_the_live_version_earns_its_standing_in_an_hour_without_a_breach(
    age: int, clean: int, stable_since: int | None
) -> None:
    """A version with a breach in its hour would become a target of rollbacks."""
    registry = observed(Registry(), a_view(a_deployment(T0 - age, "v1")), HOUR, clean)
    assert registry.of(V1).stable_since == stable_since
    assert not registry.of(V1).presumed


def test_what_served_while_nobody_watched_earns_nothing() -> None:
    """Standing is earned under watch, once the watch has begun."""
    view = a_view(a_deployment(T0 - 10, "v2"), a_deployment(T0 - 10 - 3 * HOUR, "v1"))
    registry = observed(Registry(), view, HOUR, T0 - 5 * HOUR)
    assert registry.of(V1) == Standing(None, False, None, T0 - 10, True)


def test_a_standing_once_earned_is_kept_and_a_gradual_deployment_earns_none() -> None:
    """A version at 10 % has not served all traffic."""
    before = observed(Registry(), a_view(a_deployment(T0 - 2 * HOUR, "v1")), HOUR, None)
    view = a_view(a_deployment(T0 - 2 * HOUR + 60, ("v1", 90), ("v2", 10)), a_deployment(T0 - 2 * HOUR, "v1"))
    registry = observed(before, view, HOUR, T0 - 2 * HOUR)
    assert registry.of(V1).stable_since == T0 - HOUR
    assert registry.of(V1).served_until == T0 - 2 * HOUR + 60
    assert registry.of(V2) == Standing(served=True)
    assert last_served(registry, V1, T0) == T0 - 2 * HOUR + 60


def test_when_cloudflares_list_has_forgotten_the_registry_has_not() -> None:
    """Cloudflare lists ten deployments; a target that served last month must still be known."""
    before = observed(Registry(), a_view(a_deployment(T0 - 2 * HOUR, "v1")), HOUR, None)
    gradual = observed(before, a_view(a_deployment(T0 - 60, ("v1", 50), ("v2", 50))), HOUR, T0 - 2 * HOUR)
    assert gradual.of(V1).served_until == T0 - 60
    later = observed(gradual, a_view(a_deployment(T0, "v3")), HOUR, T0 - 2 * HOUR)
    assert later.of(V1) == gradual.of(V1)
    assert later.names[V1].label == "v1"


def test_a_version_deployed_again_serves_until_now() -> None:
    """A version that is live has not stopped serving, whatever the deployments before it say."""
    view = a_view(a_deployment(T0 - 60, "v1"), a_deployment(T0 - HOUR, "v2"), a_deployment(T0 - 9 * HOUR, "v1"))
    registry = observed(Registry(), view, HOUR, None)
    assert registry.of(V1).served_until is None
    assert last_served(registry, V1, T0) == T0
    gone = observed(registry, a_view(a_deployment(T0, "v3"), *view.deployments), HOUR, T0 - HOUR)
    assert gone.of(V1).served_until == T0


def test_last_served_of_a_version_that_never_did_is_the_beginning_of_time() -> None:
    """Newest is by when it served last."""
    assert last_served(Registry(), V1, T0) == 0
    assert last_served(Registry({V1: Standing(served_until=5, served=True)}), V1, T0) == 5


@pytest.mark.parametrize(
    ("live", "stable", "blamed"),
    [
        (("v2",), (), V2),
        (("v2",), ("v2",), V2),
        ((("v1", 90), ("v2", 10)), ("v1",), V2),
        ((("v1", 90), ("v2", 10)), ("v1", "v2"), None),
        ((("v1", 90), ("v2", 10)), (), None),
    ],
)
def test_with_two_versions_live_the_suspect_is_the_one_that_is_not_known_stable(
    live: tuple[object, ...], stable: tuple[str, ...], blamed: str | None
) -> None:
    """Spec 6; if that is not one exactly, nobody is blamed and a person is asked."""
    view = a_view(a_deployment(T0, *live))  # type: ignore[arg-type]
    assert view.live is not None
    assert suspect(a_registry(view, *stable), view.live) == blamed


VIEW = a_view(a_deployment(T0, "v3"), a_deployment(T0 - 9000, "v2"), a_deployment(T0 - 90000, "v1"))


def registry_with(**doubts: Doubt) -> Registry:
    registry = observed(Registry(), VIEW, HOUR, None)
    for tag, doubt in doubts.items():
        registry = registry.doubted(f"id-of-{tag}", doubt)
    return registry


def test_the_target_is_the_newest_known_stable_version() -> None:
    """Newest is the one that served all traffic last."""
    assert target(registry_with(), VIEW).version == VIEW.versions[V2]
    again = a_view(a_deployment(T0, "v3"), a_deployment(T0 - 50, "v1"), *VIEW.deployments[1:])
    assert target(observed(Registry(), again, HOUR, None), again).version.id == V1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("doubts", "but", "tag"),
    [
        ({"v2": Doubt.FLAGGED}, (), "v1"),
        ({"v2": Doubt.SUSPECT}, (), "v1"),
        ({}, (V2,), "v1"),
        ({"v1": Doubt.FLAGGED}, (V2,), None),
        ({"v1": Doubt.FLAGGED, "v2": Doubt.SUSPECT}, (), None),
        ({}, (V1, "id-of-gone"), "v2"),
    ],
)
def test_doubted_versions_are_no_targets(doubts: dict[str, Doubt], but: tuple[str, ...], tag: str | None) -> None:
    """Never a rollback to a version that is flagged, or that was just rolled back from."""
    found = target(registry_with(**doubts), VIEW, but=but)
    assert (found.version.tag if found.version else None) == tag
    assert (found.reason is None) == (tag is not None)
    assert not found.blocked


def test_the_same_release_under_another_id_is_no_target() -> None:
    """A secret change makes a version of the same code: rolling back to it changes nothing."""
    same = {**VIEW.versions, V2: replace(VIEW.versions[V2], etag="etag-v3")}
    view = replace(VIEW, versions=same)
    assert target(observed(Registry(), view, HOUR, None), view).version.id == V1  # type: ignore[union-attr]


def test_of_a_gradual_deployment_the_stable_half_is_a_target() -> None:
    """With v1 at 90 % and v2 at 10 %, back to v1 is the way."""
    view = a_view(a_deployment(T0, ("v1", 90), ("v2", 10)), a_deployment(T0 - 90000, "v1"))
    registry = observed(Registry(), view, HOUR, None)
    assert target(registry, view).version == view.versions[V1]
    assert target(registry, replace(view, deployments=())).version is not None


def test_a_blocked_target_is_shown_and_nothing_older_is_tried() -> None:
    """Spec 18: if the newest known-stable version is blocked, nothing older is tried without approval."""
    view = replace(VIEW, blocked={V2: "a Durable Object migration lies in between"})
    found = target(registry_with(), view)
    assert found.blocked
    assert found.version == VIEW.versions[V2]
    assert found.reason == (
        "v2, the newest known-stable version, cannot be deployed: a Durable Object migration lies in between"
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (a_version("v1"), a_version("v1"), True),
        (Version("a", 0, "v1", "e1"), Version("b", 0, "v2", "e1"), True),
        (Version("a", 0, "v1", "e1"), Version("b", 0, "v1", "e2"), False),
        (Version("a", 0, "v1"), Version("b", 0, "v1", "e1"), True),
        (Version("a", 0), Version("b", 0), False),
        (Version("a", 0, None, "e1"), Version("b", 0, None), False),
    ],
)
def test_the_same_release_is_one_etag_or_one_tag_where_an_etag_is_missing(
    one: Version, other: Version, same: bool
) -> None:
    """Settings changes must not pass for new releases, nor two releases for one."""
    assert one.same_release(other) is same
    assert other.same_release(one) is same


def test_a_version_is_found_by_id_tag_or_the_start_of_its_id() -> None:
    """`notaus rollback --to v1` that deploys something else."""
    versions = {
        "abcdef-1": Version("abcdef-1", 1, "v1"),
        "abcdef-2": Version("abcdef-2", 2, "v1"),
        "xyz": Version("xyz", 3),
    }
    registry = Registry(names=versions)
    found = {name: registry.find(name) for name in ("v1", "abcdef", "abcdef-1", "abcde", "xyz", "v9")}
    assert {name: v.id if v else None for name, v in found.items()} == {
        "v1": "abcdef-2",
        "abcdef": "abcdef-2",
        "abcdef-1": "abcdef-1",
        "abcde": None,
        "xyz": "xyz",
        "v9": None,
    }
    assert versions["xyz"].label == "xyz"
    assert Version("0123456789", 0).label == "01234567"


def test_a_view_knows_what_is_live() -> None:
    """A version beyond the list is known by its id alone."""
    assert a_view().live is None
    assert VIEW.version("gone") == Version("gone", 0)
    assert a_deployment(T0, ("v1", 50), ("v2", 50)).alone is None
    assert a_deployment(T0, "v1").alone == V1


# Before and after


def rates(*pairs: tuple[int, int]) -> History:
    samples = tuple(a_rate(T0 + i * STEP, Fraction(of, among), among) for i, (of, among) in enumerate(pairs))
    return History().merged({"e": samples}, 0)


def test_before_is_the_request_weighted_mean() -> None:
    """A quiet minute would weigh as much as a busy one."""
    found = average("e", rates((1, 10), (0, 90)), T0, T0 + STEP)
    assert found == Average(Fraction(1, 100), Fraction(1), Fraction(100))
    assert average("e", rates((1, 10), (0, 90)), T0 + 1, T0 + STEP) == Average(Fraction(0), Fraction(0), Fraction(90))


def test_before_of_latencies_is_the_mean_of_the_known_samples() -> None:
    """Unknown samples taken for zero would make every deployment look worse."""
    history = a_history(e=[100, None, 300])
    assert average("e", history, T0, T0 + 99) == Average(Fraction(200))
    assert average("e", history, T0 + 15, T0 + 15) is None
    assert average("nothing", history, T0, T0 + 99) is None


def share(of: int, among: int) -> Average:
    return Average(Fraction(of, among), Fraction(of), Fraction(among))


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (share(1, 1000), (200, 1000), Origin.NEW),
        (share(100, 1000), (200, 1000), Origin.NEW),  # exactly at the bound: not beyond it
        (share(110, 1000), (200, 1000), Origin.WORSE),
        (share(190, 1000), (200, 1000), Origin.PRE_EXISTING),
        (share(200, 1000), (190, 1000), Origin.PRE_EXISTING),
        (Average(Fraction(11, 100)), (200, 1000), Origin.WORSE),  # no counts: by half
        (Average(Fraction(15, 100)), (200, 1000), Origin.PRE_EXISTING),
        (None, (200, 1000), Origin.UNKNOWN),
        (share(1, 1000), None, Origin.UNKNOWN),
    ],
)
def test_whether_a_rate_is_the_deployments_doing(
    before: Average | None, after: tuple[int, int] | None, answer: Origin
) -> None:
    """Spec 7: new, worse (disjoint 95 % intervals), pre-existing, or not known."""
    history = rates(after) if after else History()
    earlier = {} if before is None else {"e": before}
    assert origin([a_comparison("e > 10%")], earlier, history, T0, T0) is answer


@pytest.mark.parametrize(
    ("text", "before", "after", "answer"),
    [
        ("e > 600", 600, 900, Origin.NEW),
        ("e > 600", 601, 902, Origin.WORSE),
        ("e > 600", 640, 959, Origin.PRE_EXISTING),
        ("e > 600", 640, 960, Origin.WORSE),
        ("e < 30", 30, 10, Origin.NEW),
        ("e < 30", 20, 10, Origin.WORSE),
        ("e < 30", 20, 11, Origin.PRE_EXISTING),
    ],
)
def test_quantiles_and_scalars_are_worse_by_half(text: str, before: int, after: int, answer: Origin) -> None:
    """They have no counts, so no interval."""
    history = a_history(e=[after])
    assert origin([a_comparison(text)], {"e": Average(Fraction(before))}, history, T0, T0) is answer


def test_a_rate_that_should_be_high_is_worse_when_it_is_clearly_lower() -> None:
    """Cache hits: fewer are worse."""
    for of, answer in ((100, Origin.WORSE), (195, Origin.PRE_EXISTING), (290, Origin.PRE_EXISTING)):
        found = origin([a_comparison("e < 30%")], {"e": share(200, 1000)}, rates((of, 1000)), T0, T0)
        assert found is answer


def test_a_relative_condition_compares_with_the_other_signal_as_it_was() -> None:
    """`native > proxy + 50%`: before, native was fine against the proxy of then."""
    comparison = a_comparison("e > o + 50%")
    history = a_history(e=[900], o=[400])
    earlier = {"e": Average(Fraction(500)), "o": Average(Fraction(400))}
    assert origin([comparison], earlier, history, T0, T0) is Origin.NEW
    assert origin([comparison], {"e": earlier["e"]}, history, T0, T0) is Origin.UNKNOWN
    assert origin([comparison], {**earlier, "e": Average(Fraction(700))}, history, T0, T0) is Origin.PRE_EXISTING


def test_of_several_conditions_one_that_is_new_makes_it_new() -> None:
    """All must be true for a breach: if one was not so before, the breach was not."""
    when = [a_comparison("e > 10"), a_comparison("f > 10")]
    history = a_history(e=[20], f=[20])
    both = {"e": Average(Fraction(19)), "f": Average(Fraction(5))}
    assert origin(when, both, history, T0, T0) is Origin.NEW
    assert origin(when, {"e": both["e"]}, history, T0, T0) is Origin.UNKNOWN
    assert origin(when, {**both, "f": Average(Fraction(11))}, history, T0, T0) is Origin.WORSE
    assert origin(when, {**both, "f": Average(Fraction(19))}, history, T0, T0) is Origin.PRE_EXISTING
