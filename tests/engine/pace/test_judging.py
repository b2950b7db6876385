"""Pace is a law of value, objective and the share of the grain behind it; the tables' rows are its sentences."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.model import Calendar, Cumulate, Duration, Kpi, Objective
from engine.event_time.calendars import LocalCalendar
from engine.pace.forecasts import forecast
from engine.pace.judging import Weeks, with_pace
from engine.pace.profiles import CELLS, HOURS, DayKinds, Profiles
from engine.targets import with_targets
from engine.values import FEW, PACE_COLUMNS, columns

ZONE = "Europe/Amsterdam"
CALENDAR = LocalCalendar(Calendar(ZONE))
NO_WEEKS = Weeks(DayKinds(), {})


def local_us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()) * 1_000_000


NOVEMBER = local_us("2026-11-01T00:00")


def kpi(*objectives: Objective) -> Kpi:
    window = Cumulate("month", Duration(1, "h"))
    return Kpi("sales", "simple", window, Calendar(ZONE), metric="m", objectives=objectives)


def frame(*values: str | None, **changed: Any) -> pl.DataFrame:
    """Values of November to the end of its tenth day."""
    end = local_us("2026-11-11T00:00")
    given = {
        "h": 7, "dim.region": "EU", "state": "closed", "window_start": NOVEMBER, "window_end": end, "watermark": end,
        "reason": None,
    }  # fmt: skip
    rows = [given | {"value": value, "reason": None if value is not None else "no_data"} | changed for value in values]
    return pl.DataFrame(rows, schema={name: columns(("region",))[name] for name in [*given, "value"]})


def paced(few: pl.DataFrame, *objectives: Objective, weeks: Weeks = NO_WEEKS) -> pl.DataFrame:
    held = kpi(*objectives)
    result = with_pace(with_targets(few, held), held, CALENDAR, weeks)
    many = with_pace(with_targets(pl.concat([few] * (FEW + 1)), held), held, CALENDAR, weeks)
    assert many.head(few.height).equals(result)  # however many rows there are
    return result


def objective(op: Any, value: str, upper: str | None = None, **more: Any) -> Objective:
    given = {"pacing": "linear"} | more
    return Objective(op, Decimal(value), None if upper is None else Decimal(upper), **given)


@pytest.mark.parametrize(
    ("value", "held", "status", "share", "reason"),
    [
        ("400", objective("gte", "1200"), "ok", 1.0, "100 % of the pace for day 10 of 30"),
        ("500", objective("gte", "1200"), "ok", 1.25, "125 % of the pace for day 10 of 30"),
        ("399.99", objective("gte", "1200"), "warning", 0.999975, "99 % of the pace for day 10 of 30"),
        ("360", objective("gte", "1200"), "warning", 0.9, "90 % of the pace for day 10 of 30"),
        ("328", objective("gte", "1200"), "critical", 0.82, "82 % of the pace for day 10 of 30"),
        (
            "328",
            objective("gte", "1200", warn_within=Decimal("0.2")),
            "warning",
            0.82,
            "82 % of the pace for day 10 of 30",
        ),
        # Spending faster than the pace is bad, slower is not.
        ("400", objective("lte", "1200"), "ok", 1.0, "100 % of the pace for day 10 of 30"),
        ("200", objective("lte", "1200"), "ok", 0.5, "50 % of the pace for day 10 of 30"),
        ("400.01", objective("lte", "1200"), "warning", 1.000025, "101 % of the pace for day 10 of 30"),
        ("441", objective("lte", "1200"), "critical", 1.1025, "111 % of the pace for day 10 of 30"),
        # Between: the nearer bound's share.
        ("350", objective("between", "900", "1200"), "ok", 1.166667, "within the pace for day 10 of 30"),
        ("351", objective("between", "900", "1200"), "ok", 0.8775, "within the pace for day 10 of 30"),
        ("299", objective("between", "900", "1200"), "warning", 0.996667, "99 % of the pace for day 10 of 30"),
        ("441", objective("between", "900", "1200"), "critical", 1.1025, "111 % of the pace for day 10 of 30"),
        ("-9", objective("gte", "-30"), "ok", 0.9, "90 % of the pace for day 10 of 30"),  # a loss of at most 30
        ("5", objective("gte", "0"), "ok", None, "nothing is expected by day 10 of 30"),
        ("-5", objective("gte", "0"), "critical", None, "nothing is expected by day 10 of 30"),
        ("-50", objective("gte", "1200"), "critical", -0.125, "-13 % of the pace for day 10 of 30"),
        ("9e9", objective("gte", "1200"), "ok", 22500000.0, "more than 1000000 % of the pace for day 10 of 30"),
        (
            "0",
            objective("gte", "1200"),
            "critical",
            0.0,
            "0 % of the pace for day 10 of 30",
        ),  # a value of nothing is one
    ],
)
def test_the_status_follows_from_the_pace(
    value: str, held: Objective, status: str, share: float | None, reason: str
) -> None:
    row = paced(frame(value), held).row(0, named=True)
    assert (row["status"], row["pace_share"], row["pace_reason"]) == (status, share, reason)
    assert row["status_reason"] == reason


@pytest.mark.parametrize(
    ("end", "watermark", "state", "expected", "elapsed", "words"),
    [
        ("2026-11-11T00:00", "2026-11-10T12:00", "open", "380", 0.316667, "day 10 of 30"),  # the watermark is now
        ("2026-11-11T00:00", "2026-11-20T00:00", "closed", "400", 0.333333, "day 10 of 30"),  # the window's end is
        ("2026-11-01T01:00", "2026-10-31T23:59", "open", "0", 0.0, "day 1 of 30"),  # it has not begun
    ],
)
def test_now_is_the_watermark_or_the_end_of_the_window(
    end: str, watermark: str, state: str, expected: str, elapsed: float, words: str
) -> None:
    given = frame("1", window_end=local_us(end), watermark=local_us(watermark), state=state)
    row = paced(given, objective("gte", "1200")).row(0, named=True)
    assert (row["pace_expected"], row["pace_elapsed"]) == (expected, elapsed)
    assert row["pace_reason"].endswith(words)


def test_at_the_start_nothing_is_expected_and_nobody_is_judged() -> None:
    row = paced(frame("5", state="open", watermark=NOVEMBER), objective("lte", "1200")).row(0, named=True)
    assert (row["pace_share"], row["status"], row["pace_forecast"]) == (None, None, None)
    assert row["pace_reason"] == "nothing is expected by day 1 of 30"


def test_there_is_no_verdict_before_quiet_until() -> None:
    quiet = objective("gte", "1200", quiet_until=Decimal("0.34"))
    row = paced(frame("5"), quiet).row(0, named=True)
    assert (row["status"], row["pace_share"]) == (None, 0.0125)
    assert row["status_reason"] == "1 % of the pace for day 10 of 30; no verdict before 34 % of the month"
    assert paced(frame("5"), objective("gte", "1200", quiet_until=Decimal("0.33")))["status"][0] == "critical"


def test_at_the_grains_end_the_verdict_is_the_plain_objectives() -> None:
    end = local_us("2026-12-01T00:00")
    digits = objective("gte", "10000000000000000.02", warn_within=Decimal(0))
    row = paced(frame("10000000000000000.01", window_end=end, watermark=end), digits).row(0, named=True)
    assert (row["status"], row["status_reason"]) == ("critical", "on target")
    assert (row["pace_share"], row["pace_reason"]) == (1.0, "100 % of the pace for day 30 of 30")
    assert row["pace_forecast"] == row["pace_expected"] == "10000000000000000"


def test_the_target_that_was_valid_then_is_the_one_of_then() -> None:
    old, new = objective("gte", "1200"), objective("gte", "2400", valid_from="2026-11-08")
    ends = [local_us(day) for day in ("2026-11-06T00:00", "2026-11-11T00:00")]
    given = pl.concat([frame("400", window_end=end, watermark=end) for end in ends])
    assert paced(given, old, new)["pace_expected"].to_list() == ["200", "800"]


def test_series_of_objectives_without_pacing_keep_their_plain_targets() -> None:
    plain = objective("gte", "10", where={"region": "US"}, pacing=None)
    given = pl.concat([frame("400", **{"dim.region": region}) for region in ("EU", "US")])
    judged = paced(given, objective("gte", "1200"), plain)
    assert judged["pace_way"].to_list() == ["linear", None]
    assert judged["status"].to_list() == ["ok", None]
    assert judged["target"].to_list() == ["1200", "10"]


numbers = st.none() | st.decimals(-(10**9), 10**9, places=2).map(lambda d: format(d, "f"))
held = st.builds(
    lambda op, low, width, within, quiet: Objective(
        op, low, low + width if op == "between" else None, {}, None, within, "linear", quiet
    ),
    st.sampled_from(["gte", "lte", "between"]),
    st.decimals(-(10**9), 10**9, places=1),
    st.decimals(1, 100, places=1),
    st.sampled_from([Decimal(0), Decimal("0.1")]),
    st.sampled_from([None, Decimal("0.2")]),
)


@given(
    values=st.lists(numbers, min_size=1, max_size=6),
    one=held,
    why=st.sampled_from([None, "incomplete_history"]),
    hours=st.integers(1, 719),
)
def test_nothing_is_said_of_a_value_that_is_missing_or_incomplete(
    values: list[str | None], one: Objective, why: str | None, hours: int
) -> None:
    now = NOVEMBER + hours * 3_600_000_000
    given = frame(*values, window_end=now, watermark=now)
    if why is not None:
        given = given.with_columns(reason=pl.lit(why))
    for row in paced(given, one).rows(named=True):
        if row["value"] is None or row["reason"] is not None:
            said = ("status", "pace_share", "pace_forecast", "pace_low", "pace_high")
            assert [row[name] for name in said] == [None] * 5
            assert row["pace_reason"] == row["status_reason"] == row["reason"]


@given(
    target=st.decimals(Decimal("0.01"), 10**9, places=2),
    hours=st.integers(1, 720),
    op=st.sampled_from(["gte", "lte"]),
)
def test_a_value_as_expected_is_100_per_cent_and_ok(target: Decimal, hours: int, op: Any) -> None:
    now = NOVEMBER + hours * 3_600_000_000
    one = objective(op, format(target, "f"))
    expected = paced(frame("1", window_end=now, watermark=now), one)["pace_expected"][0]
    row = paced(frame(expected, window_end=now, watermark=now), one).row(0, named=True)
    assert (row["pace_share"], row["pace_reason"].startswith("100 %")) == (1.0, True)
    assert row["status"] == "ok" or hours == 720  # then all digits of the target count


@given(target=st.decimals(0, 10**9, places=2), hours=st.lists(st.integers(1, 720), min_size=2, max_size=9))
def test_what_is_expected_never_falls(target: Decimal, hours: list[int]) -> None:
    nows = [NOVEMBER + hour * 3_600_000_000 for hour in sorted(hours)]
    rows = pl.concat([frame("1", window_end=now, watermark=now) for now in nows])
    expected = [Decimal(text) for text in paced(rows, objective("gte", format(target, "f")))["pace_expected"]]
    assert expected == sorted(expected)


def profiles(days: int, rates: np.ndarray) -> Profiles:
    one = np.ones(1)
    h, rising = np.array([7], dtype=np.uint64), np.array([True])
    return Profiles(h, np.array([days]), rates.reshape(1, CELLS), one * 2, one * 3, rising)


SUNDAYS_ONLY = np.repeat(np.array([0.0, 0, 0, 0, 0, 0, 1, 1]), HOURS)


def test_seasonal_expects_what_past_weeks_had() -> None:
    weeks = Weeks(DayKinds(), {NOVEMBER: profiles(56, SUNDAYS_ONLY)})
    row = paced(frame("400"), objective("gte", "1200", pacing="seasonal"), weeks=weeks).row(0, named=True)
    assert (row["pace_way"], row["pace_expected"], row["pace_share"]) == ("seasonal", "480", 0.833333)  # 2 of 5 Sundays
    assert row["pace_reason"] == "83 % of the pace for day 10 of 30"
    assert row["pace_forecast"] == "1000"


@pytest.mark.parametrize(
    ("days", "rates", "note"),
    [
        (9, SUNDAYS_ONLY, "linear: 9 days of history, seasonal needs 14"),
        (1, SUNDAYS_ONLY, "linear: 1 day of history, seasonal needs 14"),
        (56, SUNDAYS_ONLY * 0, "linear: nothing in its history"),
    ],
)
def test_with_too_little_history_seasonal_is_linear_and_says_so(days: int, rates: np.ndarray, note: str) -> None:
    weeks = Weeks(DayKinds(), {NOVEMBER: profiles(days, rates)})
    row = paced(frame("400"), objective("gte", "1200", pacing="seasonal"), weeks=weeks).row(0, named=True)
    assert (row["pace_way"], row["pace_expected"]) == ("linear", "400")
    assert row["pace_reason"] == f"100 % of the pace for day 10 of 30; {note}"
    unknown = paced(frame("400", h=8), objective("gte", "1200", pacing="seasonal"), weeks=weeks)
    assert unknown["pace_reason"][0].endswith("; linear: 0 days of history, seasonal needs 14")


def test_an_objective_without_pacing_leaves_the_columns_empty() -> None:
    judged = paced(frame("400"), objective("gte", "1200", pacing=None))
    assert not set(judged.columns) & set(PACE_COLUMNS)


positive = st.floats(0.01, 1e6)


@given(value=positive, share=st.floats(0.01, 1), days=st.floats(1, 366), spread=positive, rising=st.booleans())
def test_the_interval_holds_the_forecast_and_closes_at_the_end(
    value: float, share: float, days: float, spread: float, rising: bool
) -> None:
    def told(share: float) -> list[float]:
        one = forecast(*(np.array([x]) for x in (value, share, days, spread)), np.array([rising]))
        return [float(column[0]) for column in (one.low, one.value, one.high)]

    low, middle, high = told(share)
    assert low <= middle <= high
    assert middle == pytest.approx(value / share)
    assert low >= value * (1 - 1e-12) or not rising
    assert told(1.0) == [pytest.approx(value)] * 3
    wide = told(share / 2)
    assert wide[2] - wide[1] >= (high - middle) * (1 - 1e-9)


def test_four_of_five_grains_end_within_the_interval() -> None:
    """Days around a mean, drawn: the share of months that end where ten of their days had foretold."""
    drawn = np.random.default_rng(1).normal(100, 20, (4000, 30))
    count = np.ones(4000)
    told = forecast(drawn[:, :10].sum(axis=1), count / 3, count * 30, count * 20, count > 1)
    ends = drawn.sum(axis=1)
    inside = ((told.low <= ends) & (ends <= told.high)).mean()
    assert abs(inside - 0.8) < 0.02


def test_without_a_spread_there_is_no_interval() -> None:
    told = forecast(
        np.array([5.0, 5.0]), np.array([0.5, 0.0]), np.array([30.0, 30.0]), np.full(2, math.nan), np.ones(2) > 0
    )
    assert told.value.tolist()[0] == 10
    assert np.isnan([told.low[0], told.high[0], told.value[1]]).all()
