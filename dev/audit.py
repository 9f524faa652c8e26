"""Let pip-audit look up what is known against the packages of the locks. A vulnerable one fails.

What could not be looked up is left in .tools/audit, where dev/not-run finds it; nothing is left there where all was.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LEFT = ROOT / ".tools" / "audit"
SECONDS = 30
"""For all packages together; without a network the first one would be waited for much longer."""


def vulnerable(report: Mapping[str, Any]) -> list[str]:
    """One line for each vulnerability that is known."""
    return [
        f"{package['name']} {package.get('version', '')}: {found['id']}, {_mended(found)}"
        for package in report["dependencies"]
        for found in package.get("vulns", ())
    ]


def _mended(found: Mapping[str, Any]) -> str:
    return f"mended in {' and '.join(found['fix_versions'])}" if found.get("fix_versions") else "not mended yet"


def not_looked_up(report: Mapping[str, Any]) -> str:
    """How many packages could not be looked up, and the most frequent reason; empty where all could."""
    packages = report["dependencies"]
    reasons = Counter(p["skip_reason"].partition(f": {p['name']}")[0] for p in packages if "skip_reason" in p)
    if packages and not reasons:
        return ""
    why = reasons.most_common(1)[0][0] if reasons else "it names none"
    return f"pip-audit ({reasons.total()} of {len(packages)} packages could not be looked up: {why})"


def asked() -> Mapping[str, Any] | str:
    """What pip-audit reports; or why it reports nothing."""
    locks = [argument for lock in sorted(ROOT.glob("requirements*.lock")) for argument in ("-r", str(lock))]
    command = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "-f", "json", *locks]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pip_audit", *command], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return json.loads(ended.stdout)  # type: ignore[no-any-return]
    except subprocess.TimeoutExpired:
        return f"pip-audit (no answer within {SECONDS} s)"
    except ValueError:
        why = (ended.stderr.splitlines() or ["no reason given"])[-1].partition(":")[0]  # what follows names hosts
        return f"pip-audit (it could look up nothing: {why})"


def main() -> int:
    report = asked()
    found = [] if isinstance(report, str) else vulnerable(report)
    LEFT.parent.mkdir(exist_ok=True)
    LEFT.write_text(report if isinstance(report, str) else not_looked_up(report), encoding="utf-8")
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
