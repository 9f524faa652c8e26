"""SQL as Analytics Engine has it, generated: every statement names its order, so that two engines can be compared."""

from __future__ import annotations

import random
from dataclasses import dataclass

FIRST, LAST = "2026-11-23 01:00:00", "2026-11-23 01:20:00"
UNIQUE = "double4"
"""A column without ties."""


@dataclass
class Writer:
    """Writes one statement after the other."""

    rng: random.Random

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def number(self, depth: int = 2) -> str:
        plain = ("double1", "double2", "double3", "_sample_interval", "length(blob2)", "toMinute(timestamp)")
        if depth == 0:
            return self.pick(*plain, "2", "0.5", "100")
        inner, other = self.number(depth - 1), self.number(depth - 1)
        return self.pick(
            *plain,
            f"({inner} + {other})",
            f"({inner} - {other})",
            f"({inner} * {other})",
            f"{inner} / (abs({other}) + 1)",
            f"intDiv({self.pick('_sample_interval', 'toUnixTimestamp(timestamp)')}, {self.pick('2', '7', '60')})",
            f"{self.pick('_sample_interval', 'double1', 'double3')} % {self.pick('2', '3', '1.5')}",
            f"if({self.condition(0)}, double1, {self.pick('double2', '0', '_sample_interval')})",
            f"round(double1, {self.pick('0', '1')})",
            "floor(double1)",
            "ceil(double1)",
            f"abs({inner})",
            "pow(double3, 2)",
            "log(double1 + 1)",
            "toUInt8(double2 / 10)",
            "toUInt32(double1)",
            f"{self.pick('bitAnd', 'bitOr', 'bitXor')}(_sample_interval, 6)",
            f"position(blob2, '{self.pick('a', '2', 'z')}')",
            f"{self.pick('toHour', 'toMinute', 'toSecond', 'toDayOfWeek', 'toYear', 'toMonth')}(timestamp)",
        )

    def text(self) -> str:
        return self.pick(
            "blob1",
            "blob2",
            "blob3",
            "lower(blob2)",
            "upper(blob1)",
            f"substring(blob2, {self.pick('1', '2', '-2')}, {self.pick('1', '3')})",
            "format('{}/{}', blob1, blob2)",
            f"formatDateTime(timestamp, '{self.pick('%H:%i', '%Y-%m-%d', '%H')}')",
            "if(blob1 = 'native', blob1, 'rest')",
        )

    def time(self) -> str:
        interval = f"INTERVAL '{self.pick('1', '2', '5', '15')}' {self.pick('MINUTE', 'HOUR', 'SECOND')}"
        return self.pick(
            f"toStartOfInterval(timestamp, {interval})",
            f"toStartOfInterval(timestamp, INTERVAL '{self.pick('1', '3')}' MINUTE)",
            f"{self.pick('toStartOfMinute', 'toStartOfFiveMinutes', 'toStartOfTenMinutes', 'toStartOfHour')}(timestamp)",
            f"toStartOfInterval(timestamp, {interval}) {self.pick('+', '-')} INTERVAL '{self.pick('1', '40')}' MINUTE",
        )

    def condition(self, depth: int = 2) -> str:
        plain = (
            f"double2 {self.pick('>=', '>', '<', '=', '!=')} {self.pick('500', '200', '404')}",
            f"blob1 = '{self.pick('native', 'proxy', 'its')}'",
            f"blob1 {self.pick('IN', 'NOT IN')} ('native', '{self.pick('proxy', 'nobody')}')",
            f"blob2 {self.pick('LIKE', 'NOT LIKE')} '{self.pick('B2%', '%2_', '%a%')}'",
            f"double1 BETWEEN {self.pick('0', '50')} AND {self.pick('200', '400')}",
            f"timestamp {self.pick('>=', '<')} toDateTime('2026-11-23 01:{self.pick('05', '10', '15')}:00')",
            f"{self.pick('startsWith', 'endsWith')}(blob2, '{self.pick('B', 'a')}')",
            f"{self.pick('', 'NOT ')}empty(blob3)",
        )
        if depth == 0:
            return self.pick(*plain)
        inner, other = self.condition(depth - 1), self.condition(depth - 1)
        return self.pick(*plain, f"({inner} AND {other})", f"({inner} OR {other})", f"NOT ({inner})")

    def aggregate(self) -> str:
        number, condition = self.number(1), self.condition(1)
        return self.pick(
            "count()",
            f"count(DISTINCT {self.text()})",
            "sum(_sample_interval)",
            f"sum({number})",
            f"sumIf(_sample_interval, {condition})",
            f"sumIf({number}, {condition})",
            f"countIf({condition})",
            f"avg({number})",
            "sum(toUnixTimestamp(timestamp))",
            f"avgIf({number}, {condition})",
            f"{self.pick('min', 'max')}({self.pick('double1', 'blob2', 'timestamp', number)})",
            f"{self.pick('argMin', 'argMax')}({self.pick('blob2', 'double1')}, {UNIQUE})",
            f"quantileExactWeighted({self.pick('0.5', '0.9', '0.95', '0.99', '0.999')})(double1, _sample_interval)",
            f"sumIf(_sample_interval, {condition}) / sum(_sample_interval)",
            "sum(_sample_interval * double1) / sum(_sample_interval)",
        )

    def statement(self) -> str:
        return self.rng.choices((self.grouped, self.overall, self.rows, self.nested), (6, 2, 2, 1))[0]()

    def grouped(self) -> str:
        keys = self.rng.sample((self.time(), self.text(), "blob1", "_sample_interval % 3"), self.rng.randint(1, 2))
        named = [f"{key} AS k{n}" for n, key in enumerate(keys)]
        values = [f"{self.aggregate()} AS v{n}" for n in range(self.rng.randint(1, 4))]
        names = ", ".join(f"k{n}" for n in range(len(keys)))
        having = f" HAVING count() > {self.pick('3', '20')}" if self.rng.random() < 0.3 else ""
        order = ", ".join(f"k{n}{self.pick('', ' DESC')}" for n in range(len(keys)))
        return (
            f"SELECT {', '.join(named + values)} FROM made{self.where()} GROUP BY {names}{having} ORDER BY {order}"
            f"{self.cut()}"
        )

    def overall(self) -> str:
        values = [f"{self.aggregate()} AS v{n}" for n in range(self.rng.randint(1, 5))]
        return f"SELECT {', '.join(values)} FROM made{self.where()}"

    def rows(self) -> str:
        values = [self.number(), self.text(), self.time(), self.condition(1)]
        named = [f"{value} AS v{n}" for n, value in enumerate(values)]
        return f"SELECT {', '.join(named)} FROM made{self.where()} ORDER BY {UNIQUE}{self.pick('', ' DESC')} LIMIT 40"

    def nested(self) -> str:
        inner = f"SELECT {self.time()} AS t, blob1 AS c, {self.aggregate()} AS v FROM made{self.where()} GROUP BY t, c"
        return f"SELECT c, count() AS n, {self.pick('min', 'max')}(v) AS v FROM ({inner}) GROUP BY c ORDER BY c"

    def where(self) -> str:
        return f" WHERE {self.condition()}" if self.rng.random() < 0.7 else ""

    def cut(self) -> str:
        offset = self.pick("", " OFFSET 2") if self.rng.random() < 0.5 else ""
        return f" LIMIT {self.pick('5', '50')}{offset}" if self.rng.random() < 0.4 else ""


def generated(count: int, seed: int = 3) -> list[str]:
    """``count`` different statements."""
    writer, found = Writer(random.Random(seed)), dict[str, None]()
    while len(found) < count:
        found[writer.statement()] = None
    return list(found)


REFUSED = {
    "JOIN": "SELECT a.blob1 FROM made AS a JOIN made AS b ON a.double4 = b.double4",
    "a LEFT JOIN": "SELECT a.blob1 FROM made AS a LEFT JOIN other AS b USING (double4)",
    "UNION": "SELECT blob1 FROM made UNION ALL SELECT blob1 FROM made",
    "INTERSECT": "SELECT blob1 FROM made INTERSECT SELECT blob1 FROM made",
    "WITH": "WITH x AS (SELECT blob1 FROM made) SELECT blob1 FROM x",
    "DISTINCT": "SELECT DISTINCT blob1 FROM made",
    "quantileIf": "SELECT quantileIf(0.9)(double1, blob1 = 'native') FROM made",
    "quantileExactWeightedIf": "SELECT quantileExactWeightedIf(0.9)(double1, _sample_interval, double2 > 1) FROM made",
    "quantile": "SELECT quantile(0.9)(double1) FROM made",
    "quantiles": "SELECT quantiles(0.5, 0.9)(double1) FROM made",
    "uniq": "SELECT uniq(blob1) FROM made",
    "the median": "SELECT median(double1) FROM made",
    "groupArray": "SELECT groupArray(blob1) FROM made",
    "anyIf": "SELECT anyIf(blob1, double2 > 1) FROM made",
    "stddevPop": "SELECT stddevPop(double1) FROM made",
    "a subquery in IN": "SELECT count() FROM made WHERE blob1 IN (SELECT blob1 FROM made)",
    "a scalar subquery": "SELECT (SELECT count() FROM made) AS n FROM made",
    "a window": "SELECT sum(double1) OVER (PARTITION BY blob1) FROM made",
    "LIMIT BY": "SELECT blob1 FROM made LIMIT 1 BY blob1",
    "PREWHERE": "SELECT blob1 FROM made PREWHERE double1 > 1",
    "FINAL": "SELECT blob1 FROM made FINAL",
    "an ARRAY JOIN": "SELECT x FROM made ARRAY JOIN [1, 2] AS x",
    "if: there is no common type": "SELECT if(double1 > 1, double1, length(blob1)) AS x FROM made",
    "an array": "SELECT [1, 2] AS x FROM made",
    "ROLLUP": "SELECT blob1, count() FROM made GROUP BY ROLLUP(blob1)",
    "TOTALS": "SELECT blob1, count() FROM made GROUP BY blob1 WITH TOTALS",
    "SETTINGS": "SELECT blob1 FROM made SETTINGS max_threads = 1",
    "a table function": "SELECT number FROM numbers(3)",
    "a system table": "SELECT name FROM system.tables",
    "no FROM": "SELECT 1",
    "two statements": "SELECT count() FROM made; SELECT count() FROM made",
    "a bare interval": "SELECT count() FROM made WHERE timestamp > toDateTime('2026-11-23 01:00:00') - INTERVAL 5 MINUTE",
    "an ISO time": "SELECT count() FROM made WHERE timestamp > toDateTime('2026-11-23T01:00:00Z')",
    "parseDateTimeBestEffort": "SELECT parseDateTimeBestEffort('2026-11-23T01:00:00Z') AS t FROM made",
    "DROP": "DROP TABLE made",
    "INSERT": "INSERT INTO made (double1) VALUES (1)",
    "ALTER": "ALTER TABLE made DELETE WHERE 1",
    "an unknown column": "SELECT blob21 FROM made",
    "an unknown dataset": "SELECT count() FROM nowhere",
}
"""What Analytics Engine does not have, by the word that the refusal must hold (or that says it here)."""
