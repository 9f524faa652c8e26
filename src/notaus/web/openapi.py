"""The API's description, made from the shapes that check the bodies."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from notaus import __version__
from notaus.web.deliveries import Alerts, Delivery, Deployment, Notification, Pushed
from notaus.web.orders import ORDERS, Body
from notaus.web.slack import Interaction

PROBLEM = {
    "type": "object",
    "required": ["error", "hint"],
    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
}
REPLY = {
    "type": "object",
    "required": ["accepted", "text", "incident"],
    "properties": {
        "accepted": {"type": "boolean"},
        "text": {"type": "string", "description": "What to tell the person."},
        "incident": {"type": ["string", "null"]},
    },
}


HOOKS: dict[str, tuple[str, type[Delivery], list[dict[str, list[str]]]]] = {
    "alertmanager": ("Alerts that fire triggers.", Alerts, [{"hook": []}]),
    "cloudflare": ("A notification of Cloudflare that fires triggers.", Notification, [{"cloudflare": []}]),
    "push": ("Values of a `push` source.", Pushed, [{"hook": []}, {"signature": [], "timestamp": []}]),
    "slack": ("A button pressed in Slack.", Interaction, [{"slack": [], "slack_timestamp": []}]),
    "deploy": ("Who deployed what, for pages.", Deployment, [{"hook": []}, {"signature": [], "timestamp": []}]),
}
"""By name: what it is for, what it takes, and how the sender proves itself."""


def description() -> dict[str, Any]:
    """OpenAPI 3.1."""
    shapes: dict[str, Any] = {"Problem": PROBLEM, "Reply": REPLY}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "notaus",
            "version": __version__,
            "description": "The emergency stop for Cloudflare Workers.",
        },
        "security": [{"token": []}],
        "paths": {
            **_open(),
            **_reads(),
            **{f"/api/services/{{service}}/{name}": _order(name, body, shapes) for name, body in ORDERS.items()},
            **{f"/hooks/{name}": _hook(name, *told, shapes) for name, told in HOOKS.items()},
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "hook": {"type": "http", "scheme": "bearer", "description": "The hook's own secret."},
                "cloudflare": {"type": "apiKey", "in": "header", "name": "cf-webhook-auth"},
                "signature": {"type": "apiKey", "in": "header", "name": "X-Notaus-Signature"},
                "slack": {"type": "apiKey", "in": "header", "name": "X-Slack-Signature"},
                "slack_timestamp": {"type": "apiKey", "in": "header", "name": "X-Slack-Request-Timestamp"},
                "timestamp": {"type": "apiKey", "in": "header", "name": "X-Notaus-Timestamp"},
            },
            "schemas": shapes,
        },
    }


def _open() -> dict[str, Any]:
    """What needs no token, or has it in its address."""
    found = {"200": _text("What there is.")}
    state = {"200": _text("Yes; the text says so."), "503": _text("No; the text says why.")}
    link = {"200": _page("What would be done, or that it is done."), "404": _page("The link is not one of ours.")}
    link |= {"410": _page("It has expired, or is answered already."), "503": _page("It cannot be answered here now.")}
    asked = link | {"403": _page("Who was sent the link is no approver any more.")}
    given = link | {"409": _page("Understood, and refused: the page says why."), "504": _page("No answer in time.")}
    return {
        "/": {"get": _bare("What is where.", {"200": _page("A page.")})},
        "/metrics": {"get": _bare("For Prometheus.", found)},
        "/healthz": {"get": _bare("Whether the loop turns.", state)},
        "/readyz": {"get": _bare("Whether it can act: journal and lease.", state)},
        "/approve/{token}": {
            "parameters": [_in_path("token")],
            "get": _bare("What the answer of a signed link would do. Changes nothing.", asked),
            "post": _bare("Gives the answer of a signed link.", given),
        },
    }


def _bare(summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "security": [], "responses": answers}


def _reads() -> dict[str, Any]:
    limit = {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50},
    }
    many: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
    unread = {"503": _problem("The journal cannot be read now.")}
    bad = {"422": _problem("`limit` is not such a number.")}
    none = {"404": _problem("There is none.")}
    return {
        "/api/status": _read("Every service: rung, rules, incident, hold.", {"type": "object"}),
        "/api/incidents": _read("The newest incidents, newest first.", many, bad | unread, limit),
        "/api/incidents/{id}": _read(
            "One incident with its timeline.", {"type": "object"}, none | unread, _in_path("id")
        ),
        "/api/openapi.json": _read("This description.", {"type": "object"}),
    }


def _read(
    summary: str, schema: dict[str, Any], others: Mapping[str, Any] = MappingProxyType({}), *parameters: dict[str, Any]
) -> dict[str, Any]:
    answers = {"200": _json("What there is.", schema), "401": _problem("Not logged in."), **others}
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers}}


def _order(name: str, body: type[Body], shapes: dict[str, Any]) -> dict[str, Any]:
    answers = {
        "200": _json("Accepted, and written down.", {"$ref": "#/components/schemas/Reply"}),
        "401": _problem("Not logged in."),
        "404": _problem("No such service."),
        "409": _json("Understood, and refused: the text says why.", {"$ref": "#/components/schemas/Reply"}),
        "413": _problem("The body is too large."),
        "422": _problem("The body is not what the order takes."),
        "503": _problem("The daemon cannot take orders now."),
        "504": _problem("No answer in time; the order may still be carried out."),
    }
    taken = {"required": True, "content": {"application/json": {"schema": _shape(body, shapes)}}}
    return {
        "post": {
            "operationId": name,
            "summary": body.does,
            "parameters": [_in_path("service")],
            "requestBody": taken,
            "responses": answers,
        }
    }


def _hook(
    name: str, does: str, body: type[Delivery], proofs: list[dict[str, list[str]]], shapes: dict[str, Any]
) -> dict[str, Any]:
    answers = {
        "200": _json("Taken, and written down.", {"type": "object"}),
        "401": _problem("The sender has not shown that it knows the secret."),
        "404": _problem("The hook is not configured, or there is no such service."),
        "409": _problem("Understood, and refused: a value that is too old, for instance."),
        "413": _problem("The body is too large."),
        "422": _problem("The body is not what the hook takes."),
        "429": _problem("Called too often; `Retry-After` says when to come again."),
        "503": _problem("It cannot be taken now; send it again."),
        "504": _problem("No answer in time; it may still be carried out. A repetition changes nothing."),
    }
    content = {"application/json": {"schema": _shape(body, shapes)}}
    if body is Interaction:
        content = {"application/x-www-form-urlencoded": {"schema": _form(_shape(body, shapes))}}
    taken = {"required": True, "content": content}
    return {
        "post": {
            "operationId": f"hook_{name}",
            "summary": does,
            "security": proofs,
            "requestBody": taken,
            "responses": answers,
        }
    }


def _shape(body: type[BaseModel], shapes: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body; those that it refers to are added to `shapes`, where references in a description point."""
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    shapes.update(schema.pop("$defs", {}))
    return schema


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    payload = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {"type": "object", "required": ["payload"], "properties": {"payload": payload}}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _json(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _text(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _page(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"text/html": {"schema": {"type": "string"}}}}


def _problem(text: str) -> dict[str, Any]:
    return _json(text, {"$ref": "#/components/schemas/Problem"})
