"""Which permissions a configuration needs of its tokens, one by one, and which of them are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from notaus.cloudflare import r2, tokens
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.tokens import Policies, Probe, Token
from notaus.config import sources as kinds
from notaus.config.sources import Entry, Question, Sql
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.service import Exhibit, Service

ANALYTICS = (kinds.AnalyticsEngine, kinds.Sql, kinds.Workers, kinds.R2)
OF_THE_WORKER = (Exhibit.DEPLOYMENTS, Exhibit.VERSIONS, Exhibit.TELEMETRY)
"""Evidence that is read from the Worker itself; of telemetry, the setting that says whether it logs."""


@dataclass(frozen=True, slots=True)
class Need:
    """One permission group that a service needs."""

    group: str
    wanted_for: str
    attempt: Callable[[Client], Awaitable[Probe]] | None = None
    """Uses it once; None for a write, which is not tried."""
    zone: str | None = None
    """Of one zone; None: of the account."""
    lever: bool = False
    """Of the levers' own token, where there is one."""


def needs(service: Service, entries: Iterable[Entry], questions: Mapping[str, Question], edge: Edge) -> Iterator[Need]:
    """In the order in which the dashboard's form asks for them; buckets are asked through `edge`."""
    account, lever, entries = service.account, service.ladder.lever, list(entries)
    read = [f"signals.{entry.name}" for entry in entries if isinstance(entry.source, ANALYTICS)]
    read += [_evidence(name) for name, question in questions.items() if isinstance(question, Sql)]
    if read:
        yield Need("Account Analytics Read", ", ".join(read), lambda c: tokens.probe_analytics(c, account))
    for zone in dict.fromkeys(e.source.zone for e in entries if isinstance(e.source, kinds.Http)):
        asked = [f"signals.{e.name}" for e in entries if isinstance(e.source, kinds.Http) and e.source.zone == zone]
        yield Need("Analytics Read", ", ".join(asked), lambda c, z=zone: tokens.probe_zone(c, z), zone)  # type: ignore[misc]
    logs = [f"signals.{entry.name}" for entry in entries if isinstance(entry.source, kinds.Observability)]
    logs += [_evidence(Exhibit.TELEMETRY)] if Exhibit.TELEMETRY in service.evidence else []
    if logs:
        yield Need("Workers Observability Write", ", ".join(logs), lambda c: tokens.probe_telemetry(c, account))
    if listed := {name: question.bucket for name, question in questions.items() if isinstance(question, kinds.Objects)}:
        bucket = next(iter(listed.values()))
        yield Need(r2.READ, ", ".join(map(_evidence, listed)), lambda c: r2.probe(c, edge, account, bucket))
    if written := [name for name, question in questions.items() if isinstance(question, kinds.WriteTest)]:
        yield Need(r2.WRITE, ", ".join(map(_evidence, written)))
    if isinstance(lever, KvLever):
        namespace, key = lever.namespace, lever.key
        look = "the steering key"
        yield Need("Workers KV Storage Read", look, lambda c: tokens.probe_kv(c, account, namespace, key))
        yield Need("Workers KV Storage Write", "steps", lever=True)
    rollbacks = isinstance(lever, DeploymentLever)
    read = ["deployments"] if rollbacks else []
    read += [_evidence(each) for each in OF_THE_WORKER if each in service.evidence]
    if read:
        script = lever.script if isinstance(lever, DeploymentLever) else service.worker
        yield Need("Workers Scripts Read", ", ".join(read), lambda c: tokens.probe_script(c, account, script))
    if rollbacks:
        yield Need("Workers Scripts Write", "rollbacks", lever=True)


def listening(service: Service) -> Need:
    """What the live tail of a Worker that keeps no logs needs."""
    wanted_for = f"{_evidence(Exhibit.TELEMETRY)}, a live tail"
    return Need("Workers Tail Read", wanted_for, lambda c: tokens.probe_tail(c, service.account, service.worker))


def _evidence(name: str) -> str:
    return f"evidence: {name}"


def judged(
    need: Need, account: str, token: Token | None, policies: Policies | None, probe: Probe | None
) -> tuple[str, str]:
    """Whether the permission is there (`yes`, `no`, `?`), and how that is known or what would grant it."""
    where = f"zone {need.zone}" if need.zone else f"account {account}"
    add = f"add the permission group `{need.group}` for {where} (for {need.wanted_for})"
    if token is None:
        return "?", f"for {need.wanted_for}; the token itself is not accepted"
    if probe is not None and probe.problem is None:
        return "yes", f"used once, for {need.wanted_for}"
    if probe is not None and not probe.denied:
        return "?", f"could not be tried: {probe.problem}"
    named = policies is not None and policies.grants(need.group, account, need.zone)
    if probe is not None:
        return "no", f"used once, and refused: {f'its policies name it: {probe.problem}' if named else add}"
    if policies is None:
        look = f"only a write shows it, or a token that may look at itself (`{tokens.LOOK[token.kind]}`)"
        return "?", f"for {need.wanted_for}; {look}"
    if named:
        return "yes", "the token's own policies name it"
    return "no", f"{add}; its policies name {', '.join(policies.groups) or 'nothing'}"
