"""GET /: what this is and where things are. It shows nothing of the services: whoever reaches the port may see it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from notaus import __version__
from notaus.web.answers import HEADERS

PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>notaus</title>
<h1>notaus {__version__}</h1>
<p>The emergency stop for services on Cloudflare Workers.</p>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>: does the loop turn?
<li><a href="/readyz">/readyz</a>: can it act (journal, lease)?
<li>/api/status, /api/incidents, /api/incidents/ID: what is going on; needs the API token
<li>POST /api/services/SERVICE/ORDER: orders; /api/openapi.json describes them; needs the API token
<li>POST /hooks/HOOK (alertmanager, cloudflare, deploy, push, slack): what others report; each has its own secret
</ul>
<p>On the command line: <code>notaus status</code>, <code>notaus stop SERVICE</code>, <code>notaus --help</code>.</p>
</html>
"""
POLICY = {"content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"}


async def home(request: Request) -> Response:
    return HTMLResponse(PAGE, headers={**HEADERS, **POLICY})
