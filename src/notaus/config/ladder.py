"""The ladder of a service file: its lever, its rungs in order, and what the rest of the file may say of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from notaus.config import keys as key
from notaus.config.conditions import Catalogue
from notaus.config.containers import Entries
from notaus.config.document import Node, Scalar, Table
from notaus.config.kinds import Value, described
from notaus.config.problems import Misread, Report, Where, near_miss
from notaus.config.table import Key, Values, inner_wins
from notaus.core.ladder import (
    NAMES,
    CommandLever,
    DeploymentLever,
    Fields,
    KvLever,
    Ladder,
    Lever,
    Rung,
    Share,
    WorkflowLever,
    unknown_names,
    unordered_field,
)

NOWHERE = Ladder(KvLever("", ""), (Rung("normal"),))
"""Stands in for a ladder that could not be read, so that the rest of the file is still checked."""


def read_ladder(service: Values, defaults: Values, catalogue: Catalogue, report: Report) -> Ladder | None:
    """The ladder; None where it cannot be read, which is reported."""
    values = service.get(key.LADDER_KEY)
    if values is None:
        return None
    lever = _lever(values, service, defaults)
    nodes = values.get(key.RUNGS)
    if lever is None or nodes is None:
        return None
    rungs = _rungs(nodes, lever, values.at(key.RUNGS), report)
    if rungs is None:
        return None
    ladder = Ladder(lever, rungs, escalate_to=values.get(key.ESCALATE_TO))
    if ladder.escalate_to is not None and not ladder.has(ladder.escalate_to):
        unknown_rung(ladder.escalate_to, ladder, values.at(key.ESCALATE_TO), report)
        return None
    drains = _drains(values, ladder, catalogue, report)
    return Ladder(lever, rungs, ladder.escalate_to, drains, _share(values, ladder, catalogue, report))


def unknown_rung(name: str, ladder: Ladder, where: Where, report: Report) -> None:
    report.problem(where, f"there is no rung `{name}`", near_miss(name, [rung.name for rung in ladder.rungs]))


def _lever(values: Values, service: Values, defaults: Values) -> Lever | None:
    found = values.get(key.LEVER)
    if found is None:
        return None
    kind, lever = found
    if kind == "kv":
        return KvLever(lever.get(key.NAMESPACE) or "", lever.get(key.KV_KEY) or "", dict(lever.get(key.FIELDS) or {}))
    stable_after = inner_wins(key.STABLE_AFTER, lever, service, defaults)
    return DeploymentLever(lever.get(key.DEPLOYMENT) or "", stable_after)


def _rungs(nodes: Mapping[str, Node], lever: Lever, where: Where, report: Report) -> tuple[Rung, ...] | None:
    before = len(report.problems)
    read = _deployed if isinstance(lever, DeploymentLever) else _written
    rungs = tuple(
        _of_its_own(name, node, report) if _has_own(node) else Rung(name, *read(node, report))
        for name, node in nodes.items()
    )
    for name in nodes:
        if name == "investigate":
            report.problem(nodes[name].where, "no rung can be called `investigate`", "choose another name")
    if len(report.problems) == before:
        _check_order(rungs, lever, nodes, where, report)
    return rungs if len(report.problems) == before else None


def _has_own(node: Node) -> bool:
    """Whether the rung names a lever of its own; a KV field of that name would hold a single value."""
    return isinstance(node, Table) and any(not isinstance(node.get(name), Scalar | None) for name in key.OWN_RUNGS)


def _of_its_own(name: str, node: Node, report: Report) -> Rung:
    try:
        kind, values = key.OWN_RUNG.read(node, report)
    except Misread as error:
        report.misread(node.where, error)
        return Rung(name)
    lever = _workflow(values, report) if kind == "workflow" else _command(values)
    return Rung(name, lever=lever, approval=values.has(key.RUNG_APPROVAL))


def _command(values: Values) -> CommandLever:
    check, undo = values.get(key.COMMAND_CHECK) or (), values.get(key.COMMAND_UNDO) or ()
    return CommandLever(values.get(key.COMMAND) or (), values.of(key.COMMAND_TIMEOUT), check, undo)


def _workflow(rung: Values, report: Report) -> WorkflowLever:
    values = rung.get(key.WORKFLOW) or Values(rung.where)
    return WorkflowLever(
        values.get(key.REPOSITORY) or "",
        values.get(key.FILE) or "",
        values.of(key.REF),
        _inputs(values, key.INPUTS, report),
        _inputs(values, key.UNDO_INPUTS, report),
        values.of(key.RUN_WITHIN),
        values.of(key.DEPLOYS),
    )


def _inputs(values: Values, which: Key[Entries[Any]], report: Report) -> dict[str, str]:
    """As GitHub takes them: text."""
    given: Entries[Any] = values.get(which) or Entries({}, {})
    for name, value in given.items():
        for unknown in unknown_names(value) if isinstance(value, str) else ():
            right = near_miss(f"${unknown}", [f"${one}" for one in NAMES])
            report.problem(given.places[name], f"`${unknown}` stands for nothing here", right)
    return {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in given.items()}


def _written(node: Node, report: Report) -> tuple[Fields, bool]:
    if not isinstance(node, Table):
        report.problem(node.where, f"is {described(node)}", "must be KV fields, as in `{canary_percent: 5}`")
        return {}, False
    fields = {}
    for name, value in node:
        try:
            fields[name] = Value().read(value, report)
        except Misread as error:
            report.misread(value.where, error)
    return fields, False


def _deployed(node: Node, report: Report) -> tuple[Fields, bool]:
    value = node.value if isinstance(node, Scalar) else None
    if value not in (key.CURRENT, key.STABLE):
        hint = near_miss(value if isinstance(value, str) else "", (key.CURRENT, key.STABLE))
        report.problem(node.where, f"is {described(node)}, which no deployment lever has", hint)
    return {}, value == key.STABLE


def _check_order(
    rungs: tuple[Rung, ...], lever: Lever, nodes: Mapping[str, Node], where: Where, report: Report
) -> None:
    if [rung.lever is not None for rung in rungs] != sorted(rung.lever is not None for rung in rungs):
        report.problem(where, "a rung with a lever of its own stands before one of the ladder's", "move it to the end")
        return
    rungs = tuple(rung for rung in rungs if rung.lever is None)
    if len(rungs) < 2:
        wrong = f"has {len(rungs)} rung{'' if len(rungs) == 1 else 's'} of its lever's"
        report.problem(where, wrong, "at least two, the safest last")
    elif isinstance(lever, DeploymentLever):
        if [rung.stable for rung in rungs] != [False, True]:
            right = f"{{normal: {key.CURRENT}, rolled_back: {key.STABLE}}}"
            report.problem(where, "a deployment lever has two rungs, the known-stable version last", right)
    else:
        _check_fields(rungs, nodes, where, report)


def _check_fields(rungs: tuple[Rung, ...], nodes: Mapping[str, Node], where: Where, report: Report) -> None:
    names = dict.fromkeys(name for rung in rungs for name in rung.fields)
    if not names:
        report.problem(where, "no rung sets a field", "give each its KV fields, as in `{canary_percent: 5}`")
    mixed = False
    for name in names:
        for rung in rungs:
            if name not in rung.fields:
                report.problem(nodes[rung.name].where, f"`{name}` is missing", "every rung sets the same fields")
                mixed = True
            elif _kind(rung.fields[name]) is not _kind(rungs[0].fields.get(name, rung.fields[name])):
                report.problem(
                    nodes[rung.name].where.key(name), f"`{name}` is not of one type", "the same in every rung"
                )
                mixed = True
    if not mixed and (field := unordered_field(rungs)):
        values = ", ".join(str(rung.fields[field]) for rung in rungs)
        report.problem(where, f"`{field}` goes both ways: {values}", "one way down the ladder, the safest value last")
    elif not mixed:
        _check_distinct(rungs, nodes, report)


def _check_distinct(rungs: tuple[Rung, ...], nodes: Mapping[str, Node], report: Report) -> None:
    for earlier, later in pairwise(rungs):
        if earlier.fields == later.fields:
            report.problem(
                nodes[later.name].where, f"is the same as `{earlier.name}`", "each rung safer than the one before"
            )


def _kind(value: object) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float


def _drains(values: Values, ladder: Ladder, catalogue: Catalogue, report: Report) -> Mapping[str, str]:
    cohorts = dict.fromkeys(s.cohort for s in catalogue.signals.values() if s.cohort)
    drains = values.get(key.DRAINS)
    if drains is None:
        return {}
    for rung, cohort in drains.items():
        where = drains.places[rung]
        if not ladder.has(rung):
            unknown_rung(rung, ladder, where, report)
        if cohort not in cohorts and catalogue.complete:
            report.problem(where, f"there is no cohort `{cohort}`", near_miss(cohort, cohorts))
    return dict(drains)


def _share(values: Values, ladder: Ladder, catalogue: Catalogue, report: Report) -> Share | None:
    share = values.get(key.SHARE)
    if share is None:
        return None
    signal, field = share.get(key.SHARE_SIGNAL), share.get(key.SHARE_FROM)
    if signal is None or field is None:
        return None
    if catalogue.complete or signal in catalogue.signals:
        try:
            catalogue.signal(signal)
        except Misread as error:
            report.misread(share.at(key.SHARE_SIGNAL), error)
    kinds = {_kind(rung.fields[field]) if field in rung.fields else None for rung in ladder.own}
    if None in kinds:
        names = dict.fromkeys(name for rung in ladder.rungs for name in rung.fields)
        report.problem(share.at(key.SHARE_FROM), f"no rung sets `{field}`", near_miss(field, names))
    elif kinds != {float}:
        report.problem(share.at(key.SHARE_FROM), f"`{field}` is no number", "name the field that holds the percentage")
    return Share(signal, field, share.of(key.SHARE_STICKY))
