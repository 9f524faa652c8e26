"""Verification and restore of a service file: checks, prerequisites and the ramp back."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from notaus.config import keys as key
from notaus.config.conditions import Catalogue
from notaus.config.containers import Entries
from notaus.config.document import Scalar
from notaus.config.ladder import unknown_rung
from notaus.config.problems import Report, near_miss
from notaus.config.quantities import span
from notaus.config.rules import ladder_level
from notaus.config.table import Values
from notaus.core.ladder import KvLever, Ladder
from notaus.core.verification import (
    Check,
    CheckKind,
    HttpCheck,
    RampStep,
    ReadBack,
    Restore,
    RestoreNeed,
    SignalCheck,
    WebSocketCheck,
)

_VARIABLE = re.compile(r"\$([A-Za-z_][\w.]*)")
_TARGET = ("target.tag", "target.id")


def read_checks(
    service: Values, defaults: Values, ladder: Ladder, catalogue: Catalogue, report: Report
) -> tuple[Check, ...]:
    """The lines of `verify:` that can be read."""
    found = []
    hold = ladder_level(key.VALIDATE, service, defaults)
    for kind, values in service.get(key.VERIFY) or ():
        at = values.get(key.AT)
        if at is not None and not ladder.has(at):
            unknown_rung(at, ladder, values.at(key.AT), report)
        check = _kind(kind, values, ladder, hold, catalogue, report)
        if check is not None:
            found.append(Check(check, _named(check), at, values.of(key.ADVISORY)))
    return tuple(found)


def _kind(
    kind: str, values: Values, ladder: Ladder, hold: int, catalogue: Catalogue, report: Report
) -> CheckKind | None:
    if kind == "read":
        return _read_back(values, ladder, report)
    if kind == "signal":
        node = values.get(key.CHECK_SIGNAL)
        condition = None if node is None else catalogue.read(node, report)
        length = values.get(key.CHECK_FOR)
        return None if condition is None else SignalCheck(condition, hold if length is None else length)
    if kind == "websocket":
        return WebSocketCheck(values.get(key.CHECK_WEBSOCKET) or "")
    _check_variables(values, ladder, report)
    return HttpCheck(
        url=values.get(key.CHECK_GET) or "",
        status=values.get(key.STATUS),
        headers=dict(values.get(key.CHECK_HEADER) or {}),
        json=dict(values.get(key.CHECK_JSON) or {}),
        latency_below=values.get(key.CHECK_LATENCY),
    )


def _read_back(values: Values, ladder: Ladder, report: Report) -> ReadBack | None:
    what = values.get(key.READ)
    lever = key.ReadWhat.KV if isinstance(ladder.lever, KvLever) else key.ReadWhat.DEPLOYMENT
    if what is not None and what is not lever:
        report.problem(values.at(key.READ), f"the lever of this ladder is no {what}", f"write `read: {lever}`")
    return None if what is None else ReadBack(str(what))


def _check_variables(values: Values, ladder: Ladder, report: Report) -> None:
    fields = {name for rung in ladder.rungs for name in rung.fields}
    known: tuple[str, ...] = _TARGET
    if isinstance(ladder.lever, KvLever):
        known = (*fields, *ladder.lever.fields)
    for expected in (key.CHECK_JSON, key.CHECK_HEADER):
        entries: Entries[Any] = values.get(expected) or Entries({}, {})
        for name, value in entries.items():
            for variable in _VARIABLE.findall(value) if isinstance(value, str) else ():
                if variable not in known:
                    right = near_miss(f"${variable}", [f"${one}" for one in known])
                    report.problem(entries.places[name], f"`${variable}` stands for nothing here", right)


def _named(check: CheckKind) -> str:
    """What people read; of a URL without its query, which may hold a token."""
    match check:
        case ReadBack():
            return f"read back the {'KV key' if check.what == 'kv' else check.what}"
        case HttpCheck():
            return f"GET {_shown(check.url)}"
        case WebSocketCheck():
            return f"WebSocket {_shown(check.url)}"
        case SignalCheck():
            return f"{check.condition.text} for {span(check.hold)}"


def _shown(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        return "a URL"


def read_restore(service: Values, ladder: Ladder, catalogue: Catalogue, report: Report) -> Restore:
    values = service.get(key.RESTORE)
    if values is None:
        return Restore()
    needs = [_need(item, catalogue, report) for item in values.get(key.RESTORE_REQUIRE) or ()]
    return Restore(tuple(n for n in needs if n is not None), _ramp(values, ladder, report))


def _need(item: Scalar | Values, catalogue: Catalogue, report: Report) -> RestoreNeed | None:
    if isinstance(item, Values):
        text = item.get(key.ATTEST)
        return None if text is None else RestoreNeed(text)
    condition = catalogue.read(item, report)
    return None if condition is None else RestoreNeed(condition.text, condition)


def _ramp(values: Values, ladder: Ladder, report: Report) -> tuple[RampStep, ...]:
    steps: list[RampStep] = []
    positions: list[int] = []
    for item in values.get(key.RAMP) or ():
        rung, watch = item.get(key.RAMP_RUNG), item.get(key.RAMP_FOR)
        if rung is None or watch is None:
            continue
        if not ladder.has(rung):
            unknown_rung(rung, ladder, item.at(key.RAMP_RUNG), report)
            continue
        if ladder.rung(rung).lever is not None:
            wrong = f"`{rung}` is held by a lever of its own, which no ramp pulls"
            report.problem(item.at(key.RAMP_RUNG), wrong, "`notaus set` takes it back before the ramp begins")
            continue
        if positions and ladder.index(rung) >= positions[-1]:
            wrong = f"`{rung}` is no less safe than `{steps[-1].rung}` before it"
            report.problem(item.at(key.RAMP_RUNG), wrong, "a ramp goes toward the first rung of the ladder")
        steps.append(RampStep(rung, watch))
        positions.append(ladder.index(rung))
    return tuple(steps)
