"""The document about an incident: made of the journal that a scenario leaves, read by people afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest

from notaus.core.service import Service
from notaus.custody import Folder
from notaus.journal import Journal
from notaus.report import Document, Findings, find, kept, place, render
from tests.report.plays import PROJECT, played

GOLDEN = Path(__file__).parent / "golden"
CANARY = """\
name: an emergency
service: pix-immo
series:
  native.error_rate: 4%x80
events:
  - {at: "12:00", close: true}
expect:
  - {at: "3:00", page: critical}
  - {at: "14:00", incident: closed}
"""
TRIGGER = (PROJECT / "tests/scenarios/116-data-loss.yaml").read_text(encoding="utf-8")
ROLLBACK = (PROJECT / "tests/scenarios/13-bad-deployment.yaml").read_text(encoding="utf-8")


def newest(journal: Journal, service: Service) -> Findings:
    return find(journal, service, journal.incidents(service.name)[0].id)


def steady(text: str) -> str:
    """Without what differs from run to run: ids."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b", "ID", text)


@pytest.mark.parametrize(("name", "text"), [("pix-immo", CANARY), ("bookstrack", ROLLBACK)])
def test_the_document_reads_as_the_runbook_asks(name: str, text: str, tmp_path: Path) -> None:
    """A section would be missing, or a number be wrong. After a change on purpose: read it, then copy it over."""
    document = played(text, tmp_path, lambda journal, service: render(newest(journal, service)))
    (tmp_path / "new.md").write_text(steady(document.markdown), encoding="utf-8")
    assert steady(document.markdown) == (GOLDEN / f"{name}.md").read_text(encoding="utf-8"), tmp_path / "new.md"


def test_the_file_has_the_runbooks_name(tmp_path: Path) -> None:
    """Nobody would find it in docs/INCIDENTS."""
    document = played(CANARY, tmp_path, lambda journal, service: render(newest(journal, service)))
    assert document.stem == "2026-09-21_b2a_incident"


def test_requests_are_counted_once_though_windows_overlap(tmp_path: Path) -> None:
    """The impact would be told many times too large: samples are 15 s apart, and each covers a minute or more."""
    found = played(ROLLBACK, tmp_path, newest)
    (loss,) = [loss for loss in found.losses if loss.signal == "edge.error_rate"]
    window, (start, end) = found.service.signals["edge.error_rate"].window, (found.began_at, found.recovered_at)
    assert start is not None
    assert end is not None
    assert loss.windows == loss.known == (end - start) // window + 1
    among = [s.among for s in found.series["edge.error_rate"] if s.at == start]
    assert loss.among == loss.windows * (among[0] or 0)  # the scenario has the same traffic at all times
    assert 0 < loss.failed < loss.among * 12 / 100


def test_times_are_counted_from_the_first_sample_of_the_breach(tmp_path: Path) -> None:
    """The runbook's times would look better than they were."""
    found = played(ROLLBACK, tmp_path, newest)
    opened = found.incident.opened_at
    assert (opened - (found.began_at or 0), (found.acted_at or 0) - opened) == (120, 0)
    assert (found.recovered_at or 0) - (found.began_at or 0) == 480


def test_what_no_metric_saw_is_documented_too(tmp_path: Path) -> None:
    """Data loss would have no document, or one that claims no data was lost."""
    document = played(TRIGGER, tmp_path, lambda journal, service: render(newest(journal, service)))
    assert "reported by `data loss`" in document.markdown
    assert document.charts == {}


def points(svg: str, colour: str) -> list[tuple[float, float]]:
    """The places that the paths of a colour go through."""
    root = ElementTree.fromstring(svg)
    paths = [p.get("d") or "" for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke") == colour]
    return [(float(x), float(y)) for d in paths for x, y in re.findall(r"([\d.]+),([\d.]+)", d)]


def test_a_chart_shows_the_samples_the_bound_and_what_was_done(tmp_path: Path) -> None:
    """People would draw conclusions from a picture of something else."""
    document, found = played(ROLLBACK, tmp_path, lambda j, s: (render(newest(j, s)), newest(j, s)))
    svg = document.charts["edge.error_rate.svg"]
    line, bound = points(svg, "#1f5fa8"), points(svg, "#c0392b")
    known = [s for s in found.series["edge.error_rate"] if s.known]
    assert len(line) == len(known)
    floor = max(y for _, y in line) + (0.003 / 0.12) * (max(y for _, y in line) - min(y for _, y in line)) / 0.975
    heights = {round((floor - y) / (floor - bound[0][1]) * 0.10, 3) for _, y in line}
    assert heights == {round(float(s.value or 0), 3) for s in known}
    assert [text for text in ("opened", "recovered", "done: v1.9.0 deployed") if text not in svg] == []


DOCUMENT = Document("pix-1", "2026-09-21_b2a_incident", "made\n", {"a.svg": "<svg/>"})


def test_what_a_person_has_written_stays(tmp_path: Path) -> None:
    """The root cause that somebody wrote down would be gone at the next start."""
    path = kept(DOCUMENT, tmp_path)
    assert path is not None
    assert path.read_text() == "made\n"
    path.write_text("a person's\n")
    assert kept(DOCUMENT, tmp_path) is None
    assert path.read_text() == "a person's\n"
    assert kept(DOCUMENT, tmp_path, force=True) == path
    assert path.read_text() == "made\n"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["2026-09-21_b2a_incident", path.name, "a.svg"]


def test_two_incidents_of_a_day_have_a_document_each(tmp_path: Path) -> None:
    """The second would be written over the first, root cause and all, or never be written."""
    first = kept(replace(DOCUMENT, markdown="**Incident:** `pix-1`\n"), tmp_path)
    other = replace(DOCUMENT, incident="pix-2", markdown=f"**Incident:** `pix-2`\n![a]({DOCUMENT.stem}/a.svg)\n")
    second = kept(other, tmp_path)
    assert first is not None
    assert second == place(other, tmp_path) == tmp_path / f"{DOCUMENT.stem}-2.md"
    assert second.read_text() == f"**Incident:** `pix-2`\n![a]({DOCUMENT.stem}-2/a.svg)\n"
    assert (tmp_path / f"{DOCUMENT.stem}-2" / "a.svg").exists()
    assert kept(other, tmp_path) is None
    assert kept(other, tmp_path, force=True) == second
    assert first.read_text() == "**Incident:** `pix-1`\n"


def test_text_from_outside_is_only_text(tmp_path: Path) -> None:
    """A reason given by a hook could put links or HTML into the document."""
    text = TRIGGER.replace("trigger: data loss", 'trigger: data loss, reason: "[x](http://y) <b>`z`\\n# title"')
    markdown = played(text, tmp_path, lambda journal, service: render(newest(journal, service))).markdown
    assert "http://y" in markdown
    assert re.search(r"(?<!\\)(\[x\(|<b>|`z)|\n# title", markdown) is None


def test_the_evidence_is_listed_with_its_sums(tmp_path: Path) -> None:
    """Nobody could tell a copy of the logs that was changed, or cut, from the logs themselves."""
    folder = Folder.of(tmp_path / "kept")
    folder.keep("1-telemetry.ndjson", "{}\n", "telemetry", {}, 1_790_000_000, complete=True)
    folder.keep("1-logs.tar", b"\x1f\x8b", "logs", {}, 1_790_000_001, complete=False)
    folder.miss("2-upload.json", "upload", {}, 1_790_000_060, "R2: 500 | no")

    def look(journal: Journal, service: Service) -> Document:
        return render(find(journal, service, journal.incidents(service.name)[0].id, tmp_path / "kept"))

    text, whole = played(CANARY, tmp_path, look).markdown, sha256(b"{}\n").hexdigest()
    assert "| file | what | at | bytes | SHA-256 |" in text
    assert f"| `1-telemetry.ndjson` | telemetry | 14:13:20 | 3 | `{whole}` |" in text
    assert "| `1-logs.tar` | logs | 14:13:21 | 2, not all of it | `" in text
    assert "| `2-upload.json` | upload | 14:14:20 | none: R2: 500 \\| no |  |" in text
