"""The files that run notaus in production say what the code means. Judged by their own tools where those are installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from notaus.metrics import Metrics
from notaus.web.openapi import description

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "notaus.rules.yml"
RULE_TESTS = DEPLOY / "prometheus" / "notaus.rules.test.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "notaus.json"

METRICS = {metric.name: metric.labels for metric in Metrics().described}


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def tool(name: str) -> str:
    """The path of a tool; without it the test is skipped, and says so."""
    beside = ROOT / ".venv" / "bin" / name
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def promtool() -> str:
    unpacked = ROOT / ".tools" / "prometheus" / "usr" / "bin" / "promtool"
    return str(unpacked) if unpacked.exists() else tool("promtool")


def alerts() -> list[dict[str, Any]]:
    return [rule for group in load(RULES)["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ()))
    yield from (a["expr"] for a in dashboard["annotations"]["list"])
    yield from (v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query")


def metrics_in(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bnotaus_\w+", expression)}


def test_alerts_and_dashboard_use_only_metrics_that_exist() -> None:
    """Else an alert on a misspelt metric would stay silent for ever."""
    used = set().union(*map(metrics_in, expressions()))
    assert used - METRICS.keys() == set()


def test_the_dashboard_shows_every_metric() -> None:
    """Else a metric is collected that nobody ever looks at."""
    shown = set().union(*map(metrics_in, expressions()))
    assert METRICS.keys() - shown == set()


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    """Else Grafana draws one panel over another, or drops one."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for panel in panels
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_says_what_is_wrong_and_is_tested() -> None:
    """Else a person is woken without knowing why, or an alert that never fires goes unnoticed."""
    tests = RULE_TESTS.read_text(encoding="utf-8")
    for alert in alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert set(alert["annotations"]) == {"summary", "description"}
        assert alert["alert"] in tests


def test_an_alert_speaks_only_of_labels_that_its_metrics_have() -> None:
    """Else its text would have holes where the service or the rule should stand."""
    for alert in alerts():
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
        had = {label for metric in metrics_in(alert["expr"]) for label in METRICS[metric]} | {"job", "instance"}
        assert named <= had, alert["alert"]


def test_alertmanager_knows_the_alerts_it_silences() -> None:
    """Else a renamed alert would no longer be held back behind the one that explains it."""
    names = {alert["alert"] for alert in alerts()}
    for rule in load(DEPLOY / "alertmanager" / "alertmanager.yml")["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            assert set(re.findall(r"Notaus\w+", matcher)) <= names


def test_alertmanager_calls_the_hook_with_the_secret_that_the_daemon_has() -> None:
    """Else an alert that should stop a service would be turned away."""
    config = load(DEPLOY / "alertmanager" / "alertmanager.yml")
    (receiver,) = (each for each in config["receivers"] if each["name"] == "notaus")
    (hook,) = receiver["webhook_configs"]
    assert hook["url"].removeprefix("http://notaus:9464") in description()["paths"]
    services = load(DEPLOY / "compose.yaml")["services"]
    secret = services["notaus"]["environment"]["NOTAUS_HOOKS__ALERTMANAGER__SECRET_FILE"]
    assert hook["http_config"]["authorization"]["credentials_file"] == secret
    assert all(Path(secret).name in services[name]["secrets"] for name in ("notaus", "alertmanager"))


def test_promtool_agrees_with_the_rules() -> None:
    """Else Prometheus would refuse the rules, or an alert would fire too early, too late or never."""
    found = promtool()
    for command in (["check", "rules", RULES.name], ["test", "rules", RULE_TESTS.name]):
        done = run(found, *command, cwd=RULES.parent)
        assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_understands_the_unit() -> None:
    """Else a misspelt key would be ignored, and with it the hardening it stands for."""
    done = run(tool("systemd-analyze"), "verify", DEPLOY / "notaus.service")
    complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []


def test_the_unit_is_hardened() -> None:
    """Else the daemon that holds the token could do more to its machine than it needs."""
    done = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", DEPLOY / "notaus.service")
    if "unrecognized option" in done.stderr or "Unknown" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout[-400:]


def test_hadolint_accepts_the_dockerfile() -> None:
    """Else the image is built in a way that is known to go wrong."""
    done = run(tool("hadolint"), "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_the_image_does_not_run_as_root_and_checks_hashes() -> None:
    """Else a bug in the daemon owns the container, or a swapped package gets in."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "USER 10001:10001" in text
    assert "HEALTHCHECK" in text
    assert all("--require-hashes" in line for line in text.splitlines() if " -r requirements" in line)


def test_every_container_is_pinned_hardened_and_checked() -> None:
    """Else an image changes under us, or a container may do more than it must, or hangs unnoticed."""
    services = load(DEPLOY / "compose.yaml")["services"]
    assert set(services) == {"notaus", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["healthcheck"]["test"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name


def test_compose_mounts_only_what_is_there() -> None:
    """Else the engine makes an empty directory in its place, and the program behind it starts without configuration."""
    for service in load(DEPLOY / "compose.yaml")["services"].values():
        sources = [volume.split(":")[0] for volume in service.get("volumes", ())]
        for source in sources:
            assert not source.startswith(".") or (DEPLOY / source).exists(), source


def test_compose_hands_over_every_variable_of_the_configuration() -> None:
    """Else the daemon in the container would refuse its configuration for a variable that is set outside."""
    handed = set(load(DEPLOY / "compose.yaml")["services"]["notaus"]["environment"])
    example = set(re.findall(r"^(\w+)=", (DEPLOY / "notaus.env.example").read_text(encoding="utf-8"), re.MULTILINE))
    for file in (ROOT / "config").rglob("*.yaml"):
        text = "\n".join(
            line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
        )
        for name in re.findall(r"\$\{([A-Z][A-Z0-9_]+)\}", text):
            assert name in handed or f"{name}_FILE" in handed, f"{file.name}: {name}"
            assert name in example or f"{name}_FILE" in handed, f"{file.name}: {name}"
