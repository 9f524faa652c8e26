"""The JSON Schema says what the loader says: it takes what loads, and refuses what is misspelled or of the wrong kind."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from notaus.config import schema
from notaus.config.document import parse, plain
from notaus.config.problems import Report

from .texts import BOOKS, DAEMON, PIX, changed


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(schema())
    return Draft202012Validator(json.loads(json.dumps(schema())))


def document(text: str) -> object:
    node = parse(text, "file.yaml", Report())
    assert node is not None
    return plain(node)


@pytest.mark.parametrize("text", [PIX, BOOKS, DAEMON], ids=["pix-immo", "bookstrack", "notaus"])
def test_the_repositorys_files_are_valid(validator: Draft202012Validator, text: str) -> None:
    """Editors would underline what is right."""
    assert not list(validator.iter_errors(document(text)))


REFUSED = [
    (PIX, "mode: act", "mdoe: act"),
    (PIX, "mode: act", "mode: on"),
    (PIX, "for: 3m", "for: 300"),
    (PIX, "for: 3m", "for: 3:00"),
    (PIX, "when: native.error_rate > 3%", "when: native.error_rate"),
    (PIX, "severity: warning", "severity: warn"),
    (PIX, "source: r2", "source: r3"),
    (PIX, "bucket:", "buckt:"),
    (PIX, "    key: config", "    key: 5"),
    (PIX, "pagerduty: pix-oncall", "{pagerduty: a, slack: b}"),
    (PIX, "then: reduced", "than: reduced"),
    (PIX, "{read: kv}", "{read: kx}"),
    (PIX, "name: pix-immo", "name: pix immo"),
    (PIX, "trigger: true", "trigger: yes"),
    (BOOKS, "last known stable}", "last stable}"),
    (BOOKS, "latency: < 1s", "latency: 1s"),
    (BOOKS, "within: 30m of deploy", "within: 30m"),
    (DAEMON, "port: 9464", "port: 99999"),
    (DAEMON, "slack:", "slak:"),
    (DAEMON, "store: var", "defaults: {valdate: 5m}\nstore: var"),
]


@pytest.mark.parametrize(("text", "old", "new"), REFUSED, ids=[case[2][:30] for case in REFUSED])
def test_what_the_loader_refuses_by_form_the_schema_refuses(
    validator: Draft202012Validator, text: str, old: str, new: str
) -> None:
    """An editor that accepts it lets the mistake reach the daemon."""
    assert list(validator.iter_errors(document(changed(text, (old, new)))))


def test_a_value_from_the_environment_is_valid_for_any_key(validator: Draft202012Validator) -> None:
    """`${PORT}` is text where a number is expected."""
    assert not list(validator.iter_errors(document(changed(DAEMON, ("port: 9464", 'port: "${PORT}"')))))
