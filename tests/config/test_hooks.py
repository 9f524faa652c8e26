"""`hooks:` of the daemon and `trigger:` of a rule: who may report what from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from notaus.config import load_settings
from notaus.config.settings import Hook
from notaus.core.rule import Alert

from .texts import DAEMON, ENVIRON, PIX, changed, directory_problems, loaded, problems

LONG = "0123456789abcdef"
TRIGGER = "trigger: true,"


def test_hooks_are_shut_unless_they_are_named(directory: Path) -> None:
    """A daemon would listen to strangers that nobody meant to let in."""
    assert load_settings(directory, ENVIRON).hooks == {}
    (directory / "notaus.yaml").write_text(DAEMON + f"hooks: {{deploy: {{secret: {LONG}, rate: 5 per 1m}}}}\n")
    (found,) = load_settings(directory, ENVIRON).hooks.items()
    assert found[0] == "deploy"
    assert (found[1].secret.get_secret_value(), found[1].rate) == (LONG, (5, 60))
    assert LONG not in repr(found)
    slack = load_settings(directory, {**ENVIRON, "NOTAUS_HOOKS__SLACK__SECRET": LONG}).hooks["slack"]
    assert isinstance(slack, Hook)
    assert slack.rate == (60, 60)


@pytest.mark.parametrize(
    ("text", "field", "wrong"),
    [
        ("{deploy: {}}", "hooks.deploy.secret", "`secret` is missing"),
        ("{deploy: {secret: short}}", "hooks.deploy.secret", "is not a secret"),
        (f"{{depoly: {{secret: {LONG}}}}}", "hooks.depoly", "unknown key"),
    ],
)
def test_a_hook_that_could_not_hold_is_told(directory: Path, text: str, field: str, wrong: str) -> None:
    """A secret of five characters is guessed in an afternoon."""
    (directory / "notaus.yaml").write_text(DAEMON + f"hooks: {text}\n")
    found = next(p for p in directory_problems(directory) if p.field == field)
    assert wrong in found.wrong
    assert "short" not in found.wrong + found.right


def test_a_trigger_names_the_alerts_that_fire_it() -> None:
    """An alert would fire nothing, or another rule."""
    text = "trigger: {alertmanager: {alertname: PixDatabase, env: live}, cloudflare: {alert_type: x}},"
    rule = loaded(changed(PIX, (TRIGGER, text))).service.rule("database errors")
    assert rule.trigger
    assert rule.alerts == (
        Alert("alertmanager", (("alertname", "PixDatabase"), ("env", "live"))),
        Alert("cloudflare", (("alert_type", "x"),)),
    )
    assert loaded(PIX).service.rule("database errors").alerts == ()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("trigger: {},", "no alert is named"),
        ("trigger: {alertmanager: {}},", "any alert would fire the trigger"),
        ("trigger: {alertmanager: {severity: 1}},", "is the number 1"),
        ("trigger: {prometheus: {alertname: x}},", "unknown key `prometheus`"),
    ],
)
def test_a_trigger_that_every_alert_would_fire_is_refused(text: str, wrong: str) -> None:
    """The first alert about anything would stop the service."""
    assert wrong in "\n".join(problem.wrong for problem in problems(changed(PIX, (TRIGGER, text))))
