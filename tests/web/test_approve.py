"""Signed links: one answer by one approver, never by looking, never after the end."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from notaus.core.event import Answer, Reply
from notaus.core.rule import Severity
from notaus.core.service import Contact
from notaus.core.state import Request, State
from notaus.errors import NotausError
from notaus.metrics import Metrics
from notaus.web import Link, Links, create
from tests.builders import APPROVER, HIGHER

from .conftest import NOW, TOKEN, FakeDaemon

LINKS = Links(b"planted-link-key", "https://notaus.example")
LINK = Link("bookstrack", "bookstrack-7", APPROVER, True, NOW + 600)
REQUEST = Request("bookstrack-7", ("errors",), "rolled_back", NOW, 900, NOW, "<b>7 %</b>", Severity.WARNING, "v1-id")


@pytest.fixture
async def reader(daemon: FakeDaemon) -> AsyncIterator[httpx.AsyncClient]:
    daemon.states["bookstrack"] = State("bookstrack", request=REQUEST)
    transport = httpx.ASGITransport(create(daemon, Metrics(), TOKEN, LINKS), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://notaus.example") as client:
        yield client


def path(link: Link = LINK) -> str:
    return f"/approve/{LINKS.token(link)}"


async def test_looking_at_a_link_asks_and_changes_nothing(reader: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """Mail scanners and link previews would roll back."""
    for _ in range(3):
        answer = await reader.get(path())
        assert (await reader.head(path())).status_code == 200
    assert answer.status_code == 200
    assert '<form method="post"><button>Approve rolling back to v1-id</button></form>' in answer.text
    assert "It is carried out at once." in answer.text
    assert "15m" in answer.text
    assert daemon.orders == []


async def test_pressing_the_button_answers_as_the_contact_it_was_given_to(
    reader: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """The journal would not say whose word it was; or a no would be a yes."""
    answer = await reader.post(path())
    await reader.post(path(replace(LINK, approved=False)))
    assert (answer.status_code, "done, and written down" in answer.text) == (200, True)
    by = "slack: #approvers, by link"
    assert daemon.orders == [
        ("bookstrack", Answer(NOW, by, True, "bookstrack-7", APPROVER)),
        ("bookstrack", Answer(NOW, by, False, "bookstrack-7", APPROVER)),
    ]


async def test_an_expired_link_does_nothing_and_says_so(reader: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A link in an old mailbox would deploy."""
    for ask in (reader.get, reader.post):
        answer = await ask(path(replace(LINK, expires=NOW)))
        assert (answer.status_code, "This link has expired" in answer.text) == (410, True)
    assert daemon.orders == []


@pytest.mark.parametrize("how", ["approved", "denied", "withdrawn", "superseded", "expired"])
async def test_after_the_end_of_its_request_a_link_says_how_that_ended(
    reader: httpx.AsyncClient, daemon: FakeDaemon, how: str
) -> None:
    """A person would think to have answered; and a late answer must stand in the journal."""
    daemon.states["bookstrack"] = State("bookstrack", answered={"bookstrack-7": how})
    answer = await reader.get(path())
    assert (answer.status_code, f"The request is {how} already" in answer.text) == (410, True)
    assert daemon.orders == []
    daemon.reply = Reply(False, f"the request bookstrack-7 was {how} already")
    late = await reader.post(path())
    assert (late.status_code, f"was {how} already" in late.text, len(daemon.orders)) == (409, True, 1)


async def test_a_link_of_an_earlier_request_does_not_answer_the_open_one(
    reader: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """Another step would be approved than the one that was read about."""
    daemon.states["bookstrack"] = State("bookstrack", request=replace(REQUEST, id="bookstrack-9"))
    assert (await reader.get(path())).status_code == 410
    await reader.post(path())
    order = daemon.orders[0][1]
    assert isinstance(order, Answer)
    assert order.request == "bookstrack-7"


async def test_whoever_is_no_approver_any_more_is_not_asked(reader: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A colleague who left could still deploy."""
    answer = await reader.get(path(replace(LINK, contact=HIGHER)))
    assert (answer.status_code, "<form" in answer.text) == (403, False)


def _forged() -> list[str]:
    token = LINKS.token(LINK)
    text, _, signature = token.partition(".")
    said = base64.urlsafe_b64decode(text + "==").replace(b"true", b"null")
    other = base64.urlsafe_b64encode(said).rstrip(b"=").decode()
    another = Links(b"another-key").token(LINK)
    return [
        text,
        f"{text}.",
        f".{signature}",
        f"{other}.{signature}",
        another,
        token[:-1],
        "x",
        "x.y",
        "é.é",
        "." * 2500,
    ]


@pytest.mark.parametrize("token", _forged())
async def test_a_link_that_this_daemon_did_not_make_is_none(
    reader: httpx.AsyncClient, daemon: FakeDaemon, token: str
) -> None:
    """Anybody could approve, in anybody's name."""
    for ask in (reader.get, reader.post):
        assert (await ask(f"/approve/{token}")).status_code == 404
    assert daemon.orders == []


async def test_without_a_key_no_link_is_made_or_read(daemon: FakeDaemon) -> None:
    """The empty key is known to everybody."""
    nothing = Links(b"", "https://notaus.example")
    assert nothing.address(LINK) is None
    assert nothing.read(nothing.token(LINK)) is None
    assert Links(b"k", None).address(LINK) is None
    assert LINKS.read(LINKS.token(LINK)) == LINK
    odd = replace(LINK, contact=Contact("slack", "#ä.b/c"))
    assert LINKS.read(LINKS.token(odd)) == odd


async def test_the_page_runs_nothing_loads_nothing_and_shows_texts_as_texts(
    reader: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    """A rule's name or an alert's text could put a button of its own there; the address, a secret, would be handed on."""
    answer = await reader.get(path())
    assert "&lt;b&gt;7 %&lt;/b&gt;" in answer.text
    daemon.reply = Reply(False, "not <script>done</script>")
    said = await reader.post(path())
    assert "not &lt;script&gt;done&lt;/script&gt;" in said.text
    assert "<script" not in answer.text + said.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self'" in policy
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")


async def test_what_cannot_be_taken_now_is_told(reader: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    """A person would leave, thinking that it is done."""
    daemon.error = NotausError("the journal fails")
    answer = await reader.post(path())
    assert (answer.status_code, "the journal fails" in answer.text) == (503, True)
    daemon.elsewhere = {"bookstrack"}
    assert (await reader.get(path())).status_code == 503
