"""Everything that reaches beyond this process, made of a configuration: clients, readers, levers, checks, channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import httpx

from notaus.app.channels import channels
from notaus.checks import Checks
from notaus.clock import Clock
from notaus.cloudflare.budget import Budgets, Ledger
from notaus.cloudflare.client import Client
from notaus.cloudflare.edge import Edge
from notaus.cloudflare.status import CloudflareStatus
from notaus.config import Configuration, Settings
from notaus.config.sources import Entry
from notaus.custody import Questions
from notaus.daemon.ports import Reader
from notaus.levers import Actions, CommandPuller, Levers, SteeringKeys, Worlds
from notaus.levers.command import Runner, run
from notaus.metrics import Metrics
from notaus.sources import Context, build


class Outside:
    """Everything that reaches beyond this process for one configuration: clients, readers, levers, checks, channels."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        metrics: Metrics,
        http: httpx.AsyncClient,
        ledger: Ledger,
        check_lease: Callable[[str], None] = lambda account: None,
        commands: Runner = run,
        edge_http: httpx.AsyncClient | None = None,
    ) -> None:
        """`ledger` outlives it: Cloudflare does not forget at a reload how much was asked of it. No lever waits for a
        connection behind the probes of a thousand services: they go through `edge_http`.

        `check_lease` raises LeaseLost where an account may not be acted for.
        """
        settings = configuration.settings
        self.edge = edge = Edge(edge_http or http, settings.origins, clock.speed)
        checked = Edge(edge_http or http, settings.origins, clock.speed)  # nor does a check
        self.clients = {
            account: _client(settings, account, clock, metrics, http, ledger, partial(check_lease, account))
            for account in dict.fromkeys(service.account for service in configuration.services)
        }
        keys = {account: SteeringKeys(client) for account, client in self.clients.items()}
        self.levers = {
            account: Levers(
                client,
                keys[account],
                _actions(settings, http, partial(check_lease, account)),
                CommandPuller(commands, partial(check_lease, account)),
            )
            for account, client in self.clients.items()
        }
        self.worlds = {account: Worlds(client, keys[account]) for account, client in self.clients.items()}
        self.checks = {account: Checks(client, checked) for account, client in self.clients.items()}
        asked = configuration.questions
        self.questions = {account: Questions(client, edge, asked) for account, client in self.clients.items()}
        self.unread: dict[tuple[str, str], str] = {}
        """Parts of entries that could not be read, by service and entry, until the poller asks."""
        self.contexts = {account: Context(client, edge, self._unread) for account, client in self.clients.items()}
        status = CloudflareStatus(http, settings.cloudflare.status_url, clock)
        self.channels = channels(settings, http, status.said if settings.cloudflare.status_url else None)
        self._readers: dict[tuple[str, type], Reader] = {}

    def _unread(self, entry: Entry, problem: str) -> None:
        self.unread[entry.service, entry.name] = problem

    def reader(self, entry: Entry) -> Reader:
        """The reader of an entry's kind of source, shared by all entries of its account."""
        key = (entry.account, type(entry.source))
        if key not in self._readers:
            self._readers[key] = build(type(entry.source), self.contexts[entry.account])
        return self._readers[key]


def _actions(settings: Settings, http: httpx.AsyncClient, before_write: Callable[[], None]) -> Actions | None:
    github = settings.github
    return None if github is None else Actions(http, github.token, github.url, before_write)


def _client(
    settings: Settings,
    account: str,
    clock: Clock,
    metrics: Metrics,
    http: httpx.AsyncClient,
    ledger: Ledger,
    before_write: Callable[[], None],
) -> Client:
    budgets = Budgets(settings.budgets.api[0], settings.budgets.graphql[0], float(settings.budgets.reserve))
    client = Client(
        http,
        settings.cloudflare.api_url,
        account,
        settings.cloudflare.token,
        clock,
        lever_token=settings.cloudflare.lever_token,
        budgets=budgets,
        ledger=ledger,
        on_request=metrics.observe_request,
        before_write=before_write,
    )
    for family in ("api", "graphql"):
        gauge = metrics.api_budget_remaining_ratio.labels(family=family)
        gauge.set_function(partial(client.budget_remaining, family))
    return client
