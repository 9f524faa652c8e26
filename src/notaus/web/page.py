"""The one frame of every page for people: plain, readable on a phone, without scripts, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from starlette.responses import HTMLResponse

from notaus.web.answers import HEADERS

STYLE = (
    "body{font:18px/1.5 system-ui,sans-serif;max-width:34em;margin:1.5em auto;padding:0 1em;color:#111;background:#fff}"
    "h1{font-size:1.4em;line-height:1.25}dt{font-weight:600}dd{margin:0 0 .6em;overflow-wrap:anywhere}"
    "button{font:inherit;font-weight:600;width:100%;padding:.8em;margin:1em 0;border:0;border-radius:.4em;"
    "color:#fff;background:#a40000}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",  # the address is a secret
    "x-robots-tag": "noindex",
}


def page(
    title: str, lines: Iterable[str] = (), facts: Iterable[tuple[str, str]] = (), button: str | None = None
) -> str:
    """A page of texts, all of them escaped; `button` posts to where the page is."""
    shown = [f"<p>{escape(line)}</p>" for line in lines]
    terms = [f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts]
    form = f'<form method="post"><button>{escape(button)}</button></form>' if button else ""
    body = "\n".join([*shown, *(["<dl>", *terms, "</dl>"] if terms else []), form])
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · notaus</title>\n<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


def respond(status: int, text: str) -> HTMLResponse:
    return HTMLResponse(text, status, {**HEADERS, **POLICY})
