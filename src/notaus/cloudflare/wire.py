"""The shapes of what Cloudflare answers, as far as we read them. Fields we do not know are ignored."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from notaus.core.world import Deployment, Version
from notaus.log import scrub


class Shape(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, frozen=True)


def _or_empty(value: Any) -> Any:
    return [] if value is None else value


class ApiError(Shape):
    """One entry of `errors`."""

    code: int = 0
    message: str = ""
    error_chain: Annotated[list[ApiError], BeforeValidator(_or_empty)] = []

    def __str__(self) -> str:
        chain = "".join(f": {e.message}" for e in self.error_chain if e.message)
        return f"{self.message or 'no reason given'}{chain} (code {self.code})"


class ResultInfo(Shape):
    """Where a page stands in its list."""

    page: int | None = None
    total_count: int | None = None
    total_pages: int | None = None
    cursor: str | None = None


class Envelope(Shape):
    """Cloudflare's v4 envelope; `errors` may be null, and `messages` may carry code 10000 on success."""

    success: bool
    errors: Annotated[list[ApiError], BeforeValidator(_or_empty)] = []
    result: Any = None
    result_info: ResultInfo | None = None


class Annotations(Shape):
    """What the uploader or deployer said."""

    message: str | None = Field(None, alias="workers/message")
    tag: str | None = Field(None, alias="workers/tag")
    triggered_by: str | None = Field(None, alias="workers/triggered_by")


class VersionShare(Shape):
    """One version of a deployment and its percentage of the traffic."""

    version_id: str
    percentage: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class DeploymentShape(Shape):
    """An entry of `GET …/deployments`."""

    id: str
    created_on: AwareDatetime
    versions: Annotated[list[VersionShare], Field(min_length=1)]
    annotations: Annotations | None = None

    def deployment(self) -> Deployment:
        shares = tuple((v.version_id, v.percentage) for v in self.versions)
        message = self.annotations.message if self.annotations else None
        return Deployment(self.id, int(self.created_on.timestamp()), shares, message)


class DeploymentList(Shape):
    deployments: list[DeploymentShape]


class VersionMetadata(Shape):
    created_on: AwareDatetime


class Binding(Shape):
    """A resource that a version is bound to."""

    type: str = ""
    name: str = ""
    namespace_id: str | None = None


class Script(Shape):
    etag: str | None = None


class Runtime(Shape):
    migration_tag: str | None = None


class Resources(Shape):
    bindings: Annotated[list[Binding], BeforeValidator(_or_empty)] = []
    script: Script = Script()
    script_runtime: Runtime = Runtime()


class VersionShape(Shape):
    """An entry of `GET …/versions`, or a whole `GET …/versions/{id}`, which adds the resources."""

    id: str
    number: int | None = None
    metadata: VersionMetadata
    annotations: Annotations | None = None
    resources: Resources | None = None

    def version(self) -> Version:
        said = self.annotations or Annotations.model_validate({})
        etag = self.resources.script.etag if self.resources else None
        return Version(
            self.id, int(self.metadata.created_on.timestamp()), said.tag, etag, said.message, said.triggered_by
        )


class VersionList(Shape):
    items: list[VersionShape]


class TokenState(Shape):
    """The answer of a token's verification."""

    id: str = ""
    status: str = ""
    expires_on: AwareDatetime | None = None


class GroupShape(Shape):
    """A permission group."""

    name: str = ""


class PolicyShape(Shape):
    """What a token may, or may not, do with some resources."""

    effect: str
    permission_groups: list[GroupShape] = []
    resources: dict[str, Any] = {}


class TokenPolicies(Shape):
    """A token's own description."""

    policies: list[PolicyShape] = []


class AccountShape(Shape):
    """An account."""

    id: str
    name: str = ""


class AccountList(Shape):
    """The accounts that a token can list."""

    accounts: list[AccountShape]


def brief(text: str, limit: int = 500) -> str:
    """`text` on one line, as long as a person reads; half a secret would be one still."""
    return " ".join(scrub(text).split())[:limit]


class GroupValue(Shape):
    key: str
    value: str | float | bool | None = None


class Aggregate(Shape):
    """One group of a telemetry calculation."""

    value: float | None = None
    count: float
    sampleInterval: float = 1
    groups: Annotated[list[GroupValue], BeforeValidator(_or_empty)] = []


class Calculation(Shape):
    calculation: str
    alias: str | None = None
    aggregates: Annotated[list[Aggregate], BeforeValidator(_or_empty)] = []


class QueryRun(Shape):
    status: str


class Calculations(Shape):
    """The result of a telemetry query of the view "calculations"."""

    run: QueryRun
    calculations: list[Calculation]


class LogSettings(Shape):
    enabled: bool | None = None
    head_sampling_rate: float | None = None
    invocation_logs: bool = True


class ObservabilitySettings(Shape):
    """What a Worker logs; its logs may be set apart from the rest."""

    enabled: bool = False
    head_sampling_rate: float | None = None
    logs: LogSettings | None = None

    @property
    def logged(self) -> Fraction:
        """The part of the invocations that is logged; 0 where none is."""
        logs = self.logs or LogSettings()
        on = self.enabled if logs.enabled is None else logs.enabled
        rates = (rate for rate in (logs.head_sampling_rate, self.head_sampling_rate) if rate is not None)
        return Fraction(str(next(rates, 1))) if on and logs.invocation_logs else Fraction(0)


class ScriptSettings(Shape):
    """Settings of a Worker that belong to no version."""

    observability: ObservabilitySettings | None = None


def excerpt(body: bytes, limit: int = 200) -> str:
    """The beginning of a body that is no JSON, on one line, tags left out."""
    return brief(re.sub(r"<[^>]*>", " ", body[: limit * 80].decode("utf-8", "replace")), limit)
