"""The two service files of the repository, and how tests change them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from notaus.config import InvalidConfiguration, Problem, load, load_service_text
from notaus.config.service import Loaded

CONFIG = Path(__file__).parents[2] / "config"
PIX = (CONFIG / "services/pix-immo.yaml").read_text(encoding="utf-8")
BOOKS = (CONFIG / "services/bookstrack.yaml").read_text(encoding="utf-8")
DAEMON = (CONFIG / "notaus.yaml").read_text(encoding="utf-8")

SECRET = "s3cr3t-value"
ENVIRON: Mapping[str, str] = {
    "CLOUDFLARE_ACCOUNT_ID": "account-1",
    "CLOUDFLARE_API_TOKEN": f"token-{SECRET}",
    "PIX_KV_NAMESPACE": "namespace-1",
    "PIX_DATABASE_URL": f"postgresql://pix:{SECRET}@db.example/pix",
    "BOOKSTRACK_ZONE": "zone-1",
    "PAGERDUTY_PIX_ONCALL_KEY": f"1-{SECRET}",
    "PAGERDUTY_PLATFORM_KEY": f"2-{SECRET}",
    "PAGERDUTY_ENGINEERING_LEAD_KEY": f"3-{SECRET}",
    "SLACK_INCIDENTS_WEBHOOK": f"https://hooks.example/1/{SECRET}",
    "SLACK_BOOKSTRACK_ALERTS_WEBHOOK": f"https://hooks.example/2/{SECRET}",
    "SLACK_ENGINEERING_WEBHOOK": f"https://hooks.example/3/{SECRET}",
    "STATUSPAGE_API_KEY": f"4-{SECRET}",
    "STATUSPAGE_PAGE": "page-1",
    "GITHUB_ISSUES_TOKEN": f"5-{SECRET}",
}


def changed(text: str, *changes: tuple[str, str]) -> str:
    """`text` with the first occurrence of each old text replaced; it must occur."""
    for old, new in changes:
        assert old in text, f"{old!r} is not in the file"
        text = text.replace(old, new, 1)
    return text


def line_of(text: str, part: str) -> int:
    """The line, from 1, on which `part` first occurs."""
    return text[: text.index(part)].count("\n") + 1


def loaded(text: str, environ: Mapping[str, str] = ENVIRON) -> Loaded:
    return load_service_text(text, "service.yaml", environ)


def problems(text: str, environ: Mapping[str, str] = ENVIRON) -> tuple[Problem, ...]:
    """What is wrong with a service file; empty if nothing is."""
    try:
        loaded(text, environ)
    except InvalidConfiguration as error:
        return error.problems
    return ()


def directory_problems(directory: Path, environ: Mapping[str, str] = ENVIRON) -> tuple[Problem, ...]:
    try:
        load(directory, environ)
    except InvalidConfiguration as error:
        return error.problems
    return ()
