"""Analytics Engine's SQL for SQLite: parsed in ClickHouse's dialect, admitted node by node, the rest refused by name.

Rewriting and admitting are one walk: a node for which there is no rule below does not exist in Analytics Engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from .rows import POINT_COLUMNS, POINTS
from .sql_functions import AGGREGATES, NUMBERS, PARAMETRIC, SCALARS
from .sql_nodes import (
    MONTHS_OF,
    SECONDS_OF,
    SqlRefused,
    Term,
    arithmetic_type,
    called_term,
    children_of,
    function_name_of,
    function_of,
    interval_of,
    is_text,
    kind_of,
    literal_term,
    moment_term,
    negated_type,
    quoted,
    spoken,
    spoken_call,
    text_of,
)

Found = TypeVar("Found")

FORMATS: Final = ("JSON", "JSONEachRow", "TabSeparated")
CLAUSES: Final = {"expressions", "from", "from_", "where", "group", "having", "order", "limit", "offset", "format"}
COLUMN_TYPES: Final[Mapping[str, str]] = {
    "dataset": "String",
    "timestamp": "DateTime",
    "_sample_interval": "UInt32",
    **{name: "Float64" if name.startswith("double") else "String" for name in POINT_COLUMNS},
}
ARITHMETIC: Final[dict[type[exp.Expression], str]] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Mod: "%"}
COMPARISONS: Final[dict[type[exp.Expression], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A rewritten query: columns as ``(name, type)``; parameters ``:now`` (seconds, float) and ``:second`` (int)."""

    sql: str
    columns: tuple[tuple[str, str], ...]
    format: str = "JSON"
    limit: int | None = None
    offset: int = 0


def rewrite(text: str, datasets: Collection[str]) -> Statement:
    """Rewrite one SELECT for SQLite; raises `SqlRefused`. ``datasets`` are the tables that exist."""
    if bare := re.search(r"\bINTERVAL\s+\d+\s*\w*", re.sub(r"'[^']*'", "''", text), re.IGNORECASE):
        raise SqlRefused(f"{bare[0]}: the number of an interval must be quoted, as in INTERVAL '10' MINUTE")
    select = _parsed(text)
    format = _format(select)
    limit, offset = _whole_number(select, "limit"), _whole_number(select, "offset")
    query = _Select(select, datasets, outermost=True)
    return Statement(query.sql, query.columns, format, limit, offset or 0)


def _parsed(text: str) -> exp.Select:
    # sqlglot knows only the longer name as parametric; to Analytics Engine the two are one function.
    known = re.sub(r"\bquantileWeighted(?=\s*\([\d.\s]+\)\s*\()", "quantileExactWeighted", text, flags=re.IGNORECASE)
    try:
        parsed = [tree for tree in sqlglot.parse(known, dialect="clickhouse") if tree is not None]
    except (SqlglotError, RecursionError) as error:
        raise SqlRefused(f"unable to parse query: {str(error).splitlines()[0]}") from None
    if len(parsed) != 1:
        raise SqlRefused("expected exactly one statement")
    tree = parsed[0]
    if not isinstance(tree, exp.Select):
        raise SqlRefused(f"{tree.key.upper()} is not supported: only a single SELECT is")
    return tree


def _format(select: exp.Select) -> str:
    given = select.args.get("format")
    name = given.name if given is not None else "JSON"
    for known in FORMATS:
        if name.lower() == known.lower():
            return known
    raise SqlRefused(f"unknown FORMAT {name}: one of {', '.join(FORMATS)}")


def _whole_number(select: exp.Select, clause: str) -> int | None:
    node = select.args.get(clause)
    if node is None:
        return None
    if node.args.get("expressions"):
        raise SqlRefused(f"{clause.upper()} BY is not supported")
    value = node.expression
    if clause == "limit" and isinstance(value, exp.Column) and value.name.lower() == "all":
        return None
    if not isinstance(value, exp.Literal) or value.is_string or not value.name.isdigit():
        raise SqlRefused(f"{clause.upper()} must be a whole number")
    return int(value.name)


@dataclass(slots=True)
class _Select:
    """One SELECT, rewritten as soon as it is made."""

    node: exp.Select
    datasets: Collection[str]
    outermost: bool = False
    sql: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    _types: Mapping[str, str] = field(default_factory=dict)
    _table: str = ""
    _aliases: dict[str, exp.Expression] = field(default_factory=dict)
    _expanding: list[str] = field(default_factory=list)
    _aggregates: str = ""  # why an aggregate may not stand here; "" where it may

    def __post_init__(self) -> None:
        for clause, value in self.node.args.items():
            if value and clause not in CLAUSES:
                raise SqlRefused(f"{spoken(clause)} is not supported")
        if not self.outermost and self.node.args.get("format"):
            raise SqlRefused("FORMAT is not supported in a subquery")
        source, filters = self._from()
        selected = [self._output(node) for node in self._expressions()]
        names = [name for name, _, _ in selected]
        where = self._clause("where", "in WHERE")
        keys = self._group_keys(selected)
        having = self._clause("having", "")
        order = [self._ordered(node, selected) for node in self._list("order")]
        self._check_grouping([node for _, node, _ in selected], keys)
        self.columns = tuple((name, term.type) for name, _, term in selected)
        filters = [*filters, where] if where else filters
        parts = [
            "SELECT " + ", ".join(f"{term.sql} AS {quoted(name)}" for name, _, term in selected),
            f"FROM {source}",
            f"WHERE {' AND '.join(filters)}" if filters else "",
            f"GROUP BY {', '.join(keys)}" if keys else "",
            f"HAVING {having}" if having else "",
            f"ORDER BY {', '.join(order)}" if order else "",
            "" if self.outermost else self._limit(),
        ]
        if not names:
            raise SqlRefused("nothing is selected")
        self.sql = " ".join(part for part in parts if part)

    def _limit(self) -> str:
        limit, offset = _whole_number(self.node, "limit"), _whole_number(self.node, "offset")
        return (
            "" if limit is None and offset is None else f"LIMIT {-1 if limit is None else limit} OFFSET {offset or 0}"
        )

    # -- clauses

    def _from(self) -> tuple[str, list[str]]:
        """What is read, and the conditions that come with it."""
        clause = self.node.args.get("from_") or self.node.args.get("from")
        if clause is None:
            raise SqlRefused("FROM is missing")
        source = clause.this
        self._table = source.alias_or_name
        if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Select):
            inner = _Select(source.this, self.datasets)
            self._types = dict(inner.columns)
            return f"({inner.sql})", []
        if not isinstance(source, exp.Table):
            raise SqlRefused(f"{spoken(source.key)} is not supported in FROM: name one table or subquery")
        extra = [name for name, value in source.args.items() if value and name not in ("this", "alias")]
        if extra or not isinstance(source.this, exp.Identifier):
            raise SqlRefused(f"{spoken(extra[0]) if extra else 'a table function'} is not supported in FROM")
        if source.name not in self.datasets:
            raise SqlRefused(f"unable to find type of table {source.name}: no such dataset")
        self._types = COLUMN_TYPES
        literal = source.name.replace("'", "''")
        return POINTS, [f"dataset = '{literal}'", "visible <= :now"]

    def _expressions(self) -> Iterator[exp.Expression]:
        for node in self.node.expressions:
            if isinstance(node, exp.Star):
                yield from (exp.column(name) for name in self._types)
                continue
            if isinstance(node, exp.Alias):
                self._aliases[node.alias] = node.this
            yield node

    def _output(self, node: exp.Expression) -> tuple[str, exp.Expression, Term]:
        inner = node.this if isinstance(node, exp.Alias) else node
        name = node.alias if isinstance(node, exp.Alias) else text_of(node)
        if isinstance(node, exp.Alias):
            self._expanding.append(name)
        term = self.term(inner)
        if isinstance(node, exp.Alias):
            self._expanding.pop()
        return name, inner, term

    def _clause(self, name: str, no_aggregates: str) -> str:
        clause = self.node.args.get(name)
        if clause is None:
            return ""
        self._aggregates = no_aggregates
        condition = self._condition(clause.this)
        self._aggregates = ""
        return condition

    def _list(self, name: str) -> list[exp.Expression]:
        clause = self.node.args.get(name)
        if clause is None:
            return []
        extra = [key for key, value in clause.args.items() if value and key != "expressions"]
        if extra:
            raise SqlRefused(f"{name.upper()} … {spoken(extra[0])} is not supported")
        return list(clause.expressions)

    def _group_keys(self, selected: list[tuple[str, exp.Expression, Term]]) -> list[str]:
        self._aggregates = "in GROUP BY"
        keys = [self.term(self._positioned(node, selected)).sql for node in self._list("group")]
        self._aggregates = ""
        return keys

    def _ordered(self, node: exp.Expression, selected: list[tuple[str, exp.Expression, Term]]) -> str:
        descending = " DESC" if node.args.get("desc") else ""
        return f"{self.term(self._positioned(node.this, selected)).sql}{descending} NULLS LAST"

    def _positioned(self, node: exp.Expression, selected: list[tuple[str, exp.Expression, Term]]) -> exp.Expression:
        """``GROUP BY 1`` means the first expression selected."""
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            place = int(node.name)
            if not 1 <= place <= len(selected):
                raise SqlRefused(f"position {place} is not in the select list")
            return selected[place - 1][1]
        return node

    def _check_grouping(self, selected: list[exp.Expression], keys: list[str]) -> None:
        """With an aggregate or GROUP BY, every column must be under an aggregate or in GROUP BY."""
        having = self.node.args.get("having")
        nodes = [*selected, *([having.this] if having else []), *(o.this for o in self._list("order"))]
        if not keys and not any(self._has_aggregate(node) for node in nodes):
            return
        for node in nodes:
            if not (isinstance(node, exp.Literal) and not node.is_string):
                self._check_grouped(node, keys)

    def _has_aggregate(self, node: exp.Expression) -> bool:
        if isinstance(node, exp.Column) and (aliased := self._alias(node)) is not None:
            return self._within(node.name, lambda: self._has_aggregate(aliased))
        return self._is_aggregate(node) or any(self._has_aggregate(child) for child in children_of(node))

    def _check_grouped(self, node: exp.Expression, keys: list[str]) -> None:
        if self._is_aggregate(node) or (not isinstance(node, exp.Interval) and self.term(node).sql in keys):
            return
        if isinstance(node, exp.Column):
            aliased = self._alias(node)
            if aliased is None:
                raise SqlRefused(f"column {node.name} is not under an aggregate function and not in GROUP BY")
            self._within(node.name, lambda: self._check_grouped(aliased, keys))
            return
        for child in children_of(node):
            if not isinstance(child, exp.Interval):
                self._check_grouped(child, keys)

    def _is_aggregate(self, node: exp.Expression) -> bool:
        if isinstance(node, exp.Count | exp.ParameterizedAgg | exp.CombinedAggFunc | exp.AnonymousAggFunc):
            return True
        name = function_name_of(node)
        return name in AGGREGATES or name in PARAMETRIC

    # -- names

    def _alias(self, column: exp.Column) -> exp.Expression | None:
        """What an alias of this SELECT stands for; inside its own definition the name means the column."""
        if column.table or column.name in self._expanding:
            return None
        return self._aliases.get(column.name)

    def _within(self, name: str, work: Callable[[], Found]) -> Found:
        self._expanding.append(name)
        try:
            return work()
        finally:
            self._expanding.pop()

    def _column(self, node: exp.Column) -> Term:
        aliased = self._alias(node)
        if aliased is not None:
            return self._within(node.name, lambda: self.term(aliased))
        if node.args.get("db") or (node.table and node.table != self._table):
            raise SqlRefused(f"unknown table in {text_of(node)}")
        if node.name not in self._types:
            raise SqlRefused(f"unable to find type of column: {node.name}")
        return Term(quoted(node.name), self._types[node.name])

    # -- expressions

    def term(self, node: exp.Expression) -> Term:
        """Rewrite an expression; raises `SqlRefused` for what Analytics Engine does not have."""
        match node:
            case exp.Column():
                return self._column(node)
            case exp.Literal():
                return literal_term(node)
            case exp.Boolean():
                return Term(str(int(node.this)), "UInt8")
            case exp.Paren():
                inner = self.term(node.this)
                return Term(f"({inner.sql})", inner.type)
            case exp.Neg():
                return self._negated(node)
            case exp.And() | exp.Or():
                word = "AND" if isinstance(node, exp.And) else "OR"
                return Term(f"({self._condition(node.this)} {word} {self._condition(node.expression)})", "UInt8")
            case exp.Not():
                return Term(f"(NOT {self._condition(node.this)})", "UInt8")
            case exp.Between():
                return self._between(node)
            case exp.In():
                return self._membership(node)
            case exp.Like() | exp.ILike():
                return self._like(node)
            case exp.Div():
                sides = [self._number(node.this), self._number(node.expression)]
                return Term(f"ae_div({sides[0].sql}, {sides[1].sql})", "Float64")
            case exp.Count():
                return self._count(node)
        if type(node) in COMPARISONS:
            return self._compared(COMPARISONS[type(node)], node.this, node.expression)
        if type(node) in ARITHMETIC:
            return self._arithmetic(node)
        return self._call(node)

    def _number(self, node: exp.Expression) -> Term:
        term = self.term(node)
        if term.type not in NUMBERS:
            raise SqlRefused(f"{text_of(node)} is a {term.type}, but a number is needed")
        return term

    def _condition(self, node: exp.Expression) -> str:
        term = self.term(node)
        if term.type not in NUMBERS:
            raise SqlRefused(f"{text_of(node)} is a {term.type}, but a condition is needed")
        return term.sql

    def _negated(self, node: exp.Neg) -> Term:
        term = self._number(node.this)
        return Term(f"(-{term.sql})", negated_type(term.type, literal=isinstance(node.this, exp.Literal)))

    def _compared(self, operator: str, left: exp.Expression, right: exp.Expression) -> Term:
        a, b = self._alike(left, right)
        return Term(f"({a.sql} {operator} {b.sql})", "UInt8")

    def _alike(self, left: exp.Expression, right: exp.Expression) -> tuple[Term, Term]:
        """Both sides of a comparison; text beside a time is read as a time."""
        a, b = self.term(left), self.term(right)
        if a.type == "DateTime" and is_text(right):
            b = moment_term(right.name, "UTC")
        elif b.type == "DateTime" and is_text(left):
            a = moment_term(left.name, "UTC")
        kinds = {kind_of(a.type), kind_of(b.type)}
        if len(kinds) == 2 and kinds != {"n", "t"}:
            raise SqlRefused(f"cannot compare {text_of(left)} ({a.type}) with {text_of(right)} ({b.type})")
        return a, b

    def _between(self, node: exp.Between) -> Term:
        (value, low), (_, high) = self._alike(node.this, node.args["low"]), self._alike(node.this, node.args["high"])
        return Term(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", "UInt8")

    def _membership(self, node: exp.In) -> Term:
        if not node.expressions:
            raise SqlRefused("IN with a subquery is not supported")
        pairs = [self._alike(node.this, value) for value in node.expressions]
        return Term(f"({pairs[0][0].sql} IN ({', '.join(value.sql for _, value in pairs)}))", "UInt8")

    def _like(self, node: exp.Expression) -> Term:
        text, pattern = self.term(node.this), self.term(node.expression)
        if (text.type, pattern.type) != ("String", "String"):
            raise SqlRefused(f"LIKE needs text on both sides: {text_of(node)}")
        negated = "NOT " if node.args.get("negate") else ""
        return Term(f"({negated}ae_like({text.sql}, {pattern.sql}, {int(isinstance(node, exp.ILike))}))", "UInt8")

    def _arithmetic(self, node: exp.Expression) -> Term:
        operator, left, right = ARITHMETIC[type(node)], node.this, node.expression
        if isinstance(right, exp.Interval) and operator in "+-":
            return self._shifted(left, operator, right)
        a, b = self.term(left), self.term(right)
        if operator in "+-" and a.type == "DateTime" and b.type in NUMBERS - {"Float64"}:
            return Term(f"({a.sql} {operator} {b.sql})", "DateTime")
        if operator == "-" and (a.type, b.type) == ("DateTime", "DateTime"):
            return Term(f"({a.sql} - {b.sql})", "Int32")
        a, b = self._number(left), self._number(right)
        result = arithmetic_type(operator, a.type, b.type)
        if operator == "%" and result == "Float64":  # SQLite's own takes whole numbers only
            return Term(f"ae_mod({a.sql}, {b.sql})", result)
        return Term(f"({a.sql} {operator} {b.sql})", result)

    def _shifted(self, left: exp.Expression, operator: str, interval: exp.Interval) -> Term:
        time = self.term(left)
        if time.type != "DateTime":
            raise SqlRefused(f"{text_of(left)} is a {time.type}: only a DateTime can be moved by an INTERVAL")
        count, unit = interval_of(interval)
        if unit in MONTHS_OF:
            return Term(f"ae_add_months({time.sql}, {operator}{count * MONTHS_OF[unit]})", "DateTime")
        return Term(f"({time.sql} {operator} {count * SECONDS_OF[unit]})", "DateTime")

    def _count(self, node: exp.Count) -> Term:
        if self._aggregates:
            raise SqlRefused(f"aggregate function count is not allowed {self._aggregates}")
        inner = node.this
        if isinstance(inner, exp.Distinct):
            if len(inner.expressions) != 1:
                raise SqlRefused("count(DISTINCT …) takes one expression")
            return Term(f"count(DISTINCT {self._argument(inner.expressions[0]).sql})", "UInt64")
        if inner is not None and not isinstance(inner, exp.Star):
            self._argument(inner)
        return Term("count(*)", "UInt64")

    def _argument(self, node: exp.Expression) -> Term:
        """An argument of an aggregate, which may hold no other aggregate."""
        self._aggregates = "inside another aggregate function"
        term = self.term(node)
        self._aggregates = ""
        return term

    def _call(self, node: exp.Expression) -> Term:
        name, arguments = function_of(node)
        match name:
            case "now":
                return Term(":second", "DateTime")
            case "today":
                return Term("(:second / 86400 * 86400)", "DateTime")
            case "todatetime":
                return self._to_date_time(arguments)
            case "tostartofinterval":
                return self._to_start_of_interval(arguments)
        if name in AGGREGATES or name in PARAMETRIC:
            return self._aggregate(name, arguments)
        if name in SCALARS:
            terms = [self.term(argument) for argument in arguments]
            return called_term(name, SCALARS[name], terms)
        raise SqlRefused(f"unknown function or syntax: {spoken_call(node)}")

    def _aggregate(self, name: str, arguments: list[exp.Expression]) -> Term:
        if self._aggregates:
            raise SqlRefused(f"aggregate function {name} is not allowed {self._aggregates}")
        terms = [self._argument(argument) for argument in arguments]
        if name in PARAMETRIC and not (arguments and isinstance(arguments[0], exp.Literal)):
            raise SqlRefused(f"{name}: the parameter must be a number")
        return called_term(name, (AGGREGATES | PARAMETRIC)[name], terms)

    def _to_date_time(self, arguments: list[exp.Expression]) -> Term:
        if not 1 <= len(arguments) <= 2:
            raise SqlRefused("toDateTime takes a value and perhaps a time zone")
        zone = arguments[1].name if len(arguments) == 2 and is_text(arguments[1]) else "UTC"
        if is_text(arguments[0]):
            return moment_term(arguments[0].name, zone)
        term = self.term(arguments[0])
        if kind_of(term.type) not in "nt":
            raise SqlRefused(f"toDateTime: {text_of(arguments[0])} is a {term.type}; give text in quotes or a number")
        return Term(term.sql if term.type == "DateTime" else f"CAST({term.sql} AS INTEGER)", "DateTime")

    def _to_start_of_interval(self, arguments: list[exp.Expression]) -> Term:
        if len(arguments) < 2 or not isinstance(arguments[1], exp.Interval):
            raise SqlRefused("toStartOfInterval takes a timestamp and an INTERVAL, such as INTERVAL '1' MINUTE")
        term, (count, unit) = self.term(arguments[0]), interval_of(arguments[1])
        if term.type != "DateTime":
            raise SqlRefused(f"toStartOfInterval: {text_of(arguments[0])} is a {term.type}, not a DateTime")
        if unit not in SECONDS_OF or count < 1:
            raise SqlRefused(f"toStartOfInterval: an interval of {count} {unit} is not supported")
        width, shift = count * SECONDS_OF[unit], 3 * 86_400 if unit == "WEEK" else 0  # weeks begin on Monday
        return Term(f"(({term.sql} + {shift}) / {width} * {width} - {shift})", "DateTime")
