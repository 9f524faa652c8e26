"""A private PostgreSQL on loopback, gone after the tests: started, stopped, restarted, and given schemas of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[1]
FIND = ROOT / "dev" / "postgresql"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs: the installed ones, or those unpacked by dev/postgresql; None if neither."""
    found = subprocess.run([FIND], capture_output=True, text=True, check=False, timeout=600)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


class PostgreSQL:
    """One server in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.data = programs, folder, folder / "data"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://notaus@127.0.0.1:{self.port}/postgres"
        # It refuses to run as root.
        self.user = _user() if os.getuid() == 0 else None
        if self.user is not None:
            shutil.chown(folder, self.user)
        self._run("initdb", "-A", "trust", "-U", "notaus", "--no-sync", "-E", "UTF8", "--locale=C")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off -c shared_buffers=32MB"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """At once, as a power failure would."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def restart(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "-w", "-l", str(self.folder / "log"), "restart")

    def schema(self) -> str:
        """The URL of an empty schema."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
        return f"{self.url}?options=-csearch_path%3D{name}"

    def _run(self, program: str, *arguments: str) -> None:
        environment = dict(os.environ)
        if self.programs.is_relative_to(ROOT):
            found = subprocess.run([FIND, "--libraries"], capture_output=True, text=True, check=True)
            environment["LD_LIBRARY_PATH"] = found.stdout.strip()
        command = [self.programs / program, "-D", self.data, *arguments]
        quiet = subprocess.DEVNULL  # a server would hold a pipe open
        subprocess.run(
            command, check=True, user=self.user, cwd="/", env=environment, stdout=quiet, stderr=quiet, timeout=120
        )


def _user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


@contextlib.contextmanager
def a_server(programs: Path) -> Iterator[PostgreSQL]:
    folder = Path(tempfile.mkdtemp(prefix="notaus-postgresql-"))
    try:
        server = PostgreSQL(programs, folder)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
