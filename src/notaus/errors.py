"""The error tree. What a caller needs to know of a remote failure: was it refused, or was there silence?

NotausError
├── ConfigurationError      a person's mistake, with file and line; exit code 2
├── ReadFailed              nothing was learned; never a zero
├── CallFailed              a call to Cloudflare or another service
│   ├── Refused             it answered no, and would again
│   ├── Busy                it answered "later" (429, 5xx); nothing was done
│   └── Silent              no usable answer; it may have been done
├── Undelivered             a message did not get through, for now or for good
└── JournalFailed           the journal could not be written or read
    ├── JournalRefused      it will not take this, now or later
    └── JournalSilent       no usable answer; it may have been written
"""

from __future__ import annotations

from notaus.log import scrub


class NotausError(Exception):
    """The root of every error that notaus raises on purpose. Its text holds no secret: it travels far."""

    def __init__(self, message: str = "") -> None:
        super().__init__(scrub(message))


class ConfigurationError(NotausError):
    """A mistake in a file, the environment or an argument. The text says what, where and what would be right."""


class ReadFailed(NotausError):
    """A read told us nothing: an outage, a refusal, a truncated answer."""


class CallFailed(NotausError):
    """A call that did not succeed."""

    def __init__(self, message: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Refused(CallFailed):
    """The other side answered no (a 4xx other than 408 and 429): repeating it changes nothing."""


class Busy(CallFailed):
    """The other side answered "later" (429, 5xx), or the request never left: nothing was done."""

    def __init__(
        self, message: str, *, status: int | None = None, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after = retry_after


class Silent(CallFailed):
    """No usable answer after the request left: whether it was done is unknown until read back."""


class Undelivered(NotausError):
    """A message did not get through; `permanent` where sending it again changes nothing."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after


class JournalFailed(NotausError):
    """The journal could not be written or read: nothing that depends on it was done."""


class JournalRefused(JournalFailed):
    """The journal will not take what it was given: repeating it changes nothing."""


class JournalSilent(JournalFailed):
    """The database went silent in the middle: whether it was written shows once it answers again."""
