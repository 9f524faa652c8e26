"""A directory becomes one configuration, or every problem of every file at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from notaus.config import InvalidConfiguration, load
from notaus.errors import ConfigurationError

from .texts import BOOKS, CONFIG, DAEMON, ENVIRON, PIX, changed, directory_problems, line_of


def test_all_mistakes_of_all_files_are_told_at_once(directory: Path) -> None:
    """A reload that is refused for one mistake after the other costs the night."""
    (directory / "notaus.yaml").write_text(DAEMON + "mod: act\n")
    (directory / "services/pix-immo.yaml").write_text(changed(PIX, ("for: 3m", "for: 300")))
    (directory / "services/bookstrack.yaml").write_text("name: [")
    (directory / "services/other.yaml").write_text("")
    with pytest.raises(InvalidConfiguration) as caught:
        load(directory, ENVIRON)
    assert isinstance(caught.value, ConfigurationError)
    assert [Path(p.file).name for p in caught.value.problems] == [
        "notaus.yaml",
        "bookstrack.yaml",
        "other.yaml",
        "pix-immo.yaml",
    ]
    assert str(caught.value).splitlines() == [str(p) for p in caught.value.problems]


def test_an_empty_directory_is_told(tmp_path: Path) -> None:
    """A daemon that guards nothing must not look as if it did."""
    found = "\n".join(map(str, directory_problems(tmp_path)))
    assert f"{tmp_path}/notaus.yaml: there is no such file" in found
    assert f"{tmp_path}/services: there are no services; one file each" in found


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A mistyped `--config` would be taken for an empty one."""
    assert "name the directory" in directory_problems(tmp_path / "confg")[0].right


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name: \xe4\n"])
def test_a_file_that_is_not_text_is_told(directory: Path, content: bytes) -> None:
    """It must not end the daemon at a reload."""
    (directory / "services/pix-immo.yaml").write_bytes(content)
    (found,) = directory_problems(directory)
    assert found.wrong == "is not UTF-8 text"


def test_what_cannot_be_opened_is_told(directory: Path) -> None:
    """As for files that are not text."""
    (directory / "services/more.yaml").mkdir()
    (found,) = directory_problems(directory)
    assert found.wrong.startswith("cannot be read: ")


def test_files_of_other_kinds_are_left_alone(directory: Path) -> None:
    """Editors leave backups; a hidden or renamed file must not be a service."""
    for name in (".pix-immo.yaml", "pix-immo.yaml~", "README.md"):
        (directory / "services" / name).write_text("nonsense: [")
    assert len(load(directory, ENVIRON).services) == 2


def test_two_services_of_one_name_are_told(directory: Path) -> None:
    """State in the journal is kept by name."""
    (directory / "services/copy.yaml").write_text(changed(PIX, ("key: config", "key: other")))
    (found,) = directory_problems(directory)
    assert found.field == "name"
    assert "`pix-immo` is in" in found.wrong


def test_two_services_that_write_one_key_are_told(directory: Path) -> None:
    """They would fight over it."""
    text = changed(PIX, ("name: pix-immo", "name: pix-other"))
    (directory / "services/pix-other.yaml").write_text(text)
    (found,) = directory_problems(directory)
    assert (found.field, found.line) == ("ladder.lever", line_of(text, "    kv: "))
    assert "service `pix-immo` moves the same KV key" in found.wrong


def test_two_services_that_deploy_one_script_are_told(directory: Path) -> None:
    """One would roll back what the other judges."""
    (directory / "services/x.yaml").write_text(changed(BOOKS, ("name: bookstrack", "name: books")))
    (found,) = directory_problems(directory)
    assert "service `bookstrack` moves the same script" in found.wrong


@pytest.mark.parametrize(("text", "name"), [(BOOKS, "bookstrack"), (PIX, "pix-immo")])
def test_two_accounts_may_have_levers_of_one_name(directory: Path, text: str, name: str) -> None:
    """They are different scripts, or keys."""
    other = changed(text, (f"name: {name}", "name: other"), ("${CLOUDFLARE_ACCOUNT_ID}", "account-2"))
    (directory / "services/x.yaml").write_text(other)
    assert not directory_problems(directory)


def test_a_contact_without_a_channel_is_told_with_what_to_add(directory: Path) -> None:
    """The page would go nowhere, found out in the first incident."""
    (directory / "notaus.yaml").write_text(changed(DAEMON, ('"#engineering":', '"#engineers":')))
    (found,) = directory_problems(directory)
    assert (Path(found.file).name, found.line) == ("bookstrack.yaml", line_of(BOOKS, "  critical:"))
    assert found.field == "page.critical[2].slack"
    assert found.wrong == "the slack channel `#engineering` is not configured"
    assert found.right.endswith('notaus.yaml: `"#engineering": {webhook_url: …}`')


def test_a_fingerprint_changes_with_what_the_rule_means_and_with_nothing_else(directory: Path) -> None:
    """A hold counts from when its rule came into force: a reload must neither restart nor keep the wrong ones."""
    before = load(directory, ENVIRON).rule_fingerprints
    text = changed(
        PIX, ("for: 5m,", "for: 6m,"), ("error: double2 >= 500", "error: double2 >= 400"), ("# gives", "# has")
    )
    (directory / "services/pix-immo.yaml").write_text(text)
    after = load(directory, {**ENVIRON, "PIX_DATABASE_URL": "postgresql://other/db"}).rule_fingerprints
    changes = {name for name in before if before[name] != after[name]}
    on_canary = {"native errors", "native errors high", "native slow", "native slower", "native far slower"}
    assert changes == {("pix-immo", name) for name in on_canary}


def test_the_hash_is_the_same_everywhere_and_changes_with_the_files(directory: Path) -> None:
    """Decisions name it; replicas compare it."""
    script = (
        "import json,sys; from pathlib import Path; from notaus.config import load;"
        "c = load(Path(sys.argv[1]), json.loads(sys.argv[2])); print(c.hash, sorted(c.rule_fingerprints.values()))"
    )
    import json

    def printed(where: Path, seed: str) -> str:
        command = [sys.executable, "-c", script, str(where), json.dumps(dict(ENVIRON))]
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(CONFIG.parent / "src")}
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=60).stdout

    first = printed(CONFIG, "1")
    assert first == printed(directory, "2") == printed(CONFIG, "3")
    (directory / "services/pix-immo.yaml").write_text(PIX + "# changed\n")
    assert load(directory, ENVIRON).hash not in first
