"""A real Prometheus on loopback with a history made for the tests, where its program is to be had (see dev/promtool)."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

UNPACKED = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"


def program(name: str) -> str | None:
    return shutil.which(name) or next((str(p) for p in [UNPACKED / name] if p.exists()), None)


@contextmanager
def serving(folder: Path, history: str) -> Iterator[str]:
    """The base URL of a Prometheus that knows `history` (OpenMetrics text)."""
    prometheus, promtool = program("prometheus"), program("promtool")
    assert prometheus
    assert promtool
    (folder / "history").write_text(history)
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "history", folder / "data"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    command = [
        prometheus,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(f"http://{address}", process)
            yield f"http://{address}"
        finally:
            process.terminate()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if httpx.get(f"{url}/-/ready", timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            continue
    raise RuntimeError("Prometheus ended before it was ready")
