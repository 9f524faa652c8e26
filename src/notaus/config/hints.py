"""Hints: the usual reasons why a text is not the YAML its writer meant."""

from __future__ import annotations

import re

from ruamel.yaml.error import MarkedYAMLError

_REFERENCE = re.compile(r"\$\{[^}]*\}")
_LOST = re.compile(r"\w:\s+#[\w-]")
_COMPARISON_FIRST = re.compile(r"[:{\[,]\s*([<>]=?\s*[\w.]+%?)")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'")


def syntax_hint(error: MarkedYAMLError, lines: list[str], line: int) -> tuple[str, str, int]:
    """What is wrong, what would be right, and the line (from 0) to look at."""
    start = error.context_mark.line if error.context_mark else line
    for at in range(min(start, line), min(line + 1, len(lines))):
        bare = _QUOTED.sub(lambda m: "_" * len(m[0]), lines[at])
        blocked = at == line and "got '{'" in (error.problem or "")
        if reference := _inside_brackets(bare, blocked):
            return f"{reference} inside braces or brackets", f'quote it: "{reference}"', at
        if lost := _LOST.search(bare):
            name = lines[at][lost.end() - 2 :].strip().split()[0].rstrip(",]}")
            return f"everything from {name} on is a comment", f'quote it: "{name}"', at
    here = lines[line] if line < len(lines) else ""
    return f"not YAML: {_what(error)}", _advice(error, here), line


def _inside_brackets(bare: str, surely: bool) -> str | None:
    """The first `${X}` within brackets that open on its line; with `surely`, the first at all."""
    for found in _REFERENCE.finditer(bare):
        before = _REFERENCE.sub("", bare[: found.start()])
        if surely or before.count("{") > before.count("}") or before.count("[") > before.count("]"):
            return found[0]
    return None


def _what(error: MarkedYAMLError) -> str:
    problem = (error.problem or "the text cannot be parsed").strip().replace("'<scalar>'", "a value")
    context = (error.context or "").strip()
    return f"{problem} ({context})" if context else problem


def _advice(error: MarkedYAMLError, line: str) -> str:
    problem = error.problem or ""
    if "\\t" in problem or "'\t'" in problem:
        return "indent with spaces, not tabs"
    if comparison := _COMPARISON_FIRST.search(line):
        return f'name the signal first, as in `when: native.error_rate > 3%`, or quote it: "{comparison[1]}"'
    if "mapping values are not allowed" in problem:
        return "check the indentation, and quote a value that contains `: `"
    if "cannot start any token" in problem:
        return "quote the value"
    if "another document" in problem:
        return "one document a file: remove the `---` lines"
    if "undefined alias" in problem:
        return "quote a value that begins with `*`"
    if "end of stream" in problem or "<stream end>" in problem:
        return "close the quote, brace or bracket that was opened"
    if "expected ','" in problem:
        return "check that every brace and bracket is closed, and that commas stand between the values"
    return "check the indentation of this line and the one before"


def comment_lost(line: str, column: int) -> bool:
    """Whether the value of the key at `column` looks like a name taken for a comment, as in `slack: #incidents`."""
    return bool(_LOST.search(line[column:]))
