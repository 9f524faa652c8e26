"""Cloudflare's own runtime, ``workerd``, running a Worker's files as they are; its bindings are served by a sandbox.

What the Worker is bound to is read from its ``wrangler.jsonc``. No Node is needed, and nothing leaves this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from .bindings import BUCKET_HEADER, NAMESPACE_HEADER

VARIABLE: Final = "NOTAUS_WORKERD"
INSTALLED: Final = ".tools/judges/node/node_modules/@cloudflare/workerd-linux-64/bin/workerd"  # by dev/judges/install
START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 5.0
COMMENTS: Final = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)


class WorkerdFailed(RuntimeError):
    """It did not start; the message holds what it said."""


def find(project: Path | None = None) -> Path | None:
    """The workerd binary: named by NOTAUS_WORKERD, on the PATH, or installed below the project; None without one."""
    named = os.environ.get(VARIABLE) or shutil.which("workerd")
    if named:
        return Path(named)
    below = (project or Path.cwd()) / INSTALLED
    return below if below.is_file() else None


@dataclass(frozen=True, slots=True)
class WorkerFiles:
    """A Worker as its team keeps it: a directory with ``wrangler.jsonc`` and ES modules."""

    directory: Path
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, directory: Path) -> WorkerFiles:
        """Raises ValueError where there is no Worker that workerd could run as it is."""
        try:
            text = (directory / "wrangler.jsonc").read_text(encoding="utf-8")
            settings = json.loads(COMMENTS.sub(lambda found: found[1] or "", text))
            files = cls(directory, settings)
            if not files.main.is_file():
                raise ValueError(f"`main` names {settings['main']}, and there is no such file")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{directory}: needs a readable wrangler.jsonc with `main`: {error}") from None
        return files

    @property
    def main(self) -> Path:
        return self.directory / str(self.settings["main"])

    @property
    def modules(self) -> list[Path]:
        """The main module first, then whatever lies beside or below it."""
        others = sorted(path for path in self.main.parent.rglob("*.js") if path != self.main)
        return [self.main, *others]


def capnp(files: WorkerFiles, sandbox: str, secrets: Mapping[str, str] | None = None) -> str:
    """The workerd configuration for a Worker whose bindings, and whose outside world, are the sandbox at a base URL."""
    address = urlsplit(sandbox).netloc
    services, bindings = _bound(files.settings, address)
    texts = {**files.settings.get("vars", {}), **(secrets or {})}
    bindings += [f"(name = {_quoted(name)}, text = {_quoted(str(value))})" for name, value in texts.items()]
    names = [path.relative_to(files.main.parent).as_posix() for path in files.modules]
    modules = [f"(name = {_quoted(name)}, esModule = embed {_quoted('src/' + name)})" for name in names]
    flags = [_quoted(flag) for flag in files.settings.get("compatibility_flags", ())]
    return f"""\
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    {_listed(['(name = "main", worker = .worker)', _external("outside", address), *services])}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [
    {_listed(modules)}
  ],
  compatibilityDate = {_quoted(files.settings["compatibility_date"])},
  compatibilityFlags = [{", ".join(flags)}],
  globalOutbound = "outside",
  bindings = [
    {_listed(bindings)}
  ],
);
"""


def _bound(settings: Mapping[str, Any], address: str) -> tuple[list[str], list[str]]:
    """Services and bindings for KV, R2 and Analytics Engine. A dataset is known by its service's name alone."""
    services, bindings = [], []
    for kind, entries, id, header in (
        ("kvNamespace", settings.get("kv_namespaces", ()), "id", NAMESPACE_HEADER),
        ("r2Bucket", settings.get("r2_buckets", ()), "bucket_name", BUCKET_HEADER),
        ("analyticsEngine", settings.get("analytics_engine_datasets", ()), "dataset", None),
    ):
        for entry in entries:
            service = entry[id] if header is None else f"{kind} {entry[id]}"
            services.append(_external(service, address, {} if header is None else {header: entry[id]}))
            bindings.append(f"(name = {_quoted(entry['binding'])}, {kind} = {_quoted(service)})")
    return list(dict.fromkeys(services)), bindings


def _external(name: str, address: str, headers: Mapping[str, str] | None = None) -> str:
    added = ", ".join(f"(name = {_quoted(n)}, value = {_quoted(v)})" for n, v in (headers or {}).items())
    options = f"injectRequestHeaders = [{added}]" if added else ""
    return f"(name = {_quoted(name)}, external = (address = {_quoted(address)}, http = ({options})))"


def _listed(entries: Sequence[str]) -> str:
    return ",\n    ".join(entries)


def _quoted(text: str) -> str:
    return json.dumps(text)  # for what stands in such files, capnp's strings are JSON's


@dataclass(slots=True)
class Workerd:
    """A running workerd. A context manager: ``with Workerd(binary, files, sandbox) as running: … running.url``.

    ``sandbox`` is the sandbox's base URL, such as ``http://127.0.0.1:8787``.
    """

    binary: Path
    files: WorkerFiles
    sandbox: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _directory: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> str:
        """Start it and give its URL once it listens. Raises WorkerdFailed with what it said where it does not."""
        self._directory = tempfile.TemporaryDirectory(prefix="notaus-workerd-")
        directory = Path(self._directory.name)
        for name, path in self._copies():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, directory / name)
        (directory / "config.capnp").write_text(capnp(self.files, self.sandbox, self.secrets), encoding="utf-8")
        reading, writing = os.pipe()
        with (directory / "log").open("wb") as log, os.fdopen(reading, "rb") as control:
            # --experimental: for the Analytics Engine binding alone.
            command = [str(self.binary), "serve", "--experimental", f"--control-fd={writing}", "config.capnp"]
            self._process = subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,)
            )
            os.close(writing)
            port = _announced_port(control.fileno())
        if port is None:
            said = self.log
            self.stop()
            raise WorkerdFailed(f"workerd did not start: {said.strip()[-500:] or 'it said nothing'}")
        self.url = f"http://127.0.0.1:{port}"
        return self.url

    def stop(self) -> None:
        """End it and remove what it was started from."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    @property
    def log(self) -> str:
        """What it and the Worker (``console.error``) have printed."""
        if self._directory is None:
            return ""
        return (Path(self._directory.name) / "log").read_text(encoding="utf-8", errors="replace")

    def _copies(self) -> Iterator[tuple[str, Path]]:
        base = self.files.main.parent
        for path in self.files.modules:
            yield f"src/{path.relative_to(base).as_posix()}", path

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _announced_port(control: int) -> int | None:
    """The port that workerd tells over its control pipe; None if it ends or stays silent."""
    said, until = b"", time.monotonic() + START_SECONDS
    while (left := until - time.monotonic()) > 0 and select([control], [], [], left)[0]:
        chunk = os.read(control, 4096)
        if not chunk:
            return None
        said += chunk
        for line in said.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "listen":
                return int(event["port"])
    return None
