"""What every closed window of every KPI must say, computed by SQL over the whole table of events at once.

Shares nothing with the engine but the catalog's model: windows are SQL over the local calendar, aggregates are
window frames over exact DECIMAL and HUGEINT columns, and only divisions are finished in Python. Events must be the
accepted ones, each once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import duckdb

from engine.catalog.model import Catalog, FieldType, Kpi, Metric, Offset, OffsetUnit, Source
from tests.oracle.finishing import DOUBLE_UNITS, exact, rounded, rounded_root, sample_variance
from tests.oracle.formula import Formula, Term, ZeroDenominator
from tests.oracle.spans import create_shifted, create_spans, template

Number = int | Decimal | Fraction | None
Kind = Literal["integer", "decimal", "number", "other"]
# samples, value, low, high, reason
Finished = tuple[int, Decimal | None, Decimal | None, Decimal | None, str | None]

_PER_US = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000}
_UNIT_US = {"s": "* 1000000", "ms": "* 1000", "us": "", "ns": "// 1000"}
# Summed as doubles in units of 2**-40, so any faithful rendering of the sum lies this close.
_DOUBLE_SLACK = Fraction(5, 10**12)
_MANY_ROWS = 15_000_000
_DEFAULT_ACCURACY = {"percentile": Decimal("0.01"), "median": Decimal("0.01"), "count_distinct": Decimal("0.02")}


class Answer(NamedTuple):
    """One expected value. ``low``/``high`` bound it where a sketch or a double is behind it, else None and ``value``
    is exact.

    ``compared`` is None where nothing need be said: no ``compare``, or no event in the compared window.
    """

    kpi: str
    dims: tuple[str | None, ...]
    start_us: int
    end_us: int
    samples: int
    value: Decimal | None
    low: Decimal | None
    high: Decimal | None
    reason: str | None
    compared: Compared | None


class Compared(NamedTuple):
    value: Decimal | None
    low: Decimal | None
    high: Decimal | None
    change: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """One metric over all expected windows, in (series, window) order."""

    samples: list[int]
    values: list[Number]
    slack: Fraction = Fraction(0)  # relative, of values whose size is at least slack_from
    slack_from: int = 0

    def slack_at(self, index: int) -> Fraction:
        value = self.values[index]
        if self.slack == 0 or value is None or abs(Fraction(value)) < self.slack_from:
            return Fraction(0)
        return self.slack


class Oracle:
    """Answers for one catalog over one set of events.

    ``events`` names for each source a Parquet file, or holds an Arrow table, with one column per declared field (the
    outermost name of its path) and optionally ``_partition`` and ``_offset`` (they break ties of first and last;
    without them the row order does). A timestamp may be text, a timestamp with or without zone, or a number in the
    field's unit.
    """

    def __init__(self, catalog: Catalog, events: Mapping[str, object], *, threads: int = 2) -> None:
        self.catalog = catalog
        self._connection = duckdb.connect(config={"threads": threads, "temp_directory": ""})
        self._connection.execute("set TimeZone = 'UTC'")
        self._connection.execute(template("zones"))
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._facts: dict[str, str] = {}  # metric -> the statement that made its facts table
        for name, given in events.items():
            self._load(catalog.sources[name], given)

    def latest_us(self, source: str) -> int:
        """The highest event time of ``source``, microseconds since the epoch."""
        row = self._one(f'select max(_time) from "source_{source}"')
        return int(row[0])

    def watermark_us(self, kpi: Kpi) -> int:
        """Up to where ``kpi``'s windows are closed by the events alone: the lowest watermark of its sources."""
        sources = {self.catalog.metrics[metric].source for metric, _ in self._terms(kpi)}
        return min(self.latest_us(name) - self.catalog.sources[name].watermark.delay_us for name in sources)

    def answers(self, names: Sequence[str] | None = None, *, closed_upto_us: int | None = None) -> Iterator[Answer]:
        """All expected values of the KPIs (default: all of the catalog), of windows that end at or before
        ``closed_upto_us`` (default: the KPI's watermark)."""
        for kpi in self.catalog.kpis.values():
            if names is None or kpi.name in names:
                yield from self.answers_of(kpi, self.watermark_us(kpi) if closed_upto_us is None else closed_upto_us)

    def answers_of(self, kpi: Kpi, closed_upto_us: int) -> list[Answer]:
        terms = self._terms(kpi)
        metrics = list(dict.fromkeys(metric for metric, _ in terms))
        for metric in metrics:
            self._create_facts(kpi, self.catalog.metrics[metric])
        current = [metric for metric, offset in terms if not offset] or metrics
        lowest = self._one(
            " union all ".join(f'select min(t) as t from "facts_{m}"' for m in current) + " order by t limit 1"
        )[0]
        if lowest is None:
            return []
        create_spans(self._connection, "spans", kpi.window, kpi.calendar, int(lowest), closed_upto_us)
        self._create_series(kpi, current)
        for metric in current:
            self._create_numbered(kpi, metric, "spans", f"numbered_{metric}_now")
        stretches = " union all ".join(
            f'select distinct series, first_k, last_k from "numbered_{metric}_now"' for metric in dict.fromkeys(current)
        )
        self._connection.execute(template("live", stretches=stretches))
        windows = self._connection.execute(
            f"select {', '.join(f'd{i}' for i in range(len(kpi.group_by))) or '0'}, window_start, window_end "
            "from live join series using (series) order by series, k"
        ).fetchall()
        finished = self._finished(kpi, terms, "spans", "now")
        compared: Sequence[Compared | None] = [None] * len(windows)
        if kpi.compare is not None:
            create_shifted(self._connection, "spans_before", "spans", kpi.window, kpi.compare, kpi.calendar)
            before = self._finished(kpi, terms, "spans_before", "before")
            compared = [_compared(now, then) for now, then in zip(finished, before, strict=True)]
        width = len(kpi.group_by)
        return [
            Answer(kpi.name, tuple(row[:width]), row[-2], row[-1], *value, comparison)
            for row, value, comparison in zip(windows, finished, compared, strict=True)
        ]

    # -- from the catalog to SQL

    def _load(self, source: Source, given: object) -> None:
        events: object
        if isinstance(given, (str, bytes)) or hasattr(given, "__fspath__"):
            events = f"'{given}'"
        else:
            self._connection.register(f"arrow_{source.name}", given)
            events = f'"arrow_{source.name}"'
        columns = {row[0]: row[1] for row in self._connection.execute(f"describe select * from {events}").fetchall()}
        fields = {
            name: _field(field.type, field.path, field.unit, columns, source.timezone)
            for name, field in source.fields.items()
        }
        if source.event_time is None:
            raise NotImplementedError(f"{source.name}: event time from the envelope")
        self._connection.execute(
            template(
                "source",
                table=f'"source_{source.name}"',
                fields=", ".join(f'{text} as "{name}"' for name, text in fields.items()),
                event_time=f"epoch_us({fields[source.event_time]})",
                partition="_partition" if "_partition" in columns else "0",
                position="_offset" if "_offset" in columns else "row_number() over ()",
                events=events,
            )
        )
        self._connection.execute(
            f'create or replace temp table "times_{source.name}" as '
            f'select distinct _time as t from "source_{source.name}"'
        )

    def _terms(self, kpi: Kpi) -> tuple[Term, ...]:
        if kpi.type == "simple":
            return ((str(kpi.metric), ""),)
        if kpi.type == "ratio":
            return ((str(kpi.numerator), ""), (str(kpi.denominator), ""))
        return Formula(str(kpi.expr)).terms

    def _kind(self, source: Source, expr: str) -> Kind:
        """The kind of values of ``expr`` over ``source``."""
        if (known := self._kinds.get((source.name, expr))) is not None:
            return known
        sql_type = str(self._one(f'describe select {expr} from "source_{source.name}"')[1])
        kind: Kind = "other"
        if sql_type.startswith("DECIMAL"):
            kind = "decimal"
        elif sql_type in ("DOUBLE", "FLOAT"):
            kind = "number"
        elif sql_type.endswith("INT") or sql_type == "INTEGER":
            kind = "integer"
        self._kinds[source.name, expr] = kind
        return kind

    def _create_facts(self, kpi: Kpi, metric: Metric) -> None:
        source = self.catalog.sources[metric.source]
        value = "1"
        if metric.expr is not None:
            kind = self._kind(source, metric.expr)
            value = metric.expr
            if metric.agg in ("sum", "average", "variance", "stddev", "rate"):
                if kind == "number":
                    value = f"cast(round_even(({metric.expr}) * {DOUBLE_UNITS}.0::double, 0) as hugeint)"
                elif kind == "integer":
                    value = f"cast(({metric.expr}) as hugeint)"
        dimensions = ", ".join(f'cast("{name}" as varchar) as d{i}' for i, name in enumerate(kpi.group_by))
        ordered = "row_number() over (order by _time, _partition, _offset)" if metric.agg in ("first", "last") else "0"
        statement = template(
            "facts",
            table=f'"facts_{metric.name}"',
            source=f'"source_{source.name}"',
            dimensions=dimensions or "0 as undivided",
            value=value,
            rank=ordered,
            filters=") and (".join(text for text in (metric.filter, kpi.where) if text) or "true",
        )
        if self._facts.get(metric.name) == statement:
            return
        self._facts[metric.name] = statement
        self._connection.execute(f"set TimeZone = '{source.timezone}'")
        self._connection.execute(statement)
        self._connection.execute("set TimeZone = 'UTC'")

    def _create_series(self, kpi: Kpi, metrics: Sequence[str]) -> None:
        columns = ", ".join(f"d{i}" for i in range(len(kpi.group_by))) or "undivided"
        combinations = " union ".join(f'select distinct {columns} from "facts_{metric}"' for metric in metrics)
        self._connection.execute(template("series", combinations=combinations))

    def _create_numbered(self, kpi: Kpi, metric: str, spans: str, table: str) -> None:
        times = f'"times_{self.catalog.metrics[metric].source}"'
        self._connection.execute(template("moments", table="moments", times=times, spans=f'"{spans}"'))
        same = " and ".join(f"facts.d{i} is not distinct from series.d{i}" for i in range(len(kpi.group_by)))
        self._connection.execute(
            template("numbered", table=f'"{table}"', facts=f'"facts_{metric}"', same_dimensions=same or "true")
        )

    # -- from SQL to numbers

    def _finished(self, kpi: Kpi, terms: tuple[Term, ...], spans: str, moment: str) -> list[Finished]:
        """(samples, value, low, high, reason) of each expected window, its bounds taken from ``spans``."""
        measured: dict[Term, Measures] = {}
        for metric, offset in terms:
            bounds = spans
            if offset:
                bounds = f"{spans}_{offset.replace(' ', '_')}"
                create_shifted(self._connection, f'"{bounds}"', spans, kpi.window, _offset(offset), kpi.calendar)
            numbered = f"numbered_{metric}_{moment}"
            if offset or moment != "now":
                numbered = f"numbered_{metric}_{bounds}"
                self._create_numbered(kpi, metric, bounds, numbered)
            measured[metric, offset] = self._measure(self.catalog.metrics[metric], numbered, bounds)
        if kpi.type == "simple":
            return _simple(measured[terms[0]])
        if kpi.type == "ratio":
            return _composed(terms, measured, _ratio(terms), divides=True)
        formula = Formula(str(kpi.expr))
        rational = any(self.catalog.metrics[name].agg in ("average", "variance", "stddev", "rate") for name, _ in terms)
        return _composed(terms, measured, formula.evaluate, divides=formula.divides or rational)

    def _measure(self, metric: Metric, numbered: str, spans: str) -> Measures:
        source = self.catalog.sources[metric.source]
        kind: Kind = "integer" if metric.expr is None else self._kind(source, metric.expr)
        fill: Decimal | None = metric.fill_nulls_with

        def filled(values: list[Number]) -> list[Number]:
            return values if fill is None else [fill if value is None else value for value in values]

        unit = DOUBLE_UNITS if kind == "number" else 1
        accuracy = Fraction(metric.accuracy or _DEFAULT_ACCURACY.get(metric.agg, Decimal(0)))
        match metric.agg:
            case "count":
                rows = self._framed(numbered, spans, [])
                return Measures([n for n, *_ in rows], filled([n for n, *_ in rows]))
            case "sum":
                rows = self._framed(numbered, spans, [("sum(x)", "sum")])
                if kind == "number":
                    sums: list[Number] = [None if total is None else Fraction(total, unit) for _, total in rows]
                    return Measures([n for n, _ in rows], filled(sums), _DOUBLE_SLACK)
                return Measures([n for n, _ in rows], filled([total for _, total in rows]))
            case "average":
                rows = self._framed(numbered, spans, [("sum(x)", "sum")])
                return Measures(
                    [n for n, _ in rows], filled([Fraction(total) / (n * unit) if n else None for n, total in rows])
                )
            case "variance" | "stddev":
                rows = self._framed(numbered, spans, [("sum(x)", "sum"), ("sum(x * x)", "sum")])
                spread: list[Number] = []
                for n, total, squares in rows:
                    variance = sample_variance(n, total, squares)
                    variance = None if variance is None else variance / unit**2
                    root = metric.agg == "stddev" and variance is not None
                    spread.append(rounded_root(variance) if root and variance is not None else variance)
                return Measures([n for n, *_ in rows], filled(spread))
            case "min" | "max":
                rows = self._framed(numbered, spans, [(f"{metric.agg}(x)", metric.agg)])
                return Measures(
                    [n for n, _ in rows],
                    filled([_number(value) for _, value in rows]),
                    _DOUBLE_SLACK if kind == "number" else Fraction(0),
                )
            case "first" | "last":
                order = "min" if metric.agg == "first" else "max"
                rows = self._framed(numbered, spans, [(f"{order}(rank)", order)], picks_fact=True)
                return Measures(
                    [n for n, _ in rows],
                    filled([_number(value) for _, value in rows]),
                    _DOUBLE_SLACK if kind == "number" else Fraction(0),
                )
            case "rate":
                rows = self._framed(numbered, spans, [("sum(x)", "sum")], lengths=True)
                per = _PER_US[metric.per]
                counted = metric.expr is None
                return Measures(
                    [n for n, *_ in rows],
                    filled(
                        [
                            Fraction(total if total is not None else 0) * per / (unit * length)
                            if n or counted
                            else None
                            for n, total, length in rows
                        ]
                    ),
                )
            case "count_distinct":
                self._framed(numbered, spans, [], into="counted")
                rows = self._connection.execute(template("distinct", numbered=f'"{numbered}"')).fetchall()
                return Measures([n for n, _ in rows], filled([int(v) for _, v in rows]), accuracy, metric.exact_below)
            case "percentile" | "median":
                share = Fraction(metric.percentile) if metric.percentile is not None else Fraction(1, 2)
                rows = self._percentile(numbered, spans, share)
                return Measures([int(n) for n, _ in rows], filled([_number(v) for _, v in rows]), accuracy)
        raise NotImplementedError(metric.agg)

    def _percentile(self, numbered: str, spans: str, share: Fraction) -> list[tuple[Any, ...]]:
        unfolded = int(
            self._one(
                "select coalesce(sum(last_k - first_k + 1), 0) "
                f'from (select distinct series, first_k, last_k, x from "{numbered}")'
            )[0]
        )
        text = template(
            "percentile", numbered=f'"{numbered}"', numerator=share.numerator, denominator=share.denominator
        )
        if unfolded > _MANY_ROWS:
            text = template("percentile_framed", numbered=f'"{numbered}"', spans=f'"{spans}"', share=exact(share))
        return self._connection.execute(text).fetchall()

    def _framed(
        self,
        numbered: str,
        spans: str,
        parts: Sequence[tuple[str, str]],
        *,
        picks_fact: bool = False,
        lengths: bool = False,
        into: str | None = None,
    ) -> list[tuple[Any, ...]]:
        """Rows (n, parts...) of each expected window; a part is (its sum over a cell, the aggregate that joins
        cells)."""
        self._connection.execute(
            template(
                "cells",
                table='"cells"',
                numbered=f'"{numbered}"',
                parts="".join(f", {over_cell} as part{i}" for i, (over_cell, _) in enumerate(parts)),
            )
        )
        names = [f"part{i}" for i in range(len(parts))]
        result = ["n", *names]
        join = ""
        if picks_fact:
            join = f'left join "{numbered}" as fact on fact.rank = framed.part0'
            result = ["n", "fact.x"]
        if lengths:
            join = f'join "{spans}" as span using (k)'
            result.append("greatest(span.window_end - span.window_start, 1)")  # a compared window may be empty
        if into is not None:
            result = ["series", "k", *result]
        text = template(
            "values",
            cells='"cells"',
            spans=f'"{spans}"',
            columns="".join(f", {name}" for name in names),
            nulls=", null" * len(names),
            framed="".join(f", {joined}(part{i}) over frame as part{i}" for i, (_, joined) in enumerate(parts)),
            result=", ".join(result),
            join=join,
        )
        if into is not None:
            self._connection.execute(f"create or replace temp table {into} as {text}")
            return []
        return self._connection.execute(text).fetchall()

    def _one(self, sql: str) -> tuple[Any, ...]:
        row = self._connection.execute(sql).fetchone()
        assert row is not None
        return row


def _field(kind: FieldType, path: tuple[str, ...], unit: str | None, columns: Mapping[str, str], zone: str) -> str:
    """A declared field as SQL over the given table."""
    column = ".".join(f'"{part}"' for part in path)
    if path[0] not in columns:
        column = "null"
    match kind.kind:
        case "string":
            return f"cast({column} as varchar)"
        case "integer":
            return f"cast({column} as bigint)"
        case "number":
            return f"cast({column} as double)"
        case "boolean":
            return f"cast({column} as boolean)"
        case "decimal":
            return f"cast({column} as decimal({kind.precision}, {kind.scale}))"
        case "timestamp":
            given = columns.get(path[0], "VARCHAR")
            if unit is not None:
                return f"make_timestamptz(cast({column} as bigint) {_UNIT_US[unit]})"
            if given == "TIMESTAMP WITH TIME ZONE":
                return column
            if given.startswith("TIMESTAMP"):
                return f"make_timestamptz(instant_of(epoch_us(cast({column} as timestamp)), '{zone}'))"
            # Text says itself whether it has an offset.
            return (
                f"case when regexp_matches({column}, '(Z|z|[+-]\\d\\d:?\\d\\d)$') then cast({column} as timestamptz) "
                f"else make_timestamptz(instant_of(epoch_us(cast({column} as timestamp)), '{zone}')) end"
            )


def _offset(text: str) -> Offset:
    amount, unit = text.split()
    units: dict[str, OffsetUnit] = {
        "s": "s", "m": "m", "h": "h", "d": "d", "w": "w", "month": "month", "quarter": "quarter", "year": "year"
    }  # fmt: skip
    return Offset(int(amount), units[unit])


def _number(value: object) -> Number:
    if value is None or isinstance(value, (int, Decimal)):
        return value
    if isinstance(value, float):
        return Fraction(value)
    raise TypeError(f"not a number: {value!r}")


def _simple(
    measures: Measures,
) -> list[Finished]:
    finished: list[Finished] = []
    for index, (n, value) in enumerate(zip(measures.samples, measures.values, strict=True)):
        if value is None:
            finished.append((n, None, None, None, "no_data"))
            continue
        slack = measures.slack_at(index)
        if slack:
            finished.append(
                (n, *_between(Fraction(value) * (1 - slack), Fraction(value), Fraction(value) * (1 + slack)), None)
            )
        else:
            finished.append((n, rounded(value) if isinstance(value, Fraction) else Decimal(value), None, None, None))
    return finished


def _ratio(terms: tuple[Term, ...]) -> Callable[[Mapping[Term, Fraction | None]], Fraction | None]:
    numerator, denominator = terms

    def divided(values: Mapping[Term, Fraction | None]) -> Fraction | None:
        above, below = values[numerator], values[denominator]
        if below == 0:
            raise ZeroDenominator
        return None if above is None or below is None else above / below

    return divided


def _composed(
    terms: tuple[Term, ...],
    measured: Mapping[Term, Measures],
    evaluate: Callable[[Mapping[Term, Fraction | None]], Fraction | None],
    *,
    divides: bool,
) -> list[Finished]:
    finished: list[Finished] = []
    for index in range(len(measured[terms[0]].values)):
        samples = min(measured[term].samples[index] for term in terms)
        raw = {term: measured[term].values[index] for term in terms}
        values = {term: None if value is None else Fraction(value) for term, value in raw.items()}
        try:
            value = evaluate(values)
        except ZeroDenominator:
            finished.append((samples, None, None, None, "zero_denominator"))
            continue
        if value is None:
            finished.append((samples, None, None, None, "no_data"))
            continue
        slacks = {term: slack for term in terms if (slack := measured[term].slack_at(index))}
        if not slacks:
            finished.append((samples, rounded(value) if divides else exact(value), None, None, None))
            continue
        # Sketches are off by at most their accuracy: the value lies between those at all corners.
        corners = [value]
        for signs in itertools.product((-1, 1), repeat=len(slacks)):
            moved = dict(values)
            for (term, slack), sign in zip(slacks.items(), signs, strict=True):
                moved[term] = Fraction(values[term] or 0) * (1 + sign * slack)
            corner = evaluate(moved)
            corners.append(value if corner is None else corner)
        finished.append((samples, *_between(min(corners), value, max(corners)), None))
    return finished


def _between(low: Fraction, value: Fraction, high: Fraction) -> tuple[Decimal, Decimal, Decimal]:
    """(value, low, high), the bounds widened by what rounding to 12 digits may move."""
    low, high = min(low, high), max(low, high)
    margin = max(abs(low), abs(high)) * _DOUBLE_SLACK + Fraction(1, DOUBLE_UNITS)
    return rounded(value), rounded(low - margin), rounded(high + margin)


def _compared(
    now: Finished,
    then: Finished,
) -> Compared | None:
    samples, value, low, high, _ = then
    if samples == 0:
        return None
    change: float | None = None
    if value is not None and now[1] is not None and value > 0 and low is None and now[2] is None:
        change = float((now[1] - value) / value)
    return Compared(value, low, high, change)
