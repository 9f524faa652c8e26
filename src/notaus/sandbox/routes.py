"""Every route of the sandbox, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .router import Route
from .wire import Handler

if TYPE_CHECKING:
    from .account import AccountRoutes
    from .actions import Actions
    from .admin import AdminRoutes
    from .analytics_engine import AnalyticsEngine
    from .graphql import GraphQL
    from .issues import Issues
    from .kv import KvRoutes
    from .s3 import S3
    from .scripts import ScriptRoutes
    from .services import CloudflareStatus
    from .sinks import Sinks
    from .slack import SlackApi
    from .statuspage import Statuspage
    from .telemetry import Telemetry

V4 = "client/v4"
ACCOUNT = f"{V4}/accounts/{{account}}"
SCRIPT = f"{ACCOUNT}/workers/scripts/{{script}}"


def every_route(
    *,
    account: AccountRoutes,
    kv: KvRoutes,
    scripts: ScriptRoutes,
    s3: S3,
    sql: AnalyticsEngine,
    graphql: GraphQL,
    telemetry: Telemetry,
    services: Mapping[str, Handler],
    served: Sequence[str],
    origin: Handler,
    status: CloudflareStatus,
    sinks: Sinks,
    slack: SlackApi,
    statuspage: Statuspage,
    issues: Issues,
    actions: Actions,
    admin: AdminRoutes,
) -> Iterator[Route]:
    """The routes, most used first."""
    yield from _analytics_routes(sql, graphql, telemetry)
    for prefix in (
        f"{ACCOUNT}/storage/kv/namespaces",
        f"{ACCOUNT}/workers/namespaces",
    ):  # the second is the legacy path
        yield from _kv_routes(kv, prefix)
    yield from _script_routes(scripts)
    yield from _account_routes(account)
    yield Route("GET|PUT|DELETE", "r2/{bucket}/{rest*}", s3.answer, "r2")
    methods = "GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS"
    for name in served:
        yield Route(methods, f"workers/{name}/{{rest*}}", services[name], "service")
    yield Route(methods, "origins/{cohort}/{rest*}", origin, "origin")
    yield Route("GET", "status/api/v2/{document}", status.answer, "status")
    yield from _page_routes(sinks, slack, statuspage, issues)
    yield from _workflow_routes(actions)
    yield from admin.routes()


def _analytics_routes(sql: AnalyticsEngine, graphql: GraphQL, telemetry: Telemetry) -> Iterator[Route]:
    yield Route(
        "POST|GET",
        f"{ACCOUNT}/analytics_engine/sql",
        sql.query,
        "api",
        "analytics.read",
        faults=frozenset({"analytics", "sql"}),
    )
    yield Route("POST", f"{V4}/graphql", graphql.query, "api", faults=frozenset({"analytics", "graphql"}), graphql=True)
    yield Route(
        "POST",
        f"{ACCOUNT}/workers/observability/telemetry/query",
        telemetry.query,
        "api",
        "telemetry.write",
        faults=frozenset({"analytics", "telemetry"}),
    )


def _kv_routes(kv: KvRoutes, prefix: str) -> Iterator[Route]:
    get, put = frozenset({"kv.get"}), frozenset({"kv.put"})
    one = f"{prefix}/{{namespace}}"
    yield Route("GET", f"{one}/values/{{key}}", kv.get_value, "api", "kv.read", get)
    yield Route("PUT", f"{one}/values/{{key}}", kv.put_value, "api", "kv.write", put)
    yield Route("DELETE", f"{one}/values/{{key}}", kv.delete_value, "api", "kv.write", put)
    yield Route("GET", f"{one}/metadata/{{key}}", kv.get_metadata, "api", "kv.read", get)
    yield Route("GET", f"{one}/keys", kv.list_keys, "api", "kv.read", get)
    yield Route("PUT", f"{one}/bulk", kv.bulk_put, "api", "kv.write", put)
    yield Route("DELETE", f"{one}/bulk", kv.bulk_delete, "api", "kv.write", put)
    yield Route("POST", f"{one}/bulk/delete", kv.bulk_delete, "api", "kv.write", put)
    yield Route("POST", f"{one}/bulk/get", kv.bulk_get, "api", "kv.read", get)
    yield Route("GET", prefix, kv.list_namespaces, "api", "kv.read", get)
    yield Route("POST", prefix, kv.create_namespace, "api", "kv.write", put)
    yield Route("GET", one, kv.get_namespace, "api", "kv.read", get)
    yield Route("PUT", one, kv.rename_namespace, "api", "kv.write", put)
    yield Route("DELETE", one, kv.delete_namespace, "api", "kv.write", put)


def _script_routes(scripts: ScriptRoutes) -> Iterator[Route]:
    def route(method: str, path: str, handler: Handler, *faults: str, permission: str = "scripts.read") -> Route:
        return Route(method, path, handler, "api", permission, frozenset(faults), workers=True)

    write = "scripts.write"
    one = f"{SCRIPT}/deployments/{{deployment}}"
    yield route("GET", f"{SCRIPT}/deployments", scripts.list_deployments, "deployments.get")
    yield route("POST", f"{SCRIPT}/deployments", scripts.create_deployment, "deployments.post", permission=write)
    yield route("GET", one, scripts.get_deployment, "deployments.get")
    yield route("DELETE", one, scripts.delete_deployment, permission=write)
    yield route("GET", f"{SCRIPT}/versions", scripts.list_versions, "versions.get")
    yield route("GET", f"{SCRIPT}/versions/{{version}}", scripts.get_version, "versions.get")
    yield route("GET", f"{ACCOUNT}/workers/services/{{service}}", scripts.get_service)
    yield route("GET", f"{SCRIPT}/script-settings", scripts.get_settings)
    yield route("PATCH", f"{SCRIPT}/script-settings", scripts.patch_settings, permission=write)
    yield route("GET", f"{SCRIPT}/subdomain", scripts.get_subdomain)
    yield route("POST", f"{SCRIPT}/subdomain", scripts.post_subdomain, permission=write)
    yield route("POST", f"{SCRIPT}/tails", scripts.create_tail, permission="tail.read")
    yield route("GET", f"{SCRIPT}/tails", scripts.list_tails, permission="tail.read")
    yield route("DELETE", f"{SCRIPT}/tails/{{tail}}", scripts.delete_tail, permission="tail.read")


def _account_routes(account: AccountRoutes) -> Iterator[Route]:
    yield Route("GET", f"{V4}/user/tokens/verify", account.verify_user_token, "api")
    yield Route("GET", f"{ACCOUNT}/tokens/verify", account.verify_account_token, "api")
    yield Route("GET", f"{V4}/user/tokens/{{token}}", account.described_token, "api", "tokens.read")
    yield Route("GET", f"{ACCOUNT}/tokens/{{token}}", account.described_token, "api", "tokens.read")
    yield Route("GET", f"{V4}/user", account.user, "api")
    yield Route("GET", f"{V4}/memberships", account.memberships, "api")
    yield Route("GET", f"{V4}/accounts", account.accounts, "api", "account.read")
    yield Route("GET", ACCOUNT, account.one_account, "api", "account.read")


def _workflow_routes(actions: Actions) -> Iterator[Route]:
    workflow = "pages/github/repos/{owner}/{repository}/actions/workflows/{workflow}"
    yield Route("POST", f"{workflow}/dispatches", actions.dispatch, "workflow")
    yield Route("GET", workflow, actions.workflow, "workflow.get")
    yield Route("GET", f"{workflow}/runs", actions.listed, "workflow.get")
    yield Route("GET", "pages/github/repos/{owner}/{repository}/actions/runs/{run}", actions.one, "workflow.get")


def _page_routes(sinks: Sinks, slack: SlackApi, statuspage: Statuspage, issues: Issues) -> Iterator[Route]:
    def route(method: str, path: str, handler: Handler, *faults: str) -> Route:
        return Route(method, f"pages/{path}", handler, "page", faults=frozenset(faults))

    repository = "github/repos/{owner}/{repository}"
    page = "statuspage/v1/pages/{page}"
    yield route("POST", "pagerduty/v2/enqueue", sinks.pagerduty, "pagerduty")
    yield route("POST", "pagerduty/v2/change/enqueue", sinks.change, "pagerduty")
    yield route("POST", "slackapi/api/{method}", slack.answer, "slack")
    yield route("POST", "slack/{rest*}", sinks.slack, "slack")
    yield route("POST|PUT", "webhook/{rest*}", sinks.webhook)
    yield route("GET", page, statuspage.page, "statuspage")
    yield route("GET", f"{page}/incidents/unresolved", statuspage.unresolved, "statuspage")
    yield route("POST", f"{page}/incidents", statuspage.create, "statuspage")
    yield route("PATCH|PUT", f"{page}/incidents/{{incident}}", statuspage.update, "statuspage")
    yield route("GET", repository, issues.repository, "github")
    yield route("GET", f"{repository}/issues", issues.listed, "github")
    yield route("POST", f"{repository}/issues", issues.create, "github")
    yield route("PATCH", f"{repository}/issues/{{number}}", issues.update, "github")
    yield route("POST", f"{repository}/issues/{{number}}/comments", issues.comment, "github")
    yield Route("GET", "pages", sinks.listed, "admin")
