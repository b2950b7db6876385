"""Expressions against DuckDB: the same SQL over the same rows gives the same values, null for null.

What DuckDB decides otherwise, and why we do, is in tests of its own below.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from engine.catalog.model import FieldType, Offset
from engine.expressions import (
    Compiled,
    ExpressionError,
    ZeroDenominator,
    compile_derived,
    compile_expression,
)
from engine.expressions.syntax import number_literal

ZONE: Final = "Europe/Amsterdam"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIELDS: Final = {
    "s": FieldType("string"),
    "r": FieldType("string"),
    "i": FieldType("integer"),
    "j": FieldType("integer"),
    "a": FieldType("decimal", 12, 2),
    "b": FieldType("decimal", 6, 4),
    "x": FieldType("number"),
    "ok": FieldType("boolean"),
    "no": FieldType("boolean"),
    "t": FieldType("timestamp"),
    "u": FieldType("timestamp"),
}
POLARS: Final[dict[str, Any]] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": pl.Datetime("us", "UTC"),
}
DUCKDB: Final = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
}


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda unscaled: Decimal(unscaled).scaleb(-scale))


# Around the changes of clocks of 2026 more often than elsewhere.
INSTANTS: Final = st.one_of(
    st.integers(0, 2_000_000_000_000_000),
    st.integers(-7_200, 7_200).map(lambda s: 1_774_746_000_000_000 + s * 1_000_000),  # 2026-03-29T01:00Z
    st.integers(-7_200, 7_200).map(lambda s: 1_792_890_000_000_000 + s * 1_000_000),  # 2026-10-25T01:00Z
).map(lambda us: EPOCH + timedelta(microseconds=us))
TEXTS: Final = st.sampled_from(["", "EU", "eu", "US", "E", "EUX", "a%b", "a_b", "x\ny", "Ünïcode", "50%", "\\", "(EU)"])
NUMBERS: Final = st.one_of(st.sampled_from([0.5, 1.5, 2.5, -0.5, -1.5, 0.0]), st.floats(-1e6, 1e6, allow_nan=False))


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


ROWS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "s": nullable(TEXTS),
            "r": nullable(TEXTS),
            "i": nullable(st.integers(-20, 20)),
            "j": nullable(st.integers(-1_000_000, 1_000_000)),
            "a": nullable(decimals(12, 2)),
            "b": nullable(st.one_of(decimals(3, 4), decimals(6, 4))),
            "x": nullable(NUMBERS),
            "ok": nullable(st.booleans()),
            "no": nullable(st.booleans()),
            "t": nullable(INSTANTS),
            "u": nullable(INSTANTS),
        }
    ),
    min_size=1,
    max_size=8,
)

SAME: Final = [
    # three-valued logic
    "ok AND no",
    "ok OR no",
    "NOT ok",
    "NOT (ok AND no) OR s = 'EU'",
    "ok = no",
    "ok <> TRUE",
    "ok IS TRUE",
    "ok IS NOT TRUE",
    "ok IS FALSE",
    "ok IS NULL OR no IS NOT NULL",
    "s IS NULL",
    "a IS NOT NULL AND b IS NULL",
    # comparisons, also across types
    "i = j",
    "i <> 3",
    "i < a",
    "a >= b",
    "a = 1.5",
    "a > 0.001",
    "x < i",
    "x >= a",
    "x = 0.5",
    "s = r",
    "s < r",
    "s >= 'EU'",
    "t < u",
    "t >= TIMESTAMP '2026-03-29 03:00:00'",
    "t < DATE '2026-10-25'",
    "t BETWEEN '2026-01-01' AND '2026-06-30 12:00:00'",
    "i BETWEEN -5 AND 5",
    "i NOT BETWEEN j AND 5",
    "a BETWEEN b AND 100",
    # lists
    "s IN ('EU', 'US')",
    "s NOT IN ('EU', 'US')",
    "s IN ('EU', NULL)",
    "s NOT IN ('EU', NULL)",
    "s IN (r, 'EU')",
    "i IN (1, 2, 3)",
    "i NOT IN (1, j)",
    "a IN (0.5, 1, 10.25)",
    "i IN (1.0, 2.5)",
    "ok IN (TRUE)",
    # patterns
    "s LIKE 'E%'",
    "s LIKE '%U'",
    "s LIKE '%U%'",
    "s LIKE 'E_'",
    "s LIKE '_'",
    "s LIKE '%'",
    "s LIKE ''",
    "s LIKE 'EU'",
    "s LIKE '%_%'",
    "s LIKE 'x%y'",
    "s LIKE '(EU)'",
    "s LIKE '(%)'",
    "s NOT LIKE 'E%'",
    "s LIKE 'a!_b' ESCAPE '!'",
    "s LIKE '%!%' ESCAPE '!'",
    "s LIKE '\\'",
    # choices
    "CASE WHEN ok THEN i WHEN no THEN j ELSE 0 END",
    "CASE WHEN ok THEN a END",
    "CASE WHEN i > 0 THEN a ELSE i END",
    "CASE s WHEN 'EU' THEN 1 WHEN r THEN 2 ELSE 3 END",
    "CASE WHEN ok THEN a ELSE x END",
    "CASE WHEN ok THEN s ELSE 'other' END",
    "CASE WHEN ok THEN t ELSE u END",
    "CASE WHEN s = 'EU' AND i > 0 THEN ok ELSE NULL END",
    "COALESCE(a, b, 0)",
    "COALESCE(s, r, 'none')",
    "COALESCE(i, j)",
    "COALESCE(x, a)",
    "COALESCE(NULL, i)",
    "NULLIF(i, 3)",
    "NULLIF(i, j)",
    "NULLIF(s, 'EU')",
    "NULLIF(a, b)",
    "NULLIF(a, 0) IS NULL",
    # text
    "LOWER(s)",
    "UPPER(s) = 'EU'",
    # arithmetic
    "i + j",
    "i - j",
    "i * j",
    "-i",
    "a + b",
    "a - b",
    "a * b",
    "a * i",
    "a + i * 2",
    "(a - b) * 3",
    "-a",
    "a * 1.21",
    "a * 0.5 + b",
    "x + i",
    "x * 2",
    "x - a",
    "i % 7",
    "i % 3 = 0",
    "ABS(i)",
    "ABS(a)",
    "ABS(x)",
    "ROUND(a)",
    "ROUND(a, 1)",
    "ROUND(b, 2)",
    "ROUND(a, 2)",
    "ROUND(a * b, 3)",
    "ROUND(i)",
    "ROUND(x)",
    "a / 3",
    "i / 7",
    "x / 4",
    "i / NULLIF(j, 0)",
    "a / NULLIF(b, 0)",
    # time
    "date_trunc('second', t)",
    "date_trunc('minute', t)",
    "date_trunc('hour', t)",
    "date_trunc('day', t)",
    "date_trunc('week', t)",
    "date_trunc('month', t)",
    "date_trunc('quarter', t)",
    "date_trunc('year', t)",
    "extract(year FROM t)",
    "extract(quarter FROM t)",
    "extract(month FROM t)",
    "extract(week FROM t)",
    "extract(day FROM t)",
    "extract(dow FROM t)",
    "extract(isodow FROM t)",
    "extract(doy FROM t)",
    "extract(hour FROM t)",
    "extract(minute FROM t)",
    "extract(second FROM t)",
    "date_part('hour', t) BETWEEN 9 AND 17",
    "date_trunc('day', t) = date_trunc('day', u)",
    "extract(dow FROM t) IN (0, 6)",
]


WITHIN_A_DAY: Final = [f"date_trunc('{unit}', t)" for unit in ("second", "minute", "hour")]


def frame_of(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    columns = {}
    for name, declared in FIELDS.items():
        dtype = pl.Decimal(38, declared.scale) if declared.kind == "decimal" else POLARS[declared.kind]
        columns[name] = pl.Series(name, [row.get(name) for row in rows], dtype=dtype)
    return pl.DataFrame(columns)


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = '{ZONE}'")
    return connection


def in_duckdb(connection: duckdb.DuckDBPyConnection, rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """For each row what DuckDB makes of each of SAME."""
    types = {
        name: f"DECIMAL({declared.precision},{declared.scale})" if declared.kind == "decimal" else DUCKDB[declared.kind]
        for name, declared in FIELDS.items()
    }
    connection.execute(f"CREATE OR REPLACE TABLE events (n INTEGER, {', '.join(f'{n} {t}' for n, t in types.items())})")
    marks = ", ".join(["?"] * (len(types) + 1))
    connection.executemany(
        f"INSERT INTO events VALUES ({marks})",
        [[number, *(row.get(name) for name in types)] for number, row in enumerate(rows)],
    )
    results = [f"epoch_us({sql})" if compiled(sql).type.kind == "timestamp" else sql for sql in SAME]
    return connection.execute(f"SELECT {', '.join(results)} FROM events ORDER BY n").fetchall()


def is_repeated(instant: datetime | None) -> bool:
    """Whether the wall clock shows this time twice: DuckDB truncates the first of the two to the second."""
    local = instant.astimezone(ZoneInfo(ZONE)) if instant is not None else None
    return local is not None and local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def compiled(sql: str) -> Compiled:
    return compile_expression(sql, FIELDS, timezone=ZONE)


def in_polars(sql: str, rows: Sequence[dict[str, Any]]) -> list[Any]:
    expression = compiled(sql)
    values = frame_of(rows).select(expression.expr.alias("value"))["value"]
    kind = expression.type.kind
    assert values.dtype == (pl.Decimal(38, expression.type.scale) if kind == "decimal" else POLARS[kind])
    return list(values.to_physical() if kind == "timestamp" else values)


def same(ours: object, theirs: object) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    if isinstance(ours, float) or isinstance(theirs, float):
        return float(ours) == pytest.approx(float(theirs), rel=1e-12, abs=1e-12)  # type: ignore[arg-type]
    return bool(ours == theirs)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_as_duckdb(database: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    theirs = in_duckdb(database, rows)
    for number, sql in enumerate(SAME):
        for row, mine, values in zip(rows, in_polars(sql, rows), theirs, strict=True):
            if not (sql in WITHIN_A_DAY and is_repeated(row["t"])):
                assert same(mine, values[number]), (sql, row, mine, values[number])


def one(sql: str, **row: Any) -> Any:
    return in_polars(sql, [row])[0]


@pytest.mark.parametrize(
    ("sql", "type_"),
    [
        ("i", FieldType("integer")),
        ("i + j", FieldType("decimal", 20, 0)),
        ("i * j", FieldType("decimal", 38, 0)),
        ("i % 7", FieldType("integer")),
        ("a", FieldType("decimal", 12, 2)),
        ("a + b", FieldType("decimal", 15, 4)),
        ("a * b", FieldType("decimal", 18, 6)),
        ("a * i", FieldType("decimal", 31, 2)),
        ("a / 100", FieldType("decimal", 14, 4)),
        ("a / 3", FieldType("number")),
        ("a / b", FieldType("number")),
        ("a + x", FieldType("number")),
        ("round(a, 1)", FieldType("decimal", 12, 1)),
        ("coalesce(a, i)", FieldType("decimal", 21, 2)),
        ("CASE WHEN ok THEN 1 ELSE 0 END", FieldType("integer")),
        ("s = 'x'", FieldType("boolean")),
        ("lower(s)", FieldType("string")),
        ("date_trunc('day', t)", FieldType("timestamp")),
        ("extract(hour FROM t)", FieldType("integer")),
    ],
)
def test_types_are_known_before_any_row(sql: str, type_: FieldType) -> None:
    assert compiled(sql).type == type_


@given(i=st.integers(-(2**63), 2**63 - 1), j=st.integers(-(2**63), 2**63 - 1))
def test_integers_do_not_overflow(i: int, j: int) -> None:
    assert one("i * j", i=i, j=j) == i * j
    assert one("i + j", i=i, j=j) == i + j
    assert one("i - j - 1", i=i, j=j) == i - j - 1
    assert one("ABS(i)", i=i) == abs(i)
    assert one("-i", i=i) == -i
    expected = None if j == 0 else abs(i) % abs(j) * (-1 if i < 0 else 1)
    assert one("i % j", i=i, j=j) == expected


@given(a=decimals(12, 2), b=decimals(6, 4), i=st.integers(-(2**63), 2**63 - 1))
def test_decimals_are_exact(a: Decimal, b: Decimal, i: int) -> None:
    assert Fraction(one("a * b", a=a, b=b)) == Fraction(a) * Fraction(b)
    assert Fraction(one("a * i - b", a=a, b=b, i=i)) == Fraction(a) * i - Fraction(b)
    assert Fraction(one("a / 8", a=a)) == Fraction(a) / 8
    assert Fraction(one("a / 0.25 + a / 100", a=a)) == Fraction(a) * 4 + Fraction(a) / 100


@pytest.mark.parametrize(
    ("value", "rounded"), [("0.50", 1), ("-0.50", -1), ("1.50", 2), ("2.50", 3), ("-2.50", -3), ("0.49", 0)]
)
def test_halves_are_rounded_away_from_zero(value: str, rounded: int) -> None:
    assert one("ROUND(a)", a=Decimal(value)) == rounded
    assert one("ROUND(x)", x=float(value)) == rounded


def test_a_division_by_zero_is_null() -> None:
    assert one("a / b", a=Decimal(1), b=Decimal(0)) is None
    assert one("i / j", i=1, j=0) is None
    assert one("x / i", x=1.0, i=0) is None
    assert one("i % j", i=1, j=0) is None


def test_numbers_that_cannot_be_summed_are_null() -> None:
    assert one("x * x", x=1e200) is None
    assert one("x * x", x=2.0**40) is None
    assert one("x * x", x=2.0**39) == 2.0**78
    assert one("x", x=0.1) == 0.1


def test_time_is_local_to_the_zone_and_clocks_change() -> None:
    summer = datetime(2026, 3, 29, 10, tzinfo=UTC)
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert EPOCH + timedelta(microseconds=one("date_trunc('day', t)", t=summer)) == start
    assert one("extract(hour FROM t)", t=summer) == 12
    twice = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
    assert [one("extract(hour FROM t)", t=t) for t in twice] == [2, 2]
    hours = [one("date_trunc('hour', t)", t=t) for t in twice]
    assert hours[1] - hours[0] == 3_600_000_000


def test_a_day_whose_midnight_the_clocks_skip_starts_after_the_gap() -> None:
    expression = compile_expression("date_trunc('day', t)", FIELDS, timezone="Africa/Cairo")
    noon = datetime(2026, 4, 24, 12, tzinfo=UTC)  # from 00:00 to 01:00 local
    (start,) = frame_of([{"t": noon}]).select(expression.expr.alias("t"))["t"]
    assert start == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_a_timestamp_without_an_offset_is_local() -> None:
    local = compile_expression("t >= '2026-07-01'", FIELDS, timezone="America/New_York")
    assert local.canonical == '(>= "t" timestamp 2026-07-01T04:00:00Z)'
    given_offset = compile_expression("t >= '2026-07-01T00:00:00+02:00'", FIELDS, timezone="America/New_York")
    assert given_offset.canonical == '(>= "t" timestamp 2026-06-30T22:00:00Z)'


def test_expressions_work_within_a_group_by() -> None:
    frame = frame_of([{"i": n, "a": Decimal(n), "t": EPOCH + timedelta(hours=n), "ok": n % 2 == 0} for n in range(10)])
    value = compiled("a * extract(hour FROM t)").expr
    summed = frame.group_by("ok").agg(value.filter(compiled("i > 3").expr).sum()).sort("ok")
    assert summed["a"].to_list() == [5 * 6 + 7 * 8 + 9 * 10, 4 * 5 + 6 * 7 + 8 * 9]


@pytest.mark.parametrize(
    ("sql", "same_as"),
    [
        ("s='EU'", " s  =  'EU' "),
        ("s = 'EU' and ok", "(s = 'EU') AND (ok)"),
        ("a <> 1", "a != 1"),
        ("CASE WHEN ok THEN 1 END", "case when ok then 1 else null end"),
        ("i between 1 and 5", "i >= 1 AND i <= 5"),
        ("NOT s LIKE 'x'", "s NOT LIKE 'x'"),
        ('"s" IS NULL', "s is null"),
    ],
)
def test_one_canonical_form_for_all_spellings(sql: str, same_as: str) -> None:
    assert compiled(sql).canonical == compiled(same_as).canonical


def test_canonical_forms_tell_apart_what_differs() -> None:
    assert compiled("a * 2").canonical != compiled("a * 2.0").canonical
    assert compiled("s = 'eu'").canonical != compiled("s = 'EU'").canonical
    elsewhere = compile_expression("extract(hour FROM t)", FIELDS, timezone="Asia/Tokyo")
    assert elsewhere.canonical != compiled("extract(hour FROM t)").canonical


def test_canonical_forms_do_not_change_between_versions() -> None:
    """State is found again by them."""
    sql = "CASE WHEN s IN ('a', 'b') AND NOT ok THEN coalesce(a, 0) * 2 ELSE round(abs(b), 1) END"
    assert compiled(sql).canonical == (
        """(case (and (in "s" 'a' 'b') (not "ok")) (* (coalesce "a" 0) 2) (round (abs "b") 1))"""
    )
    assert compiled("date_trunc('day', t) > '2026-01-01'").canonical == (
        '(> (date_trunc day "t" Europe/Amsterdam) timestamp 2025-12-31T23:00:00Z)'
    )


def test_columns_are_those_that_are_read() -> None:
    assert compiled("CASE WHEN ok THEN a ELSE b END").columns == {"ok", "a", "b"}


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("", "the expression is empty", ""),
        ("amuont > 1", 'unknown field "amuont"', "fields are: a, b, i, j, no, ok, r, s, t, u, x"),
        ("S = 'x'", 'unknown field "S"', 'did you mean "s"?'),
        ("s = EU", 'unknown field "EU"', "text is written in single quotes: 'EU'"),
        ("s = 5", 'cannot compare "s" (string) and 5 (integer)', "text is written in single quotes: '5'"),
        ("i = NULL", "a comparison with NULL is never true", "write IS NULL or IS NOT NULL"),
        ("i * j * i", "i * j * i may need 57 digits, more than the 38 of a decimal", None),
        ("sum(a)", "SUM cannot stand in an expression", None),
        ("a / 0", "division by zero", ""),
        ("1 + 1", "the expression reads no field", None),
        ("a; a", "more than one expression", None),
        ("a -- all", "a comment within an expression", None),
        ("a.b", "a.b: fields have no dots", None),
        ("t > 'soon'", "'soon' is not a timestamp", None),
        ("date_trunc('decade', t)", "date_trunc knows no unit decade", None),
        ("s LIKE 'a!b' ESCAPE '!'", "in the pattern 'a!b', ! escapes nothing", ""),
        ("s ILIKE 'x'", "ILIKE is not part of the catalog's expressions", None),
        ("s IN (SELECT 1)", None, None),
        ("date_trunc('day', t, 'Asia/Tokyo')", "date_trunc takes a unit and a timestamp", None),
        ("@", "an argument is missing", None),
        ("ROUND(a, 1, 2)", None, None),
        ("LOWER(s, r)", None, None),
        ("s || r", "|| is not part of the catalog's expressions", None),
        ("cast(a AS DOUBLE)", "casts are not part of the catalog's expressions", None),
        ("CASE WHEN a THEN 1 END", '"a" is a decimal where a condition is needed', None),
        ("lower(a)", 'LOWER needs text, "a" is a decimal', ""),
        ("round(a, i)", "ROUND takes a whole number from 0 to 12 as its second argument", ""),
        ("coalesce(NULL, NULL) = 1", "a comparison with NULL is never true", None),
        ("(((", None, None),
        ("a +", None, None),
        ("'open", None, None),
        ("a > 1e", "1e is not a number", None),
        ("a OVER ()", None, None),
        ("*", None, None),
        ("?", None, None),
        ("(" * 2_000 + "a" + ")" * 2_000, None, None),
        ("NOT " * 2_000 + "ok", None, None),
        ("a" + " + a" * 2_000, None, None),
        ("a" * 10_001, "the expression has 10,001 characters, more than 10,000", ""),
    ],
)
def test_what_is_refused(sql: str, message: str | None, hint: str | None) -> None:
    with pytest.raises(ExpressionError) as refused:
        compiled(sql)
    if message is not None:
        assert refused.value.message == message
    if hint is not None:
        assert refused.value.hint == hint
    assert "\n" not in refused.value.message
    assert "\x1b" not in refused.value.message


@pytest.mark.parametrize(
    ("written", "exact"),
    [("1e30", 10**30), ("12e36", 12 * 10**36), ("0e5", 0), ("100e-2", Decimal("1.00")), ("1" * 38, int("1" * 38))],
)
def test_a_number_is_what_is_written(written: str, exact: int | Decimal) -> None:
    assert number_literal(exp.Literal.number(written)) == exact


@given(st.text(alphabet="abijstx01 .,()'\"+-*/%=<>!|&?:;[]{}@\nANDORNTLIKE", max_size=60))
def test_nothing_but_an_expression_error_is_raised(sql: str) -> None:
    with suppress(ExpressionError):
        compiled(sql)
    with suppress(ExpressionError):
        compile_derived(sql, ["a", "b"])


# ---- derived expressions

DERIVED: Final = [
    "(a - b) / NULLIF(a, 0)",
    "a + b * 2 - 1",
    "-a",
    "ROUND(a, 1)",
    "ROUND(a)",
    "ABS(a - b)",
    "COALESCE(a, b, 0)",
    "CASE WHEN a > b THEN a WHEN a = b THEN 0 ELSE b END",
    "CASE a WHEN 1 THEN 10 WHEN b THEN 20 END",
    "CASE WHEN a IS NULL OR NOT b > 0 THEN 1 ELSE 2 END",
    "CASE WHEN a BETWEEN b AND 10 THEN 1 ELSE 0 END",
    "CASE WHEN a NOT BETWEEN 0 AND b THEN 1 ELSE 0 END",
    "CASE WHEN a IN (1, 2, b) THEN 1 ELSE 0 END",
    "CASE WHEN a NOT IN (1, NULLIF(b, 2)) THEN 1 ELSE 0 END",
    "CASE WHEN (a > 1) IS TRUE THEN 1 ELSE 0 END",
    "CASE WHEN a <> b AND (a < 5 OR b >= 2) THEN a * b END",
]


@pytest.mark.parametrize("sql", DERIVED)
@settings(max_examples=30, deadline=None)
@given(a=nullable(decimals(4, 2)), b=nullable(decimals(4, 2)))
def test_derived_as_duckdb(database: duckdb.DuckDBPyConnection, sql: str, a: Decimal | None, b: Decimal | None) -> None:
    values = {("a", None): None if a is None else Fraction(a), ("b", None): None if b is None else Fraction(b)}
    ours = compile_derived(sql, ["a", "b"]).evaluate(values)
    (theirs,) = database.execute(
        f"SELECT {sql} FROM (SELECT CAST(? AS DECIMAL(6,2)) AS a, CAST(? AS DECIMAL(6,2)) AS b)", [a, b]
    ).fetchall()[0]
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert float(ours) == pytest.approx(float(theirs), rel=1e-12)


def test_terms_are_metrics_and_metrics_of_earlier_windows() -> None:
    derived = compile_derived("revenue / revenue@30d + cost@1 month - revenue", ["revenue", "cost"])
    assert derived.terms == (
        ("revenue", None),
        ("revenue", Offset(30, "d")),
        ("cost", Offset(1, "month")),
    )
    values = {term: Fraction(number) for number, term in enumerate(derived.terms, 4)}
    assert derived.evaluate(values) == Fraction(4, 5) + 6 - 4


def test_a_zero_denominator_is_not_null_but_says_so() -> None:
    derived = compile_derived("a / b", ["a", "b"])
    with pytest.raises(ZeroDenominator):
        derived.evaluate({("a", None): Fraction(1), ("b", None): Fraction(0)})
    assert derived.evaluate({("a", None): None, ("b", None): Fraction(0)}) is None
    guarded = compile_derived("CASE WHEN b > 0 THEN a / b END", ["a", "b"])
    assert guarded.evaluate({("a", None): Fraction(1), ("b", None): Fraction(0)}) is None


def test_whether_a_result_may_need_rounding() -> None:
    assert compile_derived("a / b").divides
    assert compile_derived("a / 3").divides
    assert not compile_derived("a / 8 * b - 0.1").divides


@given(a=st.fractions(), b=st.fractions())
def test_fractions_stay_exact(a: Fraction, b: Fraction) -> None:
    derived = compile_derived("(a - b) * 3 / 7 + a", ["a", "b"])
    assert derived.evaluate({("a", None): a, ("b", None): b}) == (a - b) * 3 / 7 + a


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("revenu", 'unknown metric "revenu"'),
        ("1 + 1", "the expression names no metric"),
        ("revenue > 1", "the expression gives true or false, not a number"),
        ("NULL", "the expression gives null, not a number"),
        ("revenue / 0", "division by zero"),
        ("sum(revenue)", "SUM cannot stand in an expression"),
        ("revenue@", "@ without a metric before and an offset after it"),
        ("revenue = NULL", "a comparison with NULL is never true"),
        ("CASE WHEN revenue THEN 1 END", '"revenue" is a number where a condition is needed'),
        ("upper(revenue)", "UPPER is not part of the catalog's expressions"),
        ("'a'", "text 'a' in an expression over metrics"),
    ],
)
def test_what_is_refused_of_derived(sql: str, message: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_derived(sql, ["revenue", "cost"])
    assert refused.value.message == message
