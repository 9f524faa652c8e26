"""What workerd is started with, and the visitors of a Worker; that it then works is shown in tests/contract."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from notaus.sandbox import workerd
from notaus.sandbox.visitors import Visit, Visitors, marks
from notaus.sandbox.workerd import Workerd, WorkerdFailed, WorkerFiles, capnp

WRANGLER = """{
  // comments, and "quotes" in them
  "main": "src/index.js", /* such, too */
  "compatibility_date": "2026-07-01",
  "vars": {"ORIGIN": "https://a.example//b", "N": 3},
  "kv_namespaces": [{"binding": "CONFIG", "id": "abc"}],
  "analytics_engine_datasets": [{"binding": "AE", "dataset": "points"},],
}"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "src/lib").mkdir(parents=True)
    (tmp_path / "wrangler.jsonc").write_text(WRANGLER, encoding="utf-8")
    for name in ("index.js", "other.js", "lib/deep.js"):
        (tmp_path / "src" / name).write_text("export default {};", encoding="utf-8")
    return tmp_path


def test_a_workers_own_file_says_what_it_is_bound_to(directory: Path) -> None:
    """A second list of bindings would drift from the team's own."""
    text = capnp(WorkerFiles.read(directory), "http://127.0.0.1:8787", {"TOKEN": 'a"b'})
    for part in (
        '(name = "index.js", esModule = embed "src/index.js")',
        '(name = "lib/deep.js", esModule = embed "src/lib/deep.js")',
        '(name = "CONFIG", kvNamespace = "kvNamespace abc")',
        'injectRequestHeaders = [(name = "x-sandbox-namespace", value = "abc")]',
        '(name = "AE", analyticsEngine = "points")',
        '(name = "points", external = (address = "127.0.0.1:8787", http = ()))',
        '(name = "ORIGIN", text = "https://a.example//b")',
        '(name = "N", text = "3")',
        '(name = "TOKEN", text = "a\\"b")',
        'globalOutbound = "outside"',
    ):
        assert part in text
    assert text.index('"index.js"') < text.index('"lib/deep.js"') < text.index('"other.js"')


@pytest.mark.parametrize("broken", ["{", "{}", '{"main": "src/none.js"}', None])
def test_a_directory_without_a_worker_is_told(directory: Path, broken: str | None) -> None:
    """A traceback would not say which file to look at."""
    path = directory / "wrangler.jsonc"
    path.unlink() if broken is None else path.write_text(broken, encoding="utf-8")
    with pytest.raises(ValueError, match=r"wrangler\.jsonc with `main`"):
        WorkerFiles.read(directory)


def test_the_binary_is_found_where_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A demo that cannot find what is installed, or that runs what is not meant."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(workerd.VARIABLE, raising=False)
    assert workerd.find(tmp_path) is None
    installed = tmp_path / workerd.INSTALLED
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert workerd.find(tmp_path) == installed
    monkeypatch.setenv(workerd.VARIABLE, "/opt/workerd")
    assert workerd.find(tmp_path) == Path("/opt/workerd")


def test_one_that_does_not_start_says_why_and_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    """People would wait for a Worker that is not there, and find its files in /tmp."""
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'config.capnp:3: no such thing' >&2\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    running = Workerd(failing, WorkerFiles.read(directory), "http://127.0.0.1:1", {"TOKEN": "secret"})
    with pytest.raises(WorkerdFailed, match="no such thing"):
        running.start()
    assert "secret" not in repr(running)
    assert running.log == ""
    assert not os.path.isdir(str(running._directory))


def test_visitors_stay_on_this_machine_and_within_bounds() -> None:
    """A demonstration would be a load generator for whatever URL somebody types."""
    for url in ("https://api.pix.immo", "http://192.0.2.1", "http://"):
        with pytest.raises(ValueError, match="this machine"):
            Visitors(url, 1, 1)
    with pytest.raises(ValueError, match="more than"):
        Visitors("http://127.0.0.1:1", 1_000, 1_000)


async def test_visitors_note_which_cohort_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop would be measured by something other than the Worker's own answers."""
    mark = "1;tag=B2a;cohort=proxy;reason=emergency"
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers={"X-Pix-Canary": mark}))
    own = httpx.AsyncClient

    def client(**given: object) -> httpx.AsyncClient:
        return own(transport=transport, base_url=str(given["base_url"]))

    monkeypatch.setattr(httpx, "AsyncClient", client)
    visitors = Visitors("http://127.0.0.1:1", per_second=500, seconds=0.04, returning=1.0)
    await visitors.come()
    assert visitors.visits
    assert visitors.counted().keys() == {("proxy", "emergency", 200)}
    first = min(visitors.visits)
    assert isinstance(first, Visit)
    assert first.returning == "native"
    assert first not in visitors.since(first.at)
    assert marks(mark) == {"tag": "B2a", "cohort": "proxy", "reason": "emergency"}
