"""What holds of every aggregation: parts merge to the whole, in any order, to what exact arithmetic says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine.aggregations import Aggregation, States, aggregation_for, registry
from engine.blocks import decode_blocks, encode_blocks
from engine.catalog.model import FieldType, Metric
from engine.series import Directory

KEYS = ["pane", "bucket", "h"]
PREFIX = "00000000000000aa"
ELAPSED_US = 90_000_000
INTEGER, NUMBER = FieldType("integer"), FieldType("number")
SHORT, LONG = FieldType("decimal", 12, 2), FieldType("decimal", 38, 4)
STRING, BOOLEAN, TIMESTAMP = FieldType("string"), FieldType("boolean"), FieldType("timestamp")
NUMERIC = (INTEGER, SHORT, LONG, NUMBER)
TYPES: dict[str, Sequence[FieldType | None]] = {
    "count": (None, INTEGER, STRING),
    "count_distinct": (INTEGER, SHORT, LONG, NUMBER, STRING, BOOLEAN, TIMESTAMP),
    "rate": (None, INTEGER, SHORT, NUMBER),
}
CASES = [(name, kind) for name in sorted(registry()) for kind in TYPES.get(name, NUMERIC)]
WIDE = Context(prec=50)
EXTREMES = [2**63 - 1, -(2**63), 0]


def scaled(low: int, high: int, scale: int) -> st.SearchStrategy[Decimal]:
    return st.one_of(st.integers(-1000, 1000), st.integers(low, high), st.sampled_from([low, high])).map(
        lambda i: Decimal(i).scaleb(-scale, WIDE)
    )


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1), st.sampled_from(EXTREMES)),
    "number": st.one_of(
        st.floats(-(2.0**79), 2.0**79), st.floats(-100, 100), st.integers(-3, 3).map(float), st.just(-0.0)
    ),
    "string": st.text(max_size=2),
    "boolean": st.booleans(),
    "timestamp": st.integers(0, 2**52),
    "decimal(12,2)": scaled(-(10**12) + 1, 10**12 - 1, 2),
    "decimal(38,4)": scaled(-(10**38) + 1, 10**38 - 1, 4),
}
POLARS: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "string": pl.String,
    "boolean": pl.Boolean,
    "timestamp": pl.Int64,
    "decimal(12,2)": pl.Decimal(38, 2),
    "decimal(38,4)": pl.Decimal(38, 4),
}


@dataclass(frozen=True)
class Event:
    h: int
    value: Any
    keep: bool | None
    time: int
    partition: int
    offset: int
    part: int


@dataclass(frozen=True)
class State:
    rows: pl.DataFrame
    items: pl.DataFrame | None


def metric(name: str) -> Metric:
    return Metric("m", "s", name, percentile=Decimal("0.9"), accuracy=Decimal("0.02"), exact_below=4, per="minute")  # type: ignore[arg-type]


@st.composite
def events(draw: st.DrawFn, kind: FieldType | None) -> list[Event]:
    value = st.none() | VALUES[str(kind)] if kind else st.none()
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 1),
                value,
                st.sampled_from([True, True, False, None]),
                st.integers(0, 3),
                st.integers(0, 1),
                st.integers(0, 2),
            ),
            max_size=16,
        )
    )
    return [Event(*row[:5], offset, row[5]) for offset, row in enumerate(rows)]


def fold(aggregation: Aggregation, kind: FieldType | None, some: Sequence[Event], filtered: bool) -> State:
    frame = pl.DataFrame(
        [(0, 0, e.h, e.value, e.keep, e.time, e.partition, e.offset) for e in some],
        schema={
            "pane": pl.Int64,
            "bucket": pl.Int64,
            "h": pl.UInt64,
            "v": POLARS[str(kind or INTEGER)],
            "keep": pl.Boolean,
            "_time": pl.Int64,
            "_partition": pl.Int32,
            "_offset": pl.Int64,
        },
        orient="row",
    )
    if kind == TIMESTAMP:
        frame = frame.with_columns(pl.col("v").cast(pl.Datetime("us", "UTC")))
    value = pl.col("v") if kind else None
    keep = pl.col("keep") if filtered else None
    rows = frame.lazy().group_by(KEYS).agg(aggregation.fold(PREFIX, value, keep)).collect()
    items = aggregation.fold_items(frame, KEYS, pl.col("v"), keep) if aggregation.items else None
    return State(rows, items)


def merge(aggregation: Aggregation, *states: State) -> State:
    rows = pl.concat([state.rows for state in states]).group_by(KEYS).agg(aggregation.merge(PREFIX))
    items = [state.items for state in states if state.items is not None]
    return State(rows, aggregation.merge_items(pl.concat(items), KEYS) if items else None)


def same(left: State, right: State) -> bool:
    if not left.rows.sort(KEYS).equals(right.rows.sort(KEYS)) or left.rows.schema != right.rows.schema:
        return False
    if left.items is None or right.items is None:
        return left.items is right.items
    order = [*KEYS, "item", "k"]
    columns = [*KEYS, "item", "k"]
    return left.items.select(columns).sort(order).equals(right.items.select(columns).sort(order))


def through_bytes(state: State) -> State:
    directory = Directory([], [])
    rows = state.rows.sort(KEYS)
    items = {} if state.items is None else {PREFIX: state.items}
    decoded = decode_blocks([raw for _, _, raw in encode_blocks(rows, items, directory, [PREFIX], {(0, 0): 1})])
    place = [pl.lit(0, dtype=pl.Int64).alias("pane"), pl.lit(0, dtype=pl.Int64).alias("bucket")]
    read = decoded.rows.with_columns(place).select(state.rows.columns)
    if state.items is None:
        return State(read, None)
    found = decoded.items.get(PREFIX)
    return State(read, state.items if found is None else found.with_columns(place).select(state.items.columns))


@pytest.mark.parametrize(("name", "kind"), CASES, ids=str)
def test_parts_merge_to_the_whole(name: str, kind: FieldType | None) -> None:
    aggregation = aggregation_for(metric(name), kind)

    @settings(deadline=None, max_examples=30, phases=[Phase.explicit, Phase.generate])
    @given(events(kind), st.booleans(), st.randoms(use_true_random=False))
    def holds(all_events: list[Event], filtered: bool, chance: Any) -> None:
        parts: dict[tuple[int, int], list[Event]] = {}
        for event in all_events:
            parts.setdefault((event.partition, event.part), []).append(event)
        partitions = {event.partition for event in all_events}
        if len(partitions) < 2 and all_events:
            assert same(
                fold(aggregation, kind, all_events, filtered),
                merge(aggregation, *(fold(aggregation, kind, part, filtered) for part in parts.values())),
            )
        states = []
        for part in parts.values():
            chance.shuffle(part)
            states.append(fold(aggregation, kind, part, filtered))
        if not states:
            return
        expected = merge(aggregation, *states)
        for suffix, dtype in aggregation.state.items():
            assert expected.rows.schema[f"{PREFIX}.{suffix}"] == dtype
            assert states[0].rows.schema[f"{PREFIX}.{suffix}"] == dtype
        chance.shuffle(states)
        merged = states[0]
        for state in states[1:]:
            merged = merge(aggregation, *chance.sample([merged, through_bytes(state)], 2))
        assert same(merge(aggregation, merged), expected)
        assert same(through_bytes(expected), expected)
        check(aggregation, kind, expected, all_events, filtered)

    holds()


def check(
    aggregation: Aggregation, kind: FieldType | None, state: State, all_events: list[Event], filtered: bool
) -> None:
    frame = state.rows.sort("h")
    states = States(frame, PREFIX, state.items, KEYS, pl.lit(ELAPSED_US))
    texts = aggregation.result(states).to_list()
    numbers = aggregation.numeric(states)
    for h, n, text, number in zip(frame["h"], frame[f"{PREFIX}.n"], texts, numbers, strict=True):
        counted = [
            e for e in all_events if e.h == h and (e.keep or not filtered) and (kind is None or e.value is not None)
        ]
        assert n == len(counted)
        assert (text is None) == (number is None)
        if text is not None:
            assert Fraction(Decimal(text)) == Fraction(text)  # plain
            json.loads(text)
            assert "e" not in text or abs(Fraction(text)) < Fraction(1, 10**40)
        ORACLES[aggregation.name](text, number, counted, kind)


def exact(value: Any, kind: FieldType | None) -> Fraction:
    """What a value counts as: doubles are scaled by 2^40 and rounded half even (protocol.md, rule 17)."""
    return Fraction(round(Fraction(value) * 2**40), 2**40) if kind == NUMBER else Fraction(value)


def rounded(value: Fraction, digits: int = 12) -> Fraction:
    """To significant digits, half even."""
    if value == 0:
        return value
    scale = Fraction(1)
    while abs(value) * scale >= 10**digits:
        scale /= 10
    while abs(value) * scale < 10 ** (digits - 1):
        scale *= 10
    return round(value * scale) / scale


def sum_oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
    if not counted:
        assert text is None
        return
    total = sum((exact(e.value, kind) for e in counted), Fraction(0))
    assert number == total
    assert text is not None
    if kind == NUMBER:
        assert abs(Fraction(text) - total) <= max(Fraction(1, 2 * 10**12), abs(total) / 10**14)
    else:
        assert Fraction(text) == total
        assert len(text.partition(".")[2]) == (kind.scale if kind else 0)


def quotient_oracle(value: Callable[[list[Event], FieldType | None], Fraction | None]) -> Callable[..., None]:
    def oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
        wanted = value(counted, kind)
        if wanted is None:
            assert text is None
        else:
            assert number == wanted
            assert text is not None
            assert Fraction(text) == rounded(wanted)

    return oracle


def average(counted: list[Event], kind: FieldType | None) -> Fraction | None:
    return sum((exact(e.value, kind) for e in counted), Fraction(0)) / len(counted) if counted else None


def variance(counted: list[Event], kind: FieldType | None) -> Fraction | None:
    mean = average(counted, kind)
    if mean is None or len(counted) < 2:
        return None
    return sum(((exact(e.value, kind) - mean) ** 2 for e in counted), Fraction(0)) / (len(counted) - 1)


def rate(counted: list[Event], kind: FieldType | None) -> Fraction | None:
    minutes = Fraction(ELAPSED_US, 60_000_000)
    if kind is None:
        return len(counted) / minutes
    return sum((exact(e.value, kind) for e in counted), Fraction(0)) / minutes if counted else None


def stddev_oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
    square = variance(counted, kind)
    if square is None:
        assert text is None
        return
    assert text is not None
    root = Fraction(text)
    assert number == root
    half = Fraction(0) if root == 0 else abs(root) / 2 / 10**11
    assert max(root - half, Fraction(0)) ** 2 <= square <= (root + half) ** 2


def one_of(pick: Callable[[list[Event]], Any]) -> Callable[..., None]:
    def oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
        if not counted:
            assert text is None
            return
        wanted = pick(counted)
        assert text is not None
        assert float(text) == float(wanted)
        assert number == Fraction(text)
        if kind and kind.kind == "decimal":
            assert Decimal(text) == wanted
            assert len(text.partition(".")[2]) == kind.scale

    return oracle


def place(event: Event) -> tuple[int, int, int]:
    return event.time, event.partition, event.offset


def percentile_oracle(q: Fraction) -> Callable[..., None]:
    def oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
        if not counted:
            assert text is None
            return
        ordered = sorted(Fraction(e.value) for e in counted)
        wanted = ordered[-(-q.numerator * len(ordered) // q.denominator) - 1]
        assert text is not None
        assert number == Fraction(text)
        if abs(wanted) < Fraction(1, 10**300):
            assert text == "0"
        else:
            assert abs(Fraction(text) - wanted) <= Fraction(2, 100) * abs(wanted)

    return oracle


def distinct_oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
    wanted = len({e.value for e in counted})
    assert text is not None
    assert number == int(text)
    assert int(text) == wanted if wanted <= 4 else abs(int(text) - wanted) <= 1


def count_oracle(text: str | None, number: Fraction | None, counted: list[Event], kind: FieldType | None) -> None:
    assert text == str(len(counted))
    assert number == len(counted)


ORACLES: dict[str, Callable[..., None]] = {
    "count": count_oracle,
    "sum": sum_oracle,
    "average": quotient_oracle(average),
    "variance": quotient_oracle(variance),
    "rate": quotient_oracle(rate),
    "stddev": stddev_oracle,
    "min": one_of(lambda counted: min(e.value for e in counted)),
    "max": one_of(lambda counted: max(e.value for e in counted)),
    "first": one_of(lambda counted: min(counted, key=place).value),
    "last": one_of(lambda counted: max(counted, key=place).value),
    "percentile": percentile_oracle(Fraction(9, 10)),
    "median": percentile_oracle(Fraction(1, 2)),
    "count_distinct": distinct_oracle,
}


def test_every_aggregation_of_the_catalog_is_there() -> None:
    assert set(registry()) == set(ORACLES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "3"),
        ("sum", "6"),
        ("average", "2"),
        ("min", "2"),
        ("last", "2"),
        ("variance", "0"),
        ("rate", "4"),
        ("count_distinct", "1"),
    ],
)
@pytest.mark.parametrize("keep", [None, pl.lit(True)], ids=["all", "filter: true"])
def test_a_constant_counts_once_an_event(name: str, text: str, keep: pl.Expr | None) -> None:
    """As SUM(2) does in SQL."""
    aggregation = aggregation_for(metric(name), INTEGER)
    two = pl.lit(2, dtype=pl.Int64)
    frame = pl.DataFrame({"g": [1, 1, 1], "_time": [1, 2, 3], "_offset": [1, 2, 3], "_partition": [0, 0, 0]})
    rows = frame.group_by("g").agg(aggregation.fold(PREFIX, two, keep))
    items = aggregation.fold_items(frame, ["g"], two, keep) if aggregation.items else None
    assert rows[f"{PREFIX}.n"].to_list() == [3]
    assert aggregation.result(States(rows, PREFIX, items, ["g"], pl.lit(ELAPSED_US))).to_list() == [text]
    assert aggregation.merge(PREFIX)
    if name == "count":
        none = frame.group_by("g").agg(aggregation.fold(PREFIX, None, pl.lit(False)))
        assert none[f"{PREFIX}.n"].to_list() == [0]
