"""The environment: `${X}` in files, `NOTAUS_…` over `notaus.yaml`, and `…_FILE` for what is kept in a file."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from notaus.config.document import List, Node, Scalar, Table
from notaus.config.problems import Report, Where, near_miss

Environ = Mapping[str, str]

PREFIX = "NOTAUS_"
NOT_SETTINGS = frozenset({"CONFIG", "URL", "API_TOKEN", "API_TOKEN_FILE"})
"""The command line's own: which directory, and which daemon."""

LARGEST_SECRET = 64 * 1024
"""Bytes; a larger file holds something else."""

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_]\w*)(?::-(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Filler:
    """Fills `${X}` from the environment. Lenient: what is unset becomes a placeholder instead of a problem."""

    environ: Environ
    report: Report
    lenient: bool = False

    def fill(self, node: Node) -> Node:
        match node:
            case Scalar():
                return self.scalar(node)
            case List():
                return replace(node, items=tuple(self.fill(item) for item in node.items))
            case Table():
                return replace(node, entries=tuple((key, self.fill(value)) for key, value in node.entries))

    def scalar(self, node: Scalar) -> Scalar:
        if node.filled or not isinstance(node.value, str) or "${" not in node.value:
            return node
        unset: list[str] = []
        text = _REFERENCE.sub(lambda found: self.value(found, node.where, unset), node.value)
        return replace(node, value=text, filled=True, unset=bool(unset))

    def value(self, reference: re.Match[str], where: Where, unset: list[str]) -> str:
        name = _NAME.fullmatch(reference[1])
        if not name:
            self.report.problem(where, f"`{reference[0]}` names no variable", "write ${NAME} or ${NAME:-default}")
            return ""
        found = looked_up(name[1], self.environ, self.report, where)
        if found is not None:
            self.report.hide(found, reference[0])
            return found
        if name[2] is not None:
            return name[2]
        unset.append(name[1])
        if not self.lenient:
            self.report.problem(
                where,
                f"the environment variable {name[1]} is not set",
                f"set {name[1]}, or {name[1]}_FILE to a file that holds it",
            )
        return f"unset-{name[1]}"


def looked_up(name: str, environ: Environ, report: Report, where: Where) -> str | None:
    """The variable `name`, or the content of the file that `name_FILE` names; None if neither is set."""
    if name in environ:
        return environ[name]
    path = environ.get(f"{name}_FILE")
    return None if path is None else _content(path, f"{name}_FILE", report, where)


def read_text(path: Path, most: int) -> str:
    """A file of at most `most` bytes. Raises OSError, for what is no file too, and ValueError where it is no UTF-8."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, a device read, without end
        raise OSError(errno.EINVAL, "it is not a file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes")
    return content.decode("utf-8-sig")


def _content(path: str, variable: str, report: Report, where: Where) -> str:
    try:
        return read_text(Path(path), LARGEST_SECRET).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        report.problem(where, f"{variable} names a file that cannot be read: {reason}", "name a readable file")
        return ""


def overlaid(root: Table, environ: Environ, known: Iterable[str], report: Report) -> Table:
    """`root` with every `NOTAUS_…` variable put in its place; a variable replaces the whole value of its key.

    A variable that names none of the `known` keys is a warning only: others may use the prefix.
    """
    settings = tuple(known)
    for variable in sorted(environ, key=lambda name: (name.count("__"), name)):
        name = variable.removeprefix(PREFIX)
        if name == variable or not name or name in NOT_SETTINGS:
            continue
        keys = [part.lower() for part in name.removesuffix("_FILE").split("__")]
        where = Where(variable, field=".".join(keys))
        if keys[0] not in settings:
            report.warning(where, f"no setting is called `{keys[0]}`", near_miss(keys[0], settings))
            continue
        text = environ[variable]
        if name.endswith("_FILE"):
            text = _content(text, variable, report, where)
        report.hide(text, f"${variable}")
        root = _put(root, keys, _from_text(text, where, variable, report))
    return root


def _put(table: Table, keys: list[str], value: Node) -> Table:
    name, rest = keys[0], keys[1:]
    key = Scalar(replace(value.where, field=table.where.key(name).field), name, name)
    if rest:
        inner = table.get(name)
        value = _put(inner if isinstance(inner, Table) else Table(key.where, ()), rest, value)
    kept = tuple((k, v) for k, v in table.entries if k.value != name)
    return replace(table, entries=(*kept, (key, value)))


def _from_text(text: str, where: Where, variable: str, report: Report) -> Node:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _from_json(json.loads(text), where, report)
        except (ValueError, RecursionError):
            report.problem(where, "starts like JSON but is none", "a JSON object or list, or a plain value")
    return Scalar(where, text, f"${variable}", filled=True)


def _from_json(value: object, where: Where, report: Report) -> Node:
    if isinstance(value, dict):
        entries = ((name, _from_json(inner, where.key(name), report)) for name, inner in value.items())
        return Table(where, tuple((Scalar(node.where, name, name), node) for name, node in entries))
    if isinstance(value, list):
        items = (_from_json(inner, where.item(i), report) for i, inner in enumerate(value))
        return List(where, tuple(items))
    assert value is None or isinstance(value, (bool, int, float, str))
    if isinstance(value, str):
        report.hide(value, f"${where.file}")
    return Scalar(where, value, f"${where.file}", plain=False, filled=True)
