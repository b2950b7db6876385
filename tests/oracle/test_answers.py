"""The oracle against a plain loop over events and windows, on a thin sample of the retail year."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from engine.catalog.model import Catalog, Kpi, Metric
from tests.oracle.answers import Answer, Oracle
from tests.oracle.comparing import Difference, Published, Value, compare
from tests.oracle.covering import covering_yaml
from tests.oracle.finishing import rounded, rounded_root
from tests.oracle.retail_lines import retail_lines
from tests.oracle.spans import create_spans
from tests.oracle.yaml_catalog import read_catalog

Event = dict[str, Any]

_SQL: dict[str, Callable[[Event], Any]] = {
    "sales - discount": lambda e: e["sales"] - e["discount"],
    "CASE WHEN sales >= 10 THEN sales ELSE 0 END": lambda e: e["sales"] if e["sales"] >= 10 else Decimal(0),
    "private_label": lambda e: e["private_label"],
    "department IN ('GROCERY', 'MEAT', 'DRUG GM') AND quantity BETWEEN 1 AND 20": lambda e: (
        e["department"] in ("GROCERY", "MEAT", "DRUG GM") and 1 <= e["quantity"] <= 20
    ),
    "sales < 0 OR (sales = 0 AND discount = 0)": lambda e: e["sales"] < 0 or (e["sales"] == 0 and e["discount"] == 0),
    "department LIKE 'FLORAL%'": lambda e: (e["department"] or "").startswith("FLORAL"),
    "store <> '367'": lambda e: e["store"] != "367",
    "department = 'GROCERY'": lambda e: e["department"] == "GROCERY",
}


def _evaluate(text: str, event: Event) -> Any:
    return _SQL[text](event) if text in _SQL else event[text]


def _number(value: Any) -> Any:
    return Fraction(round(Fraction(value) * 2**40), 2**40) if isinstance(value, float) else value


def _value(metric: Metric, values: list[Any], length_us: int) -> Decimal | Fraction | None:
    """``values`` in time order, nulls left out."""
    n = len(values)
    match metric.agg:
        case "count":
            return Decimal(n)
        case "count_distinct":
            return Decimal(len(set(values)))
        case "rate":
            total = n if metric.expr is None else sum(map(Fraction, values))
            return (
                None
                if not n and metric.expr
                else Fraction(total) * {"hour": 3600, "minute": 60, "second": 1}[metric.per] * 10**6 / length_us
            )
    if not n:
        return None
    match metric.agg:
        case "sum":
            return sum(map(Fraction, map(_number, values)), Fraction(0))
        case "average":
            return sum(map(Fraction, map(_number, values)), Fraction(0)) / n
        case "min" | "max":
            return Fraction((min if metric.agg == "min" else max)(values))
        case "first" | "last":
            return Fraction(values[0 if metric.agg == "first" else -1])
        case "percentile" | "median":
            share = Fraction(metric.percentile or Decimal("0.5"))
            return Fraction(sorted(values)[math.ceil(share * n) - 1])
        case "variance" | "stddev":
            if n == 1:
                return None
            numbers = [Fraction(_number(value)) for value in values]
            mean = sum(numbers, Fraction(0)) / n
            squares: Fraction = sum(((number - mean) * (number - mean) for number in numbers), Fraction(0))
            variance = squares / (n - 1)
            return variance if metric.agg == "variance" else rounded_root(variance)
    raise AssertionError(metric.agg)


def _plain(oracle: Oracle, kpi: Kpi, metric: Metric, events: list[Event]) -> dict[tuple[Any, ...], tuple[int, Any]]:
    chosen = [
        (event, 1 if metric.expr is None else _evaluate(metric.expr, event))
        for event in events
        if all(_evaluate(text, event) for text in (metric.filter, kpi.where) if text)
    ]
    chosen = [(event, value) for event, value in chosen if value is not None]
    if not chosen:
        return {}
    create_spans(
        oracle._connection,
        "plain",
        kpi.window,
        kpi.calendar,
        min(event["_time"] for event, _ in chosen),
        oracle.watermark_us(kpi),
    )
    series = {tuple(_text(event[name]) for name in kpi.group_by) for event, _ in chosen}
    before: dict[tuple[Any, ...], int] = {}
    expected: dict[tuple[Any, ...], tuple[int, Any]] = {}
    for start, end in oracle._connection.execute("select window_start, window_end from plain order by k").fetchall():
        held: dict[tuple[Any, ...], list[Any]] = {dims: [] for dims in series}
        for event, value in chosen:
            if start <= event["_time"] < end:
                held[tuple(_text(event[name]) for name in kpi.group_by)].append(value)
        for dims, values in held.items():
            if values or before.get(dims):
                value = _value(metric, values, end - start)
                expected[*dims, start, end] = len(values), metric.fill_nulls_with if value is None else value
            before[dims] = len(values)
    return expected


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog(covering_yaml())


@pytest.fixture(scope="module")
def oracle(catalog: Catalog) -> Oracle:
    return Oracle(catalog, {"lines": retail_lines(every=6000)}, threads=1)


@pytest.fixture(scope="module")
def events(oracle: Oracle) -> list[Event]:
    cursor = oracle._connection.execute("select * from source_lines order by _time, _offset")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _simple_kpis() -> Iterable[str]:
    return [
        kpi.name
        for kpi in read_catalog(covering_yaml()).kpis.values()
        if kpi.type == "simple" and kpi.name != "grocery_rolling"
    ]


def test_every_simple_kpi_equals_a_plain_loop(catalog: Catalog, oracle: Oracle, events: list[Event]) -> None:
    for name in _simple_kpis():
        kpi = catalog.kpis[name]
        metric = catalog.metrics[str(kpi.metric)]
        plain = _plain(oracle, kpi, metric, events)
        answers = oracle.answers_of(kpi, oracle.watermark_us(kpi))
        assert {(*a.dims, a.start_us, a.end_us) for a in answers} == set(plain), name
        for answer in answers:
            samples, value = plain[*answer.dims, answer.start_us, answer.end_us]
            assert answer.samples == samples, (name, answer)
            if value is None:
                assert answer.value is None, (name, answer)
            elif answer.low is None:
                divided = isinstance(value, Fraction) and metric.agg in ("average", "variance", "rate")
                assert answer.value == (rounded(value) if divided and isinstance(value, Fraction) else value), (
                    name,
                    answer,
                )
            else:
                assert answer.low <= Decimal(float(value)) <= (answer.high or 0), (name, answer, value)


def test_comparisons_and_offsets_find_the_earlier_window(catalog: Catalog, oracle: Oracle) -> None:
    kpi = catalog.kpis["growth"]
    answers = oracle.answers_of(kpi, oracle.watermark_us(kpi))
    rolling = catalog.kpis["departments_rolling"]
    compared = oracle.answers_of(rolling, oracle.watermark_us(rolling))
    by_window = {(a.dims, a.start_us): a for a in compared}
    checked = 0
    for answer in compared:
        earlier = by_window.get((answer.dims, answer.start_us - 30 * 86_400_000_000))
        if earlier is not None and answer.compared is not None:
            length = earlier.end_us - earlier.start_us
            if length == answer.end_us - answer.start_us == 30 * 86_400_000_000:
                assert answer.compared.value == earlier.value
                checked += 1
    assert checked > 1000
    assert any(answer.value is not None for answer in answers)
    assert all(answer.value is None for answer in answers if answer.samples == 0)


def _published(answer: Answer, catalog: Catalog) -> Value:
    from tests.oracle.comparing import Comparison, Window, iso

    kpi = catalog.kpis[answer.kpi]
    compared = answer.compared
    return Value(
        kpi=answer.kpi,
        dims=dict(zip(kpi.group_by, answer.dims, strict=True)),
        window=Window(iso(answer.start_us), iso(answer.end_us)),
        state="closed",
        revision=1,
        progress=7,
        value=answer.value,
        reason=answer.reason,
        samples=answer.samples,
        compare=None if compared is None else Comparison(compared.value, compared.change),
    )


def test_equal_values_have_no_difference_and_each_change_is_one(catalog: Catalog, oracle: Oracle) -> None:
    kpi = catalog.kpis["departments_rolling"]
    answers = oracle.answers_of(kpi, oracle.watermark_us(kpi))
    published = Published(catalog)
    for answer in answers:
        published.add_value(_published(answer, catalog))
    assert compare(answers, published) == []

    def differences(key: Any, **changed: Any) -> list[Difference]:
        import msgspec

        return compare(answers, {**published.closed, key: msgspec.structs.replace(published.closed[key], **changed)})

    key = next(key for key, value in published.closed.items() if value.value is not None)
    assert [d.what for d in differences(key, samples=0)] == ["samples"]
    assert [d.what for d in differences(key, value=published.closed[key].value + Decimal("0.01"))] == ["value"]  # type: ignore[operator]
    assert [d.what for d in differences(key, value=None, reason="no_data")] == ["value"]
    missing = {other: value for other, value in published.closed.items() if other != key}
    assert [str(d.actual) for d in compare(answers, missing)] == ["nothing"]
    assert [
        str(d.expected) for d in compare([a for a in answers if a.start_us != key[2] or a.dims != key[1]], published)
    ] == ["nothing"]
