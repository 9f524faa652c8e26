"""No mutant is stale: each edit can still be made, and its test still exists. `make mutants` tries them."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.mutants.run import PROJECT, stale
from tests.mutants.table import MUTANTS


def test_every_mutant_can_be_made() -> None:
    """An edit that cannot be made proves nothing, and nobody would notice that it is gone."""
    assert [why for mutant in MUTANTS if (why := stale(mutant))] == []
    assert len({(m.file, m.old, m.new) for m in MUTANTS}) == len(MUTANTS) >= 100
    assert [m.means for m in MUTANTS if m.old == m.new] == []


def test_the_test_that_must_notice_each_mutant_exists() -> None:
    """A renamed test would leave its mutant without a judge."""
    known: dict[str, set[str]] = {}
    for mutant in MUTANTS:
        file, _, name = mutant.test.partition("::")
        if file not in known:
            known[file] = _tests_in(PROJECT / file)
        assert name in known[file], f"{mutant.test} does not exist"


def _tests_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
