"""A WebSocket handshake that must be accepted."""

from __future__ import annotations

from notaus.cloudflare.edge import Edge
from notaus.core.verification import WebSocketCheck
from notaus.errors import CallFailed

HANDSHAKE_SECONDS = 5.0


async def check_websocket(edge: Edge, check: WebSocketCheck) -> tuple[bool, str]:
    """Whether the handshake was accepted, and how it went."""
    try:
        answer, problem = await edge.handshake(check.url, within=HANDSHAKE_SECONDS)
    except CallFailed as silence:
        return False, str(silence)
    return problem is None, problem or f"handshake accepted in {round(answer.seconds * 1000)} ms"
