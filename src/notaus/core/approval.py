"""Approval: a question to people, its reminders and its end (spec 8). One open request per service and target."""

from __future__ import annotations

from dataclasses import replace

from notaus.core.action import Move, take
from notaus.core.event import Answer
from notaus.core.evidence import Evidence
from notaus.core.hold import cleared
from notaus.core.incident import Cause
from notaus.core.limits import Permit, Ruling, rule_on
from notaus.core.paging import by_hand, describe, duration, fact, tell, tell_release
from notaus.core.rule import Rule
from notaus.core.state import Request, State
from notaus.core.turn import Turn, stands

REMEMBERED = 20
REMINDERS = (300, 900)
"""Seconds after which an unanswered request is told again."""


def ask(turn: Turn, rule: Rule, rung: str, ruling: Ruling, evidence: Evidence | None, *, blind: bool = False) -> None:
    """Open a request for the step to `rung`, or join the one that is open for it. It may be a `blind` rule that asks."""
    severity = ruling.severity or rule.severity
    turn.open(severity)
    turn.join((rule.name,))
    describe(turn, [rule], {rule.name: evidence} if evidence is not None else {})
    fact(turn, by_hand=by_hand(turn, rung, ruling.version))
    tell_release(turn, ruling.away_from)
    request = turn.state.request
    if request is not None and _covers(turn, request, rung, ruling.version):
        turn.change(request=_joined(request, rule.name, blind=blind))
        if rule.name in request.rules:
            return
        tell(turn, f"{rule.name} has joined the request {request.id}", severity=severity)
        return
    if request is not None:
        _end(turn, "superseded", f"{rule.name} asks for another step")
    view = turn.state.view
    live = view.live.id if view is not None and view.live is not None else None
    name = turn.new_effect_id("ask").replace("/", "-").removesuffix("-ask")
    request = Request(
        name,
        (rule.name,),
        rung,
        turn.at,
        turn.service.ttl,
        turn.at,
        ruling.reason,
        severity,
        ruling.version,
        live,
        blind=(rule.name,) if blind else (),
        unheld=(rule.name,) if blind else (),
    )
    turn.change(request=request)
    turn.move(Cause.ASKED)
    what = _what(turn, request)
    fact(turn, action=f"none yet: {what} waits for approval", approval="", approve=f"notaus approve {request.id}")
    tell(
        turn,
        f"approval wanted: {what}",
        f"Why it asks: {ruling.reason}.",
        f"`notaus approve {request.id}` or `notaus deny {request.id}`; it expires in {duration(request.left)}.",
        loud=True,
        severity=severity,
        also=turn.service.contacts.approvers,
    )


def _joined(request: Request, rule: str, *, blind: bool) -> Request:
    rules, unheld = dict.fromkeys((*request.rules, rule)), set(request.unheld)
    if not blind:
        unheld.discard(rule)
    elif rule not in request.rules:
        unheld.add(rule)
    asks_blind = dict.fromkeys((*request.blind, rule)) if blind else request.blind
    return replace(request, rules=tuple(rules), blind=tuple(asks_blind), unheld=tuple(sorted(unheld)))


def _covers(turn: Turn, request: Request, rung: str, version: str | None) -> bool:
    """Whether the open request already asks for that step, or for a safer one."""
    place_of = turn.service.ladder.place_of
    return request.version == version and place_of(request.rung) >= place_of(rung)


def _what(turn: Turn, request: Request) -> str:
    return proposal(turn.state, request)


def proposal(state: State, request: Request) -> str:
    """What would be done, such as `rolling back to v1.9.0`."""
    if request.version is not None:
        known = state.registry.names.get(request.version)
        return f"rolling back to {known.label if known is not None else request.version}"
    return f"the step to {request.rung}"


def supersede(turn: Turn, by: Rule) -> None:
    """A step is being taken for a worse rule: an open request is void."""
    if turn.state.request is not None:
        _end(turn, "superseded", f"{by.name} acts")


def withdraw(turn: Turn, why: str) -> None:
    """The question no longer arises."""
    if turn.state.request is not None:
        _end(turn, "withdrawn", why)


def _end(turn: Turn, how: str, why: str, *, loud: bool = False) -> None:
    request = turn.state.request
    assert request is not None
    turn.change(request=None)
    turn.move(Cause.ANSWERED)
    _remember(turn, request, how)
    if how in ("denied", "expired"):
        for name in request.rules:
            if name not in request.unheld:  # nobody has said no to its condition
                turn.mark(name, refused=request.deployment or "")
    fact(turn, action=f"none: the request was {how}", approval=f"{how}: {why}", approve="")
    also = turn.service.contacts.escalate if how == "expired" else turn.service.contacts.approvers
    tell(turn, f"the request {request.id} is {how}", why, loud=loud, also=also)


def _remember(turn: Turn, request: Request, how: str) -> None:
    """How the newest requests ended, for answers that come late."""
    kept = list(turn.state.answered.items())[-REMEMBERED:]
    turn.change(answered={**dict(kept), request.id: how})


def upkeep(turn: Turn) -> None:
    """At a tick: withdraw, remind, expire."""
    request = turn.state.request
    if request is None:
        return
    rules = [turn.service.rule(name) for name in request.rules if turn.service.has_rule(name)]
    if all(rule.when and _is_cleared(turn, rule, request) for rule in rules):
        _end(turn, "withdrawn", "the condition has cleared")
        return
    passed = 0 if turn.state.lock is not None else turn.at - request.counted_at
    request = replace(request, left=request.left - passed, counted_at=turn.at)
    turn.change(request=request)
    if request.left <= 0:
        _end(turn, "expired", "Nobody answered, and nothing was done.", loud=True)
        return
    waited = turn.service.ttl - request.left
    if request.reminders < len(REMINDERS) and waited >= REMINDERS[request.reminders]:
        turn.change(request=replace(request, reminders=request.reminders + 1))
        what = _what(turn, request)
        tell(
            turn,
            f"still waiting for approval: {what}",
            f"`notaus approve {request.id}`; it expires in {duration(request.left)}.",
            loud=True,
            also=turn.service.contacts.approvers,
        )


def _is_cleared(turn: Turn, rule: Rule, request: Request) -> bool:
    hold = (turn.holds or {}).get(rule.name)
    if hold is None or hold.newest is None or _asks_blind(turn, rule, request):
        return False
    return cleared(rule, turn.history, hold.newest, rule.resolve_for, turn.service.step)


def _asks_blind(turn: Turn, rule: Rule, request: Request) -> bool:
    """Whether the rule asks since it is blind, and still is: its newest sample is from before."""
    return rule.name in request.blind and rule.on_blind is not None and turn.rule_state(rule.name).blind is not None


def answer(turn: Turn, order: Answer) -> None:
    """A person's answer. On approve everything is checked again."""
    request, name, by = turn.state.request, order.request, order.by
    if order.through is not None and order.through not in turn.service.contacts.approvers:
        turn.answer(False, f"{order.through} is none of the approvers of {turn.service.name}")
        if turn.incident is not None:
            turn.note(f"{by} answered {name or 'a request'}, though {order.through} is no approver")
        return
    if request is None or (name is not None and name != request.id):
        ended = turn.state.answered.get(name) if name is not None else None
        turn.answer(False, f"the request {name} was {ended} already" if ended else "no such request is open")
        if turn.incident is not None:
            turn.note(f"{by} answered {name or 'a request'} after its end")
        return
    if not order.approved:
        _end(turn, "denied", f"by {by}")
        turn.answer(True, f"denied; nothing is done for {', '.join(request.rules)}")
        return
    objection, ruling = _objection(turn, request)
    if objection is not None:
        turn.note(f"{by} approved {request.id}, which was refused: {objection}")
        turn.answer(False, f"not done: {objection}")
        return
    turn.change(request=None)
    _remember(turn, request, "approved")
    turn.move(Cause.ANSWERED)
    rules = tuple(turn.service.rule(n) for n in request.rules if turn.service.has_rule(n))
    fact(turn, approval=f"approved by {by}: {_what(turn, request)}", approve="")
    why = f"approved by {by}: {', '.join(request.rules)}"
    take(turn, Move(request.rung, rules, why, by, request.version, ruling.away_from, blind=request.blind))
    turn.answer(True, f"{_what(turn, request)} has begun")


def _objection(turn: Turn, request: Request) -> tuple[str | None, Ruling]:
    """What speaks against carrying out an approved request now."""
    nothing = Ruling(Permit.ACT)
    rules = [turn.service.rule(name) for name in request.rules if turn.service.has_rule(name)]
    lock = turn.state.lock
    if lock is not None and (request.version is not None or lock.all):
        return f"a hold by {lock.by} is in force: {lock.reason}", nothing
    in_the_dark = [rule for rule in rules if _asks_blind(turn, rule, request)]
    standing = [rule for rule in rules if rule.trigger or stands(turn, rule)] or in_the_dark
    if not standing:
        return "the condition is not true any more", nothing
    view = turn.state.view
    if (
        request.version is not None
        and view is not None
        and view.live is not None
        and view.live.id != request.deployment
    ):
        return "another deployment is live by now", nothing
    hold = (turn.holds or {}).get(standing[0].name) if standing is not in_the_dark else None
    ruling = rule_on(turn, standing[0], hold.breach if hold is not None else None, request.rung)
    if ruling.permit in (Permit.TELL, Permit.WAIT, Permit.HOLD_BACK):
        return ruling.reason, ruling
    if ruling.version != request.version:
        return "the target is another one by now", ruling
    return None, ruling
