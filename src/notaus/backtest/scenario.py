"""Scenarios as people write them (spec 15): history, events and expectations, read from YAML with every mistake named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from notaus.config.document import List, Node, Scalar, Table, parse, plain
from notaus.config.problems import InvalidConfiguration, Misread, Report, Where
from notaus.config.quantities import quantity, whole_seconds

TARGETS = {
    "kv.put": "kv.put",
    "kv.get": "kv.get",
    "deployments.post": "deployments.post",
    "deployments.get": "deployments.get",
    "analytics": None,
    "verify": "verify",
    "page": "page",
    "workflow": "workflow",
    "workflow.get": "workflow.get",
    "command": None,
}
CONCLUSIONS = ("failure", "cancelled", "timed_out")
"""How a run of a workflow may end that was started."""
KINDS = ("timeout", "lost_reply", "hang", "reset")
BLOCKED = ("do_migration", "secrets", "binding")
APPROVALS = ("requested", "withdrawn", "expired", "superseded", "done", "denied")
TOTALS = ("kv", "rollback", "workflow", "command", "page", "notice")
KEYS = ("name", "service", "start", "tick", "settle", "series", "events", "expect", "replicas")


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one signal at the ticks from 0:00 on; None is a missing one. Values in the scenario's own units."""

    values: tuple[tuple[Fraction, str] | None, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at `at` seconds."""

    at: int
    kind: str
    value: Any
    more: Mapping[str, Any]
    where: Where


@dataclass(frozen=True, slots=True)
class Expectation:
    """What should (or should never) be so between `first` and `last` seconds; `totals` counts over the whole run."""

    what: Mapping[str, Any]
    where: Where
    first: float = 0
    last: float = float("inf")
    never: bool = False
    totals: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartVersion:
    """A version that had served for `live_for` seconds, oldest first."""

    version: str
    live_for: int
    flagged: bool = False
    blocked: str | None = None


USUAL_VERSIONS = (StartVersion("v1.8.0", 90 * 3600), StartVersion("v1.9.0", 26 * 3600))
"""Of a deployment service whose scenario says nothing of versions."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, in seconds from its start."""

    file: str
    name: str
    service: str
    tick: int = 15
    settle: Mapping[str, int] | int = 0
    start_rung: str | None = None
    start_kv: Mapping[str, Any] | None = None
    versions: tuple[StartVersion, ...] = ()
    live: str | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    expect: tuple[Expectation, ...] = ()
    replicas: int = 1

    @property
    def founded(self) -> tuple[StartVersion, ...]:
        """The versions of a deployment service before 0:00, oldest first."""
        return self.versions or USUAL_VERSIONS

    @property
    def tags(self) -> tuple[str, ...]:
        """Every version that it names."""
        deployed = [e.value for e in self.events if e.kind == "deploy"]
        deployed += [e.value["deploy"] for e in self.events if e.kind == "human" and "deploy" in e.value]
        return (*(each.version for each in self.founded), *(tag for shares in deployed for tag in shares))

    @property
    def end(self) -> int:
        """The end of the longest series, event or expectation, plus ten minutes."""
        ends = [len(s.values) * self.tick for s in self.series.values()]
        ends += [event.at for event in self.events]
        ends += [int(e.last) for e in self.expect if e.last != float("inf")]
        ends += [int(e.first) for e in self.expect]
        return max(ends, default=0) + 600


def read(path: Path) -> Scenario:
    """Read a scenario file. Raises InvalidConfiguration with every mistake."""
    report = Report()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        report.problem(Where(str(path)), f"cannot be read: {error.strerror}", "a scenario file (YAML)")
        raise InvalidConfiguration(report.problems) from None
    except UnicodeDecodeError:
        report.problem(Where(str(path)), "not UTF-8 text", "save it as UTF-8")
        raise InvalidConfiguration(report.problems) from None
    root = parse(text, str(path), report)
    scenario = None
    if isinstance(root, Table):
        scenario = _Reader(report).scenario(str(path), root)
    elif not report.problems:
        report.problem(Where(str(path), 1, 1), "not a scenario", "a mapping with name, service, series and expect")
    if report.problems or scenario is None:
        raise InvalidConfiguration(report.problems)
    return scenario


_SERIES_ITEM = re.compile(r"(?P<value>[^x\s]+?)(?:x(?P<more>\d+))?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{2})")
EVENTS = (
    "human", "deploy", "fail", "kill", "approve", "deny", "hold", "release", "trigger", "restore", "clock", "revise",
    "lag", "set", "stop", "rollback", "close",
)  # fmt: skip
STATES = ("kv", "rollback", "workflow", "command", "page", "notice", "approval", "rung", "incident", "state")


class _Reader:
    """Reads the parts, each mistake reported at its place."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def guarded(self, read: Callable[[Node], Any], node: Node | None, default: Any) -> Any:
        if node is None:
            return default
        try:
            return read(node)
        except Misread as error:
            self.report.problem(error.where or node.where, error.wrong, error.right)
            return default

    def scenario(self, file: str, root: Table) -> Scenario:
        for key, node in root:
            if key not in KEYS:
                self.report.problem(node.where, f"unknown key `{key}`", f"one of {', '.join(KEYS)}")
        tick = self.guarded(_seconds, root.get("tick"), 15)
        start = root.get("start")
        rung, kv, versions, live = self.guarded(self._start, start, (None, None, (), None))
        service = self.guarded(_text, root.get("service"), "")
        if not service:
            self.report.problem(root.where.key("service"), "`service` is missing", "the name of a service file")
        return Scenario(
            file,
            self.guarded(_text, root.get("name"), Path(file).stem),
            service,
            max(tick, 1),
            self.guarded(self._settle, root.get("settle"), 0),
            rung,
            kv,
            versions,
            live,
            self.guarded(self._all_series, root.get("series"), {}),
            self.guarded(self._events, root.get("events"), ()),
            self.guarded(lambda node: self._expectations(node, max(tick, 1)), root.get("expect"), ()),
            self.guarded(_whole, root.get("replicas"), 1),
        )

    def _settle(self, node: Node) -> Mapping[str, int] | int:
        if isinstance(node, Table):
            return {name: _seconds(value) for name, value in node}
        return _seconds(node)

    def _start(self, node: Node) -> tuple[str | None, Any, tuple[StartVersion, ...], str | None]:
        table = _table(node)
        _only(table, ("rung", "kv", "versions", "live"))
        rung = table.get("rung")
        kv = table.get("kv")
        versions = table.get("versions")
        live = table.get("live")
        found = tuple(self._version(each) for each in _list(versions)) if versions is not None else ()
        name = str(plain(live)) if live is not None else (found[-1].version if found else None)
        if found and name != found[-1].version:
            raise Misread(f"live is {name}, but the last version is {found[-1].version}", "`live` names the last one")
        return (
            _text(rung) if rung is not None else None,
            plain(kv) if kv is not None else None,
            found,
            name,
        )

    def _version(self, node: Node) -> StartVersion:
        table = _table(node)
        _only(table, ("version", "live_for", "flagged", "blocked"))
        version, live_for, blocked = table.get("version"), table.get("live_for"), table.get("blocked")
        if version is None or live_for is None:
            raise Misread("a version needs `version` and `live_for`", "{version: v1.9.0, live_for: 26h}", node.where)
        reason = _text(blocked) if blocked is not None else None
        if reason is not None and reason not in BLOCKED:
            raise Misread(f"`{reason}` is no reason", f"one of {', '.join(BLOCKED)}", node.where)
        flagged = table.get("flagged")
        return StartVersion(
            str(plain(version)), _seconds(live_for), bool(flagged is not None and plain(flagged)), reason
        )

    def _all_series(self, node: Node) -> Mapping[str, Series]:
        return {name: self.guarded(_series, value, Series((), value.where)) for name, value in _table(node)}

    def _events(self, node: Node) -> tuple[Event, ...]:
        return tuple(e for e in (self.guarded(_event, item, None) for item in _list(node)) if e is not None)

    def _expectations(self, node: Node, tick: int) -> tuple[Expectation, ...]:
        read = (self.guarded(lambda n: _expectation(n, tick), item, None) for item in _list(node))
        return tuple(e for e in read if e is not None)


def _table(node: Node) -> Table:
    if not isinstance(node, Table):
        raise Misread("not a mapping", 'keys and values, such as {at: "3:00", rung: reduced}', node.where)
    return node


def _list(node: Node) -> tuple[Node, ...]:
    if not isinstance(node, List):
        raise Misread("not a list", "one item a line, each beginning with `- `", node.where)
    return node.items


def _only(table: Table, keys: tuple[str, ...]) -> None:
    for key, node in table:
        if key not in keys:
            raise Misread(f"unknown key `{key}`", f"one of {', '.join(keys)}", node.where)


def _text(node: Node) -> str:
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
        raise Misread("not a word", "a word or a text", node.where)
    return str(node.value)


def _whole(node: Node) -> int:
    value = plain(node)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Misread(f"{value!r} is no whole number above 0", "a number such as 2", node.where)
    return value


def _seconds(node: Node) -> int:
    try:
        return whole_seconds(_text(node))
    except Misread as error:
        raise Misread(error.wrong, error.right, node.where) from None


def clock(node: Node) -> int:
    """`m:ss` or `h:mm:ss`, in seconds."""
    text = _text(node)
    found = _CLOCK.fullmatch(text.strip())
    if found is None or int(found[3]) > 59:
        raise Misread(f"`{text}` is no time", 'quoted, as "4:10" or "1:04:10"', node.where)
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3])


def _series(node: Node) -> Series:
    if not isinstance(node, Scalar) or node.value is None:
        raise Misread("not a series", 'such as "0.3%x3 2%x23" (quote what YAML could take for a number)', node.where)
    values: list[tuple[Fraction, str] | None] = []
    text = (
        node.written if isinstance(node.value, (int, float)) and not isinstance(node.value, bool) else str(node.value)
    )
    for item in text.split():
        found = _SERIES_ITEM.fullmatch(item)
        if found is None:
            raise Misread(f"`{item}` is no item of a series", "VALUE, VALUExN or _xN", node.where)
        if found["value"] == "_":
            values += [None] * int(found["more"] or 1)
            continue
        try:
            read = quantity(found["value"])
        except Misread as error:
            raise Misread(error.wrong, error.right, node.where) from None
        values += [(read.number, read.unit)] * (1 + int(found["more"] or 0))
    return Series(tuple(values), node.where)


def _event(node: Node) -> Event:
    table = _table(node)
    at = table.get("at")
    if at is None:
        raise Misread("an event needs `at`", 'such as {at: "4:10", approve: true}', node.where)
    kinds = [key for key, _ in table if key in EVENTS]
    unknown = [
        key for key, _ in table if key not in (*EVENTS, "at", "with", "for", "back", "reason", "of", "all", "by")
    ]
    if len(kinds) != 1 or unknown:
        wrong = f"unknown key `{unknown[0]}`" if unknown else "an event does one thing"
        raise Misread(wrong, f"one of {', '.join(EVENTS)}", node.where)
    kind = kinds[0]
    value = table.get(kind)
    assert value is not None
    return Event(clock(at), kind, _event_value(kind, value), _event_more(kind, table, node), node.where)


def _event_value(kind: str, node: Node) -> Any:
    match kind:
        case "fail":
            target = _text(node)
            if target not in TARGETS:
                raise Misread(f"`{target}` cannot fail", f"one of {', '.join(TARGETS)}", node.where)
            return target
        case "hold" | "lag":
            return _seconds(node)
        case "clock":
            text = _text(node)
            found = re.fullmatch(r"([+-])\s*(\S+)", text)
            if found is None:
                raise Misread(f"`{text}` is no jump", "such as +1h or -30s", node.where)
            try:
                return whole_seconds(found[2]) * (1 if found[1] == "+" else -1)
            except Misread as error:
                raise Misread(error.wrong, error.right, node.where) from None
        case "human" | "restore" | "revise":
            value = plain(node)
            if kind == "restore" and value is True:
                return {}
            if not isinstance(value, dict):
                raise Misread(f"`{kind}` takes a mapping", "such as {canary_percent: 10}", node.where)
            if kind == "human" and "deploy" in value:
                return {"deploy": _deployed(value["deploy"], node)}
            return value
        case "deploy":
            return _deployed(plain(node), node)
        case _:
            return plain(node)


def _deployed(value: Any, node: Node) -> Mapping[str, Fraction]:
    """A version that gets all traffic, or two with the percentage of each: what a gradual deployment is."""
    if not isinstance(value, dict):
        return {str(value): Fraction(100)}
    try:
        shares = {str(name): quantity(str(share)) for name, share in value.items()}
    except Misread as error:
        raise Misread(error.wrong, error.right, node.where) from None
    right = "{v1.9.0: 90%, v2.0.0: 10%}"
    if any(share.unit not in ("", "%") for share in shares.values()):
        raise Misread("not percentages", right, node.where)
    if len(shares) > 2 or sum(share.number for share in shares.values()) != 100:
        raise Misread("at most two versions can be live, and share 100 %", right, node.where)
    return {name: share.number for name, share in shares.items()}


def _event_more(kind: str, table: Table, node: Node) -> Mapping[str, Any]:
    more: dict[str, Any] = {}
    for key, read in (("for", _seconds), ("back", clock), ("of", clock), ("reason", _text), ("by", _text)):
        value = table.get(key)
        if value is not None:
            more[key] = read(value)
    kinds = table.get("with")
    if kinds is not None:
        given = plain(kinds)
        more["with"] = given if isinstance(given, list) else [given]
        known = (*KINDS, *CONCLUSIONS) if plain(table.get(kind) or node) == "workflow" else KINDS
        for each in more["with"]:
            if not isinstance(each, int) and each not in known:
                raise Misread(f"`{each}` is no failure", f"an HTTP status or one of {', '.join(known)}", kinds.where)
    everything = table.get("all")
    if everything is not None:
        more["all"] = bool(plain(everything))
    if kind == "kill" and "back" not in more:
        raise Misread("`kill` needs `back`", 'such as {at: "2:00", kill: true, back: "2:20"}', node.where)
    if kind == "revise" and "of" not in more:
        raise Misread(
            "`revise` needs `of`", 'such as {at: "2:00", revise: {native.error_rate: 0.3%}, of: "1:00"}', node.where
        )
    return more


def _expectation(node: Node, tick: int) -> Expectation:
    table = _table(node)
    totals = table.get("total")
    if totals is not None:
        counts = plain(totals)
        if (
            not isinstance(counts, dict)
            or set(counts) - set(TOTALS)
            or not all(isinstance(n, int) for n in counts.values())
        ):
            raise Misread("not a total", f"numbers of {', '.join(TOTALS)}, such as {{total: {{kv: 2}}}}", node.where)
        return Expectation({}, node.where, totals=counts)
    forbidden = table.get("never")
    if forbidden is not None:
        _only(table, ("never", "after", "before"))
        after, before = table.get("after"), table.get("before")
        first = float(clock(after)) if after is not None else 0.0
        last = float(clock(before)) if before is not None else float("inf")
        return Expectation(_what(_table(forbidden)), node.where, first, last, never=True)
    at, between = table.get("at"), table.get("between")
    if (at is None) == (between is None):
        raise Misread("when?", "one of `at: T`, `between: [T1, T2]`, `never: {…}` and `total: {…}`", node.where)
    if at is not None:
        first, last = float(clock(at)), float(clock(at) + tick)
    else:
        assert between is not None
        times = _list(between)
        if len(times) != 2:
            raise Misread("`between` takes two times", '["3:00", "3:30"]', between.where)
        first, last = float(clock(times[0])), float(clock(times[1]))
    return Expectation(_what(table, ("at", "between")), node.where, first, last)


def _what(table: Table, besides: tuple[str, ...] = ()) -> Mapping[str, Any]:
    what: dict[str, Any] = {}
    for key, node in table:
        if key in besides:
            continue
        if key not in STATES:
            raise Misread(f"`{key}` cannot be expected", f"one of {', '.join(STATES)}", node.where)
        what[key] = _expected(key, node)
    if not what:
        raise Misread("nothing is expected", f"one of {', '.join(STATES)}", table.where)
    return what


def _expected(key: str, node: Node) -> Any:
    value = plain(node)
    right = {
        "kv": "fields, such as {canary_percent: 5}",
        "page": 'critical, warning or {severity: critical, contains: "…"}',
        "notice": '{contains: "…"}',
        "approval": f"one of {', '.join(APPROVALS)}",
        "incident": "open or closed",
    }.get(key, "a name")
    fine = {
        "kv": isinstance(value, dict),
        "page": value in ("critical", "warning")
        or (isinstance(value, dict) and not set(value) - {"severity", "contains"}),
        "notice": value in ("critical", "warning")
        or (isinstance(value, dict) and not set(value) - {"severity", "contains"}),
        "approval": value in APPROVALS,
        "incident": value in ("open", "closed"),
    }.get(key, isinstance(value, str))
    if not fine:
        raise Misread(f"`{key}: {value}` cannot be expected", right, node.where)
    return value
