"""Problems: what a person got wrong in the configuration, where, and what would be right; all of them at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from notaus.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the configuration. Lines and columns count from 1; line 0 is a whole file or a variable."""

    file: str
    line: int = 0
    column: int = 0
    field: str = ""
    """Dotted path of the key, such as `rules[2].for`; empty for the whole file."""

    def key(self, name: str) -> Where:
        """The place of key `name` within the mapping that stands here."""
        return replace(self, field=f"{self.field}.{name}" if self.field else name)

    def item(self, index: int) -> Where:
        return replace(self, field=f"{self.field}[{index}]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, or one warning."""

    file: str
    line: int
    column: int
    field: str
    wrong: str
    right: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        named = f"{place}: {self.field}" if self.field else place
        return f"{named}: {self.wrong}; {self.right}" if self.right else f"{named}: {self.wrong}"


class InvalidConfiguration(ConfigurationError):
    """Everything that is wrong with a configuration, one problem a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class Misread(Exception):
    """A value cannot be read as what its key asks for. Caught by whatever reads the surrounding mapping or list."""

    def __init__(self, wrong: str, right: str = "", where: Where | None = None) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.right = right
        self.where = where


SHORTEST_SECRET = 4
SHORT = 3
MOST_PROBLEMS = 100
"""Nobody mends more at once; thousands would fill the log."""
QUOTED = 80
"""Characters of a name or a value in a message."""
LONGEST = 600
_QUOTATION = re.compile(rf"`[^`]*`|\"[^\"]*\"|[^\s`\"/]{{{QUOTED},}}")


@dataclass(slots=True)
class Report:
    """What has been found so far while the files are read."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    _told_before: set[Problem] = field(default_factory=set)
    _places: set[Where] = field(default_factory=set)
    """Where there is a problem."""
    hidden: dict[str, str] = field(default_factory=dict)
    """What the environment filled in, and how it is written instead: it may be secret, so no message shows it."""

    def problem(self, where: Where, wrong: str, right: str = "") -> None:
        self._places.add(where)
        self._tell(self.problems, where, wrong, right)

    def warning(self, where: Where, wrong: str, right: str = "") -> None:
        self._tell(self.warnings, where, wrong, right)

    def _tell(self, to: list[Problem], where: Where, wrong: str, right: str) -> None:
        found = self._told(where, wrong, right)
        if found not in self._told_before:
            self._told_before.add(found)
            to.append(found)

    def hide(self, value: str, written: str) -> None:
        """From now on, messages show `written` for `value`. Shorter values hide nothing and would garble every message."""
        if len(value) >= SHORTEST_SECRET:
            self.hidden.setdefault(value, written)

    def concerns(self, field: str, since: int) -> bool:
        """Whether one of the problems from number `since` on lies at `field` or within it."""
        return any(re.match(rf"{re.escape(field)}($|[.\[])", p.field) for p in self.problems[since:])

    def _told(self, where: Where, wrong: str, right: str) -> Problem:
        for value, written in self.hidden.items():
            wrong = wrong.replace(value, written)
            if not re.fullmatch("[a-z_]+", value):  # words of the language stay readable in advice
                right = right.replace(value, written)
        return Problem(where.file, where.line, where.column, shortened(where.field), shortened(wrong), shortened(right))

    def misread(self, where: Where, error: Misread) -> None:
        """One problem a value: where the environment lacks it, its form is no second one."""
        place = error.where or where
        if place not in self._places:
            self.problem(place, error.wrong, error.right)

    def raise_if_any(self) -> None:
        """Raises `InvalidConfiguration` with every problem, in the order of files and lines."""
        found = sorted(self.problems, key=lambda p: (p.file, p.line, p.column))
        if len(found) > MOST_PROBLEMS:
            rest = Problem(found[0].file, 0, 0, "", f"there are {len(found) - MOST_PROBLEMS} more", "mend these first")
            found = [*found[:MOST_PROBLEMS], rest]
        if found:
            raise InvalidConfiguration(found)


def shortened(text: str) -> str:
    """`text` with every long quotation, name or number cut, and no longer than anybody reads."""

    def cut(found: re.Match[str]) -> str:
        mark = found[0][-1] if found[0][0] in '`"' else ""
        return found[0] if len(found[0]) < QUOTED else f"{found[0][: QUOTED - 20]}…{mark}"

    short = _QUOTATION.sub(cut, text)
    return short if len(short) <= LONGEST else f"{short[: LONGEST - 1]}…"


def near_miss(name: str, known: Iterable[str]) -> str:
    """`did you mean A or B?` for names that look like `name`, else the list of those that exist."""
    names = list(dict.fromkeys(known))
    if len(name) > SHORT:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    else:  # half of two letters is little, unless the other name is short as well
        close = difflib.get_close_matches(name, [n for n in names if abs(len(n) - len(name)) < 2], n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(f'`{c}`' for c in close)}?"
    return f"known are {listed(names)}" if names else "there is none"


def listed(names: Iterable[str]) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}" if quoted else "none"
