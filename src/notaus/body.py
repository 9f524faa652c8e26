"""Bodies of other people's answers: read no further than wanted, unpacked no further than read, taken as JSON."""

from __future__ import annotations

import json
import zlib
from typing import Any

import httpx

ACCEPTED = "gzip"
"""What to send as `Accept-Encoding`: two packings around each other could unpack to anything."""
_EITHER = 32 + zlib.MAX_WBITS
"""Tells gzip and zlib apart by their first bytes."""


async def read(response: httpx.Response, most: int) -> bytes:
    """The first `most` + 1 bytes of the body: one more than `most` shows that it is larger.

    Raises httpx.DecodingError where it is packed in a way that nobody asked for, or broken.
    """
    if response.is_stream_consumed:  # it came as a whole, from within this process
        return response.content[: most + 1]
    packing = response.headers.get("content-encoding", "identity").strip().casefold()
    if packing not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError("packed in a way that was not asked for", request=response.request)
    unpacker = None if packing in ("", "identity") else zlib.decompressobj(_EITHER)
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk if unpacker is None else unpacker.decompress(chunk, most + 1 - len(body))
            if len(body) > most:
                return bytes(body[: most + 1])
    except zlib.error:
        raise httpx.DecodingError("packed, but broken", request=response.request) from None
    if unpacker is not None and not unpacker.eof:
        raise httpx.DecodingError("packed, and cut off", request=response.request)
    return bytes(body)


def as_json(body: bytes | str) -> Any:
    """The JSON in `body`. Raises ValueError where it is none, or nested too deeply to be one."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
