"""Status is a law of value and objective; the table's rows are its sentences."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.catalog.model import Calendar, Cumulate, Duration, Hop, Kpi, Objective, Tumble, Window
from engine.targets import with_targets
from engine.values import FEW, columns

HOP = Hop(Duration(30, "d"), Duration(1, "h"))
ZONE = "Europe/Amsterdam"


def local_us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()) * 1_000_000


def kpi(*objectives: Objective, window: Window = HOP, calendar: Calendar | None = None) -> Kpi:
    calendar = calendar or Calendar(timezone=ZONE)
    return Kpi(name="revenue", type="simple", window=window, calendar=calendar, metric="m", objectives=objectives)


def frame(*values: str | None, **changed: Any) -> pl.DataFrame:
    given = {"dim.region": "EU", "state": "closed", "window_end": local_us("2026-11-23T00:00"), "reason": None}
    rows = [given | {"value": value} | changed for value in values]
    return pl.DataFrame(rows, schema={name: columns(("region",))[name] for name in [*given, "value"]})


def judged(value: str | None, *objectives: Objective, window: Window = HOP, **changed: Any) -> tuple[Any, ...]:
    few = frame(value, **changed)
    held = kpi(*objectives, window=window)
    result, many = with_targets(few, held), with_targets(pl.concat([few] * (FEW + 1)), held)
    assert "_held" not in many.columns
    assert many.head(1).equals(result)  # however many rows there are
    return result.select("target", "status", "status_reason").row(0)


def gte(value: str, **more: Any) -> Objective:
    return Objective("gte", Decimal(value), **more)


def lte(value: str, **more: Any) -> Objective:
    return Objective("lte", Decimal(value), **more)


def between(lower: str, upper: str, **more: Any) -> Objective:
    return Objective("between", Decimal(lower), Decimal(upper), **more)


@pytest.mark.parametrize(
    ("value", "objective", "expected"),
    [
        ("1213440.55", gte("1200000"), ("1200000", "ok", "1.1 % above target")),
        ("1200000", gte("1200000"), ("1200000", "ok", "on target")),
        ("1199999.99", gte("1200000"), ("1200000", "warning", "less than 0.1 % below target")),
        ("1080000", gte("1200000"), ("1200000", "warning", "10.0 % below target")),
        ("1079999.99", gte("1200000"), ("1200000", "critical", "10.0 % below target")),
        ("0.41", gte("0.42", warn_within=Decimal("0.01")), ("0.42", "critical", "2.4 % below target")),
        ("3", lte("5"), ("5", "ok", "40.0 % below target")),
        ("5.5", lte("5"), ("5", "warning", "10.0 % above target")),
        ("5.6", lte("5"), ("5", "critical", "12.0 % above target")),
        ("-9", gte("-10"), ("-10", "ok", "10.0 % above target")),
        ("-11", gte("-10"), ("-10", "warning", "10.0 % below target")),
        ("-3.5", gte("0"), ("0", "critical", "3.5 below target")),
        ("12", between("10", "20"), ("10", "ok", "within 10 to 20")),
        ("19", between("10", "20"), ("20", "ok", "within 10 to 20")),
        ("9", between("10", "20"), ("10", "warning", "10.0 % below 10")),
        ("23", between("10", "20"), ("20", "critical", "15.0 % above 20")),
        ("7", gte("1E+3"), ("1000", "critical", "99.3 % below target")),
    ],
)
def test_the_status_follows_from_the_distance(value: str, objective: Objective, expected: tuple[str, ...]) -> None:
    assert judged(value, objective) == expected


def test_digits_beyond_a_double_decide() -> None:
    target = gte("10000000000000000.02", warn_within=Decimal(0))
    assert judged("10000000000000000.01", target)[1] == "critical"
    assert judged("10000000000000000.02", target)[1] == "ok"


def test_a_kpi_without_objectives_has_no_status() -> None:
    assert judged("5") == (None, None, None)


def test_a_missing_value_has_a_target_but_no_status_and_says_why() -> None:
    assert judged(None, gte("5"), reason="zero_denominator") == ("5", None, "zero_denominator")


def test_the_most_specific_objective_holds_then_the_latest_then_the_last() -> None:
    general, special = gte("1"), gte("2", where={"region": "EU"})
    assert judged("3", special, general)[0] == "2"
    assert judged("3", special, general, **{"dim.region": "US"})[0] == "1"
    assert judged("3", gte("4", valid_from="2026-06-01"), gte("5", valid_from="2026-01-01"))[0] == "4"
    assert judged("3", gte("4"), gte("5"))[0] == "5"
    assert judged("3", special, **{"dim.region": None}) == (None, None, None)
    assert judged("3", gte("7", where={"region": "__null__"}), **{"dim.region": None})[0] == "7"


def test_an_objective_counts_from_the_first_window_that_reaches_into_its_day() -> None:
    january = gte("5", valid_from="2026-01-01")
    assert judged("9", january, window_end=local_us("2026-01-01T00:00"))[0] is None
    assert judged("9", january, window_end=local_us("2026-01-01T00:00") + 1)[0] == "5"


MONTH_TO_DATE = Cumulate("month", Duration(1, "h"))


@pytest.mark.parametrize(
    ("window", "end", "state", "status"),
    [
        (MONTH_TO_DATE, "2026-11-23T00:00", "open", None),
        (MONTH_TO_DATE, "2026-11-23T00:00", "closed", None),  # this step closed, its month did not
        (MONTH_TO_DATE, "2026-12-01T00:00", "open", None),
        (MONTH_TO_DATE, "2026-12-01T00:00", "closed", "ok"),
        (MONTH_TO_DATE, "2026-12-01T00:00", "revised", "ok"),
        (Cumulate("week", Duration(1, "h")), "2026-11-23T00:00", "closed", "ok"),
        (Cumulate("week", Duration(1, "h")), "2026-11-24T00:00", "closed", None),
        (Cumulate("quarter", Duration(1, "h")), "2026-11-01T00:00", "closed", None),
        (Cumulate("quarter", Duration(1, "h")), "2027-01-01T00:00", "closed", "ok"),
        (Cumulate("year", Duration(1, "h")), "2026-12-01T00:00", "closed", None),
        (Cumulate("day", Duration(1, "h")), "2026-11-23T01:00", "closed", None),
        (Tumble(grain="day"), "2026-11-23T00:00", "open", None),
        (Tumble(grain="day"), "2026-11-23T00:00", "closed", "ok"),
        (Tumble(size=Duration(1, "h")), "2026-11-23T00:00", "open", "ok"),
        (HOP, "2026-11-23T00:00", "open", "ok"),
    ],
)
def test_a_grain_that_is_not_over_has_no_status(window: Window, end: str, state: str, status: str | None) -> None:
    assert judged("9", gte("5"), window=window, window_end=local_us(end), state=state)[1] == status


def test_fiscal_years_end_where_the_calendar_says() -> None:
    year = kpi(gte("5"), window=Cumulate("year", Duration(1, "h")), calendar=Calendar(ZONE, fiscal_year_start=4))
    ends = [local_us("2026-04-01T00:00"), local_us("2026-01-01T00:00")]
    assert [with_targets(frame("9", window_end=end), year)["status"][0] for end in ends] == ["ok", None]


def test_rows_of_several_objectives_in_one_frame_keep_their_own() -> None:
    rows = pl.concat([frame("9", **{"dim.region": region}) for region in ("EU", "US", "ASIA")])
    wanted = kpi(gte("8", where={"region": "EU"}), lte("1", where={"region": "US"}))
    assert with_targets(rows, wanted)["status"].to_list() == ["ok", "critical", None]


finite = st.decimals(-(10**20), 10**20, places=2)
share = st.sampled_from([Decimal("0"), Decimal("0.1"), Decimal("0.25")])


@given(values=st.lists(finite, min_size=1, max_size=20), bound=finite, within=share, op=st.sampled_from(["gte", "lte"]))
def test_the_columns_agree_with_plain_decimal_arithmetic(
    values: list[Decimal], bound: Decimal, within: Decimal, op: Any
) -> None:
    values = [*values, bound, bound - abs(bound) * within, bound + abs(bound) * within]
    result = with_targets(frame(*(format(v, "f") for v in values)), kpi(Objective(op, bound, warn_within=within)))
    sign = 1 if op == "gte" else -1
    expected = [
        "ok" if sign * (v - bound) >= 0 else "warning" if sign * (v - bound) >= -abs(bound) * within else "critical"
        for v in values
    ]
    assert result["status"].to_list() == expected


many_values = st.lists(st.none() | finite | st.decimals(allow_nan=False, allow_infinity=False), min_size=1, max_size=9)
objectives = st.builds(
    lambda op, bound, width, within, where, since: Objective(
        op, bound, bound + width if op == "between" else None, where, since, within
    ),
    st.sampled_from(["gte", "lte", "between"]),
    finite,
    st.decimals(0, 100, places=1),
    share,
    st.sampled_from([{}, {"region": "EU"}, {"region": "__null__"}]),
    st.sampled_from([None, "2026-01-01", "2026-11-23"]),
)


@example([Decimal("1.4635040139393182741710376715E-14")], [gte("0")], "EU")  # more digits than Decimal computes with
@given(
    values=many_values, held=st.lists(objectives, min_size=1, max_size=4), region=st.sampled_from(["EU", "US", None])
)
def test_few_rows_and_many_are_judged_the_same(
    values: list[Decimal | None], held: list[Objective], region: str | None
) -> None:
    few = frame(*(None if v is None else format(v, "f") for v in values), **{"dim.region": region})
    many = with_targets(pl.concat([few] * (FEW + 1)), kpi(*held))
    assert many.head(few.height).equals(with_targets(few, kpi(*held)))
