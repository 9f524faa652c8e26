"""What the hooks are sent: the shape of each body, and what is read from it. Unknown fields are the sender's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from notaus.core import event
from notaus.web.answers import Problem
from notaus.web.orders import WHOLE, Name, mistakes

MOST_ALERTS = 500
LONGEST = 500
"""Characters of a text from outside that go onto a page."""

S = TypeVar("S", bound="Delivery")


@dataclass(frozen=True, slots=True)
class Report:
    """One alert, whoever sent it."""

    fingerprint: str
    """The same for repetitions of the same alert."""
    said: Mapping[str, str]
    """What `trigger:` compares."""
    text: str
    """For people."""
    over: bool


class Delivery(BaseModel):
    """A body that a hook takes."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Alert(Delivery):
    """An alert of Alertmanager. Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    fingerprint: Annotated[str, Field(min_length=1, max_length=200)]

    def report(self) -> Report:
        told = [self.annotations.get(name, "") for name in ("summary", "description", "message")]
        text = next((line for line in told if line.strip()), self.labels.get("alertname", "an alert"))
        return Report(self.fingerprint, self.labels, plain(text), self.status == "resolved")


class Alerts(Delivery):
    """What Alertmanager posts: the alerts of one group."""

    alerts: Annotated[tuple[Alert, ...], Field(max_length=MOST_ALERTS)]

    def reports(self) -> tuple[Report, ...]:
        return tuple(alert.report() for alert in self.alerts)


class Notification(Delivery):
    """A notification of Cloudflare; its test message has nothing but a text.

    Source: https://developers.cloudflare.com/notifications/reference/webhook-payload-schema/
    """

    name: str = ""
    text: str = ""
    data: dict[str, Any] | None = None
    account_id: str = ""
    policy_id: str = ""
    policy_name: str = ""
    alert_type: str = ""
    alert_correlation_id: str = ""
    alert_event: str = ""

    def reports(self) -> tuple[Report, ...]:
        if not self.alert_type and not self.policy_id:
            return ()  # the test message
        named = ("name", "account_id", "policy_id", "policy_name", "alert_type", "alert_correlation_id", "alert_event")
        said = {name: value for name in named if (value := getattr(self, name))}
        data = self.data or {}
        said |= {f"data.{name}": str(value) for name, value in data.items() if isinstance(value, str | int | float)}
        same = self.alert_correlation_id or f"{self.policy_id} {self.alert_type} {data.get('zone_name', '')}"
        text = plain(self.text or self.policy_name or self.alert_type)
        return (Report(same[:200], said, text, self.alert_event.endswith("_END")),)


class Deployment(Delivery):
    """What CI says after it has deployed."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "anyOf": [{"required": [one], "properties": {one: {"type": "string"}}} for one in ("version", "tag")]
        },
    )

    service: Annotated[Name, Field(description="The guarded service.")]
    by: Annotated[Name, Field(description="Who deployed: a person or a pipeline.")]
    version: Annotated[Name | None, Field(description="The Worker version's id, or its first characters.")] = None
    tag: Annotated[Name | None, Field(description="The release, such as v2.0.0.")] = None
    commit: Name | None = None
    message: Annotated[str | None, Field(max_length=5000)] = None
    link: Annotated[str | None, Field(max_length=1000, pattern=r"^https?://[^\s/]+[^\s]*$")] = None

    @model_validator(mode="after")
    def _named(self) -> Deployment:
        if self.version is None and self.tag is None:
            raise PydanticCustomError("named", "`version` or `tag` should say what was deployed")
        return self

    def order(self, now: int) -> event.Deployed:
        message = plain(self.message.splitlines()[0]) if self.message and self.message.strip() else None
        return event.Deployed(now, self.by, self.version, self.tag, self.commit, message, self.link)


class Value(BaseModel):
    """One value of a `push` source."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    value: Annotated[
        int | float,
        Field(ge=-1e18, le=1e18, allow_inf_nan=False, json_schema_extra={"minimum": -1e18, "maximum": 1e18}),
    ]
    time: Annotated[int | None, Field(ge=0, le=10**11, description="Epoch seconds; left out, now."), WHOLE] = None


class Pushed(Delivery):
    """Values of a `push` source, in any order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    service: Annotated[Name, Field(description="The guarded service.")]
    signal: Annotated[Name, Field(description="The entry of its `signals:`.")]
    values: Annotated[tuple[Value, ...], Field(min_length=1, max_length=1000)]

    def series(self, now: int) -> list[tuple[int, int | float]]:
        return [(now if each.time is None else each.time, each.value) for each in self.values]


def plain(text: str) -> str:
    """A text from outside in one line without control characters: it ends on pages, terminals and in logs."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def read(shape: type[S], raw: bytes) -> S:
    """The body as `shape`. Raises Problem (422) with every mistake in it."""
    try:
        return shape.model_validate_json(raw)
    except ValidationError as error:
        hint = (shape.__doc__ or "").splitlines()[0]
        raise Problem(422, mistakes(error), f"expected: {hint} docs/hooks.md has an example") from None
