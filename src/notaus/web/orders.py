"""The orders people give over the API: the shape of each body, and the order of the core that it becomes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from notaus.core import event
from notaus.web.answers import Problem

MOST_SECONDS = 30 * 24 * 3600
"""A hold longer than this was surely meant to be shorter; it can be renewed."""


ONE_LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
READABLE = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
NOT_BLANK = r"^[^\x00-\x08\x0b-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x08\x0b-\x1f\x7f]*$"
"""The same as the checks below, for the API's description: its patterns would make no good messages."""


def _one_line(text: str) -> str:
    if not text.strip() or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise PydanticCustomError("one_line", "should be one line of text, not blank")
    return text


def _readable(text: str) -> str:
    if any((ord(c) < 32 and c not in "\n\t") or ord(c) == 127 for c in text):
        raise PydanticCustomError("readable", "should be text without control characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("not_blank", "should not be blank")
    return text


def _whole(value: object) -> object:
    """JSON knows one kind of number, and some senders write 3600 as 3600.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# These end up in pages, terminals and logs.
Name = Annotated[
    str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": ONE_LINE}), AfterValidator(_one_line)
]
Remark = Annotated[str, Field(max_length=2000, json_schema_extra={"pattern": READABLE}), AfterValidator(_readable)]
Text = Annotated[Remark, Field(min_length=1, json_schema_extra={"pattern": NOT_BLANK}), AfterValidator(_not_blank)]
WHOLE = BeforeValidator(_whole)


class Body(BaseModel):
    """What every order says: who gives it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    does: ClassVar[str]

    by: Annotated[Name, Field(description="The name of the person.")]

    def order(self, now: int) -> event.Order:
        """The order as the core takes it, given at `now`."""
        raise NotImplementedError


class Hold(Body):
    does: ClassVar[str] = "No version rollbacks for a while; with `all`, no KV step either."
    seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS, description="How long from now."), WHOLE]
    reason: Text
    all: bool = False

    def order(self, now: int) -> event.Order:
        return event.Hold(now, self.by, self.seconds, self.reason, self.all)


class Release(Body):
    does: ClassVar[str] = "Ends a hold and an override."

    def order(self, now: int) -> event.Order:
        return event.Release(now, self.by)


class Approve(Body):
    does: ClassVar[str] = "Approves the open request."
    request: Annotated[Name | None, Field(description="Its id; left out, the one that is open.")] = None

    def order(self, now: int) -> event.Order:
        return event.Answer(now, self.by, True, self.request)


class Deny(Body):
    does: ClassVar[str] = "Denies the open request."
    request: Annotated[Name | None, Field(description="Its id; left out, the one that is open.")] = None

    def order(self, now: int) -> event.Order:
        return event.Answer(now, self.by, False, self.request)


class Trigger(Body):
    does: ClassVar[str] = "Reports what no metric can see; the rule acts at once."
    rule: Name
    reason: Text

    def order(self, now: int) -> event.Order:
        return event.Trigger(now, self.by, self.rule, self.reason)


class Set(Body):
    does: ClassVar[str] = "Moves the service to a rung."
    rung: Name
    reason: Remark = ""

    def order(self, now: int) -> event.Order:
        return event.SetRung(now, self.by, self.rung, self.reason)


class Stop(Body):
    does: ClassVar[str] = "The emergency stop: moves the service to its safest rung."
    reason: Remark = ""

    def order(self, now: int) -> event.Order:
        return event.SetRung(now, self.by, None, self.reason)


class Rollback(Body):
    does: ClassVar[str] = "Deploys the last known-stable version, or the one named."
    to: Annotated[Name | None, Field(description="A version id or tag.")] = None
    reason: Remark = ""
    accept_changed_secrets: bool = False

    def order(self, now: int) -> event.Order:
        return event.RollBack(now, self.by, self.to, self.reason, self.accept_changed_secrets)


class Restore(Body):
    does: ClassVar[str] = "Returns the service to normal, if its prerequisites are met or attested."
    attest: Annotated[tuple[Text, ...], Field(max_length=50)] = ()

    def order(self, now: int) -> event.Order:
        return event.RestoreOrder(now, self.by, self.attest)


class Close(Body):
    does: ClassVar[str] = "Closes an incident."
    incident: Name
    reason: Text

    def order(self, now: int) -> event.Order:
        return event.Close(now, self.by, self.incident, self.reason)


class Judge(Body):
    does: ClassVar[str] = "A person's word on a version: flagged as bad, or cleared."
    version: Annotated[Name, Field(description="Its id or tag.")]
    flagged: bool

    def order(self, now: int) -> event.Order:
        return event.Judge(now, self.by, self.version, self.flagged)


class Drilled(Body):
    does: ClassVar[str] = "What a drill found: told once, and kept."
    passed: bool
    restored: Annotated[bool, Field(description="Whether everything is as it was before.")]
    text: Text
    where: Annotated[Name | None, Field(description="Where its report lies.")] = None

    def order(self, now: int) -> event.Order:
        return event.Drilled(now, self.by, self.passed, self.restored, self.text, self.where)


ORDERS: dict[str, type[Body]] = {
    "hold": Hold,
    "release": Release,
    "approve": Approve,
    "deny": Deny,
    "trigger": Trigger,
    "set": Set,
    "stop": Stop,
    "rollback": Rollback,
    "restore": Restore,
    "close": Close,
    "judge": Judge,
    "drilled": Drilled,
}
"""By the last part of their path."""


def parsed(name: str, raw: bytes) -> Body:
    """The body of the order `name`. Raises Problem (422) with every mistake in it."""
    shape = ORDERS[name]
    try:
        return shape.model_validate_json(raw)
    except ValidationError as error:
        raise Problem(422, mistakes(error), f"`{name}` takes a JSON object with {_fields(shape)}") from None


def mistakes(error: ValidationError) -> str:
    """What is wrong with a body, place by place."""
    return "; ".join(_mistake(each["loc"], each["msg"]) for each in error.errors(include_url=False)[:10])


def _mistake(place: tuple[int | str, ...], text: str) -> str:
    """`reason: Field required`, without the value: it may be long, or meant for somewhere else."""
    return f"{'.'.join(str(part)[:60] for part in place)}: {text}" if place else text


def _fields(shape: type[Body]) -> str:
    return ", ".join(
        f"`{name}`" + ("" if field.is_required() else " (optional)") for name, field in shape.model_fields.items()
    )
