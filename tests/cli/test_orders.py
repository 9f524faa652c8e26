"""Orders and reading, through the running daemon: what is answered, what is done, and the exit codes."""

from __future__ import annotations

from typing import Any

import httpx

from tests.cli.conftest import call, sandbox_state, steering_key

Env = dict[str, str]


def test_status_shows_every_service_with_its_rules(daemon: Env) -> None:
    """The person on call would not see what notaus sees."""
    found = call("status", env=daemon)
    assert found.code == 0
    for word in ("pix-immo", "bookstrack", "native errors high", "a rollback would go to v1.8.0"):
        assert word in found.out
    told = call("status", "pix-immo", "--json", env=daemon).json
    assert (told["through"], set(told["services"])) == ("daemon", {"pix-immo"})
    assert call("status", "pix-imo", env=daemon).code == 2


def test_a_rung_is_set_verified_and_told(daemon: Env, sandbox: Any) -> None:
    """`notaus set` would be a wish instead of a lever."""
    found = call("set", "pix-immo", "reduced", "--by", "anna", "--reason", "trying", env=daemon)
    assert found.code == 0, found
    assert "done: reduced is in force, verified" in found.out
    assert "stepping to reduced: trying" in found.out
    assert steering_key(sandbox)["canary_percent"] == 5
    again = call("set", "pix-immo", "reduced", "--by", "anna", env=daemon)
    assert again.code == 1
    assert "is at reduced already" in again.out


def test_the_emergency_stop_is_one_word(daemon: Env, sandbox: Any) -> None:
    """The one command that must work at 3 a.m."""
    found = call("stop", "pix-immo", "--json", env=daemon)
    assert found.code == 0, found
    told = found.json
    assert (told["accepted"], told["outcome"], told["verified"], told["through"]) == (True, "done", True, "daemon")
    assert steering_key(sandbox)["emergency_proxy"] is True
    page = str(httpx.get(sandbox["pages"], trust_env=False).json())
    assert "emergency is in force" in page


def test_a_restore_lists_what_is_not_met(daemon: Env) -> None:
    """A person would be told no, without what would be a yes."""
    found = call("restore", "pix-immo", env=daemon)
    assert found.code == 1
    assert 'NOT MET: post-mortem documented (--attest "post-mortem documented")' in found.out


def test_an_order_without_waiting_answers_at_once(daemon: Env) -> None:
    """A hook cannot wait two minutes."""
    found = call("rollback", "bookstrack", "--by", "anna", "--no-wait", "--json", env=daemon)
    assert found.code == 0, found
    assert "outcome" not in found.json
    assert found.json["text"] == "rolling back to v1.8.0 has begun"


def test_versions_are_listed_and_judged(daemon: Env, sandbox: Any) -> None:
    """A person's word on a version would have nowhere to go."""
    assert call("versions", "bookstrack", "--flag", "v1.7.0", env=daemon).code == 0
    listed = {v["label"]: v for v in call("versions", "bookstrack", "--json", env=daemon).json}
    assert listed["v1.7.0"]["doubt"] == "flagged"
    assert "flagged" in call("versions", "bookstrack", env=daemon).out
    assert call("versions", "bookstrack", "--clear", "v1.7.0", env=daemon).code == 0
    listed = {v["label"]: v for v in call("versions", "bookstrack", "--json", env=daemon).json}
    assert listed["v1.7.0"]["doubt"] is None
    assert call("versions", "bookstrack", "--clear", "v9", env=daemon).code == 1
    assert call("versions", "pix-immo", env=daemon).code == 1
    assert sandbox_state(sandbox)["workers"]["api-worker"]["versions"]


def test_a_hold_begins_and_ends(daemon: Env) -> None:
    """A migration would be rolled back half way."""
    held = call("hold", "bookstrack", "--for", "1h30m", "--reason", "migration 42", "--by", "anna", env=daemon)
    assert (held.code, held.out.strip()) == (0, "version rollbacks of bookstrack held for 90m")
    assert "migration 42" in call("status", "bookstrack", env=daemon).out
    assert call("release", "bookstrack", env=daemon).code == 0
    refused = call("release", "bookstrack", "--json", env=daemon)
    assert (refused.code, refused.json["accepted"]) == (1, False)


def test_answers_without_a_request_are_refused(daemon: Env) -> None:
    """Somebody would believe to have approved something."""
    assert "no request is open" in call("approve", env=daemon).err
    assert call("approve", env=daemon).code == 1
    assert call("deny", "bookstrack-3", env=daemon).code == 1
    assert call("deny", "nosuch-3", env=daemon).code == 2


def test_a_report_that_no_metric_can_see(daemon: Env) -> None:
    """Confirmed data loss would wait for a metric."""
    found = call("trigger", "pix-immo", "database errors", "--reason", "seen", "--json", env=daemon)
    assert found.code == 1  # it is at emergency already: people are told, nothing is done
    assert "already at emergency" in found.json["text"]
    unknown = call("trigger", "pix-immo", "no such rule", "--reason", "seen", env=daemon)
    assert (unknown.code, "its triggers: database errors" in unknown.out) == (1, True)


def test_incidents_are_listed_shown_and_closed(daemon: Env) -> None:
    """What happened could only be read in a database."""
    listed = call("incidents", "--json", env=daemon).json
    mine = next(i for i in listed if i["service"] == "pix-immo")
    assert mine["id"] in call("incidents", env=daemon).out
    shown = call("incidents", mine["id"], env=daemon).out
    assert "emergency is in force" in shown
    assert "by hand: npx wrangler kv key put" in shown
    assert call("close", mine["id"], "--reason", "enough", "--by", "anna", env=daemon).code == 0
    assert call("incidents", mine["id"], "--json", env=daemon).json["closed_at"] is not None
    assert call("close", "nosuch", "--reason", "enough", env=daemon).code == 2
    assert call("incidents", "nosuch", env=daemon).code == 1


def test_unknown_names_are_told_with_their_near_misses(daemon: Env) -> None:
    """A typing mistake at 3 a.m. must cost one look."""
    service = call("stop", "pix-imo", env=daemon)
    assert (service.code, "did you mean pix-immo?" in service.err) == (2, True)
    rung = call("set", "pix-immo", "redused", env=daemon)
    assert (rung.code, "its rungs: normal, reduced, disabled, emergency" in rung.out) == (1, True)


def test_a_token_of_another_configuration_is_told(daemon: Env, tmp_path: Any) -> None:
    """A refused login would look like a daemon that is down, and two would act."""
    found = call("status", env={**daemon, "NOTAUS_STORE": str(tmp_path / "other.sqlite")})
    assert found.code == 1
    assert "does not accept the token" in found.err
