"""Logs: structlog, JSON in service and readable on a terminal; the libraries' own logs come the same way, and quietly.

A secret never gets through: not as a value, not nested, not in a traceback, not in another library's message.
Known secrets are registered with `redact`; keys that name secrets are masked whatever their value; and what looks
like a token of the services we speak to is masked even if nobody registered it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import re
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, TextIO
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Form = Literal["json", "terminal"]

MASK = "[redacted]"
SHORTEST_SECRET = 4
"""Shorter ones are part of ordinary words: masking them would make every line unreadable."""

SURELY_SECRET = 16
"""Characters from which on a part of an address is more likely a token than a word."""

QUIET = ("alembic", "apscheduler", "asyncio", "httpcore", "httpx", "sqlalchemy", "uvicorn", "websockets")
"""Libraries of which only warnings are wanted; some write headers and addresses at lower levels."""

_SECRET_KEYS = re.compile(
    r"(token|authorization|password|passwd|secret|routing_key|api_key|webhook_url|cookie|signature|credentials?)$"
)
_LOOKS_SECRET = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<keep>(?i:\bbearer\s+))(?=\S*\d)[\w.~+/=-]{16,}",
        r"(?P<keep>\b)cf(?:ut|at|k|oat)_[\w-]{16,}",
        r"(?P<keep>hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]+",
        r"(?P<keep>\b[a-z][a-z0-9+]*://[^/\s:@]*:)[^/\s@\"'\\]+(?=@)",
        r"(?P<keep>[?&](?i:token|access_token|key|api_key|secret|signature)=)[^&\s\"'\\]+",
    )
)
_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def redact(secret: str | None) -> None:
    """From now on `secret` appears in no log line, in whatever form it is written."""
    global _pattern
    if secret is None or len(secret.strip()) < SHORTEST_SECRET:
        return
    _known.update(_spellings(secret.strip()))
    longest_first = sorted(_known, key=len, reverse=True)
    _pattern = re.compile("|".join(re.escape(each) for each in longest_first))


def redact_address(address: str, *, whole: bool) -> None:
    """The secrets in a URL: its password and what its query says; with `whole` the address itself, and its path."""
    try:
        parts = urlsplit(address)
        secrets = [parts.password, unquote(parts.password or "")]
    except ValueError:
        parts, secrets = urlsplit(""), []
    secrets += [v for name, v in parse_qsl(parts.query) if names_secret(name) or len(v) >= SURELY_SECRET]
    if whole:
        secrets += [address, *(part for part in (parts.path, *parts.path.split("/")) if len(part) >= SURELY_SECRET)]
    for secret in secrets:
        redact(secret)


def _spellings(secret: str) -> set[str]:
    """A secret as text, as a Python or JSON literal, in a URL, and in base64 wherever it begins there."""
    plain = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe=""), quote(secret)}
    packed = {base64.b64encode(b" " * shift + secret.encode()).decode()[4:-4] for shift in range(3)}
    return plain | {each for each in packed if len(each) >= SURELY_SECRET // 2}


def scrub(text: str) -> str:
    """`text` without any secret, known or by its looks."""
    clean = text if _pattern is None else _pattern.sub(MASK, text)
    for pattern in _LOOKS_SECRET:
        clean = pattern.sub(lambda match: match["keep"] + MASK, clean)
    return clean


def names_secret(key: object) -> bool:
    """Whether a value under this key is a secret whatever it looks like: `token`, `X-Auth-Token`, `routing_key`."""
    return isinstance(key, str) and _SECRET_KEYS.search(key.casefold().replace("-", "_")) is not None


def clean(value: Any) -> Any:
    """`value` without secrets, at any depth; what is no plain value is written as its `repr`."""
    match value:
        case None | bool():
            return value
        case int() | float():
            return value if scrub(str(value)) == str(value) else MASK
        case str():
            return scrub(value)
        case Mapping():
            return {_clean_key(k): MASK if names_secret(k) and v is not None else clean(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [clean(each) for each in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            # Not field by field: the repr leaves out what its author marked as secret.
            return scrub(repr(value))
        case _:
            return scrub(repr(value))


def _clean_key(key: Any) -> str:
    return scrub(key if isinstance(key, str) else repr(key))


def redaction(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The structlog processor: the whole event without secrets."""
    cleaned: EventDict = clean(event)
    return cleaned


def configure(form: Form = "json", level: str = "info", stream: TextIO | None = None) -> None:
    """Set up the logs of this process. `level` is debug, info, warning or error; `stream` defaults to standard error.

    Raises ValueError for another level.
    """
    number = _level(level)
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    _route_everything(_handler(form, before, stream or sys.stderr), number)
    sys.excepthook = _log_unhandled


def _level(level: str) -> int:
    known = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    if level.casefold() not in known:
        raise ValueError(f"log level {level!r}: one of {', '.join(known)}")
    return known[level.casefold()]


def _handler(form: Form, before: list[Processor], stream: TextIO) -> logging.Handler:
    renderer: Processor = structlog.processors.JSONRenderer(default=repr, ensure_ascii=False)
    if form == "terminal":
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        )
    handler = _SilentOnFailure(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # As text and without local variables: those hold what must not be seen.
                structlog.processors.format_exc_info,
                redaction,
                renderer,
            ],
        )
    )
    return handler


def _route_everything(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in (n for n in logging.root.manager.loggerDict if n.partition(".")[0] in QUIET):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class _SilentOnFailure(logging.StreamHandler[TextIO]):
    """A line that cannot be written is lost, without the standard library's report of it, which shows its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say only where the line came from, if even that can be said."""
        try:
            self.stream.write(f"a log line of {record.name} ({record.filename}:{record.lineno}) could not be written\n")
            self.flush()
        except (OSError, ValueError):
            return


def _log_unhandled(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of Python's own report of an unhandled exception, which knows no redaction."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger("notaus").critical("unhandled error", exc_info=(kind, error, trace))
