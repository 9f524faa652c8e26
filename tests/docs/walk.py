"""The walks of docs/walks: each runbook's story by the production daemon in the sandbox, and the document it leaves.

`python -m tests.docs.walk` writes them anew, to be read before they are committed.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from notaus.backtest import scenario
from notaus.backtest.runner import Run, _Stage
from notaus.backtest.virtual_time import run
from notaus.config import load
from notaus.report import Document, find, render
from notaus.sandbox.box import ACCOUNT
from tests.config.texts import CONFIG, ENVIRON

WALKS = Path(__file__).parents[2] / "docs/walks"
STORIES = ("pix-immo", "bookstrack")

PAGE = """\
# {service}: {name}

The production daemon and the sandbox on virtual time, written by `make docs`. To see it again:
`notaus test --config config {story}`.

```yaml
{text}```

## What happened

| time | what |
| --- | --- |
{rows}

## What people were told

{messages}

## What is left

- the incident's document: [{document}]({service}/{document}), as the daemon wrote it; what is people's to fill in is marked
- the evidence, kept beside the journal:

```
{evidence}
```
"""


def walk(service: str) -> dict[str, str]:
    """Every file of a walk, by its path below docs/walks."""
    file = WALKS / f"{service}.yaml"
    read, configuration = scenario.read(file), load(CONFIG, ENVIRON)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            played, document = run(lambda loop: _played(_Stage(read, configuration, loop, Path("incidents"))))
            evidence = _kept(Path("incidents"))
        finally:
            os.chdir(before)
    page = PAGE.format(
        service=service,
        name=read.name,
        story=f"docs/walks/{file.name}",
        text=file.read_text(encoding="utf-8"),
        rows="\n".join(f"| {_clock(at)} | {what} |" for at, what in _rows(played)),
        messages="\n\n".join(_messages(played)),
        document=f"{document.stem}.md",
        evidence="\n".join(evidence),
    )
    files = {
        f"{service}.md": page,
        f"{service}/{document.stem}.md": document.markdown,
        **{f"{service}/{document.stem}/{name}": chart for name, chart in document.charts.items()},
    }
    return {path: _steady(text) for path, text in files.items()}


async def _played(stage: _Stage) -> tuple[Run, Document]:
    try:
        played = await stage._play()
        (row,) = stage.journal.incidents(stage.service.name)
        return played, render(find(stage.journal, stage.service, row.id))
    finally:
        for app in stage.apps:
            await app.crash()
        stage.journal.close()


def _rows(played: Run) -> list[tuple[float, str]]:
    """What was done and said, in order: people's orders with their answers, writes, deployments, messages."""
    said = [(float(at), f"**{kind}** is answered: {_cell(reply.text)}") for at, kind, reply in played.replies]
    done = [(h.at, _cell(h.text)) for h in played.happenings]
    return sorted(said + done, key=lambda row: row[0])


def _messages(played: Run) -> list[str]:
    told = [h for h in played.happenings if h.kind in ("page", "notice")]
    return [f"At {_clock(h.at)}:\n\n```text\n{h.value['text']}\n```" for h in told]


def _kept(incidents: Path) -> list[str]:
    files = sorted(path for path in incidents.rglob("*") if path.is_file())
    return [f"{path.as_posix()}" for path in files]


def _clock(at: float) -> str:
    """Hours, minutes and seconds since the story began."""
    whole = int(at)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _steady(text: str) -> str:
    """Without what differs from run to run: ids, but for the example's own account."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b", lambda m: m[0] if m[0] == ACCOUNT else "ID", text)


if __name__ == "__main__":
    for each in STORIES:
        for path, content in walk(each).items():
            (WALKS / path).parent.mkdir(parents=True, exist_ok=True)
            (WALKS / path).write_text(content, encoding="utf-8")
            sys.stdout.write(f"docs/walks/{path}\n")
