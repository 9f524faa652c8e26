"""The API's description, made from the shapes that check the bodies."""

from __future__ import annotations

from typing import Any

from notaus import __version__
from notaus.web.orders import ORDERS, Body

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


def description() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "notaus",
            "version": __version__,
            "description": "The emergency stop for Cloudflare Workers.",
        },
        "security": [{"token": []}],
        "paths": {
            **_reads(),
            **{f"/api/services/{{service}}/{name}": _order(name, body) for name, body in ORDERS.items()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": PROBLEM, "Reply": REPLY},
        },
    }


def _reads() -> dict[str, Any]:
    limit = {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50},
    }
    many: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
    return {
        "/api/status": _read("Every service: rung, rules, incident, hold.", {"type": "object"}),
        "/api/incidents": _read("The newest incidents, newest first.", many, limit),
        "/api/incidents/{id}": _read(
            "One incident with its timeline.", {"type": "object"}, _in_path("id"), missing=True
        ),
    }


def _read(summary: str, schema: dict[str, Any], *parameters: dict[str, Any], missing: bool = False) -> dict[str, Any]:
    answers = {"200": _json("What there is.", schema), "401": _problem("Not logged in.")}
    if missing:
        answers["404"] = _problem("There is none.")
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers}}


def _order(name: str, body: type[Body]) -> dict[str, Any]:
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
    taken = {"required": True, "content": {"application/json": {"schema": body.model_json_schema()}}}
    return {
        "post": {
            "operationId": name,
            "summary": body.does,
            "parameters": [_in_path("service")],
            "requestBody": taken,
            "responses": answers,
        }
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _json(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _problem(text: str) -> dict[str, Any]:
    return _json(text, {"$ref": "#/components/schemas/Problem"})
