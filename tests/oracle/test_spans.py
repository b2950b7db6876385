"""Windows of the oracle against answers worked out by hand, and its time zones against zoneinfo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from engine.catalog.model import Calendar, Cumulate, Duration, Hop, Offset, Tumble, Window
from tests.oracle.comparing import instant_us
from tests.oracle.spans import create_shifted, create_spans, template

AMSTERDAM = Calendar("Europe/Amsterdam")


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connected = duckdb.connect(config={"threads": 1})
    connected.execute("set TimeZone = 'UTC'")
    connected.execute(template("zones"))
    return connected


def _local(us: int, zone: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(ZoneInfo(zone)).isoformat()[
        :-9
    ] + (datetime.fromtimestamp(us / 1e6, ZoneInfo(zone)).isoformat()[-6:])


def _spans(
    connection: duckdb.DuckDBPyConnection,
    window: Window,
    calendar: Calendar,
    low: str,
    high: str,
    offset: Offset | None = None,
) -> list[str]:
    create_spans(connection, "spans", window, calendar, instant_us(low), instant_us(high))
    table = "spans"
    if offset is not None:
        table = "earlier"
        create_shifted(connection, table, "spans", window, offset, calendar)
    rows = connection.execute(f"select window_start, window_end from {table} order by k").fetchall()
    return [f"{_local(start, calendar.timezone)} {_local(end, calendar.timezone)}" for start, end in rows]


@pytest.mark.parametrize(
    "zone", ["Europe/Amsterdam", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]
)
def test_wall_times_become_the_instants_that_the_rules_say(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    year = instant_us("2017-01-01T00:00:00Z")
    rows = connection.execute(
        f"select wall, instant_of(wall, '{zone}') "
        f"from range({year}, {year + 370 * 86_400_000_000}, 1800000000) as walls(wall)"
    ).fetchall()
    there = ZoneInfo(zone)
    for wall, instant in rows:
        said = datetime(1970, 1, 1) + timedelta(microseconds=wall)
        moment = said.replace(tzinfo=there, fold=0).astimezone(UTC)
        if moment.astimezone(there).replace(tzinfo=None) != said:  # in a gap: forward to its end
            moment -= timedelta(hours=3)
            while moment.astimezone(there).replace(tzinfo=None) < said:
                moment += timedelta(minutes=1)
        assert instant == instant_us(moment.isoformat())


def test_a_day_of_the_spring_change_has_23_hours(connection: duckdb.DuckDBPyConnection) -> None:
    assert _spans(connection, Tumble(grain="day"), AMSTERDAM, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z") == [
        "2026-03-28T00:00+01:00 2026-03-29T00:00+01:00",
        "2026-03-29T00:00+01:00 2026-03-30T00:00+02:00",
    ]


def test_a_day_whose_midnight_does_not_exist_starts_after_the_gap(connection: duckdb.DuckDBPyConnection) -> None:
    calendar = Calendar("America/Sao_Paulo")
    assert _spans(connection, Tumble(grain="day"), calendar, "2017-10-14T12:00:00Z", "2017-10-16T12:00:00Z") == [
        "2017-10-14T00:00-03:00 2017-10-15T01:00-02:00",
        "2017-10-15T01:00-02:00 2017-10-16T00:00-02:00",
    ]


def test_seven_days_end_on_the_weekday_that_starts_the_week(connection: duckdb.DuckDBPyConnection) -> None:
    calendar = Calendar("Europe/Amsterdam", week_start=6)
    window = Tumble(size=Duration(7, "d"))
    assert _spans(connection, window, calendar, "2026-11-16T00:00:00Z", "2026-11-23T12:00:00Z") == [
        "2026-11-15T00:00+01:00 2026-11-22T00:00+01:00"
    ]


def test_thirty_days_by_the_hour_keep_the_wall_time(connection: duckdb.DuckDBPyConnection) -> None:
    window = Hop(Duration(30, "d"), Duration(1, "h"))
    assert _spans(connection, window, AMSTERDAM, "2026-11-22T22:30:00Z", "2026-11-23T00:00:00Z") == [
        "2026-10-24T00:00+02:00 2026-11-23T00:00+01:00",
        "2026-10-24T01:00+02:00 2026-11-23T01:00+01:00",
    ]


def test_fiscal_quarters_and_years(connection: duckdb.DuckDBPyConnection) -> None:
    calendar = Calendar("UTC", fiscal_year_start=2)
    assert _spans(connection, Tumble(grain="quarter"), calendar, "2023-11-15T00:00:00Z", "2024-05-01T00:00:00Z") == [
        "2023-11-01T00:00+00:00 2024-02-01T00:00+00:00",
        "2024-02-01T00:00+00:00 2024-05-01T00:00+00:00",
    ]
    assert _spans(connection, Tumble(grain="year"), calendar, "2023-03-15T00:00:00Z", "2024-05-01T00:00:00Z") == [
        "2023-02-01T00:00+00:00 2024-02-01T00:00+00:00"
    ]


def test_a_grain_to_date_ends_at_each_step_and_with_the_grain(connection: duckdb.DuckDBPyConnection) -> None:
    window = Cumulate("day", Duration(12, "h"))
    assert _spans(connection, window, Calendar("America/New_York"), "2026-06-01T05:00:00Z", "2026-06-02T05:00:00Z") == [
        "2026-06-01T00:00-04:00 2026-06-01T08:00-04:00",
        "2026-06-01T00:00-04:00 2026-06-01T20:00-04:00",
        "2026-06-01T00:00-04:00 2026-06-02T00:00-04:00",
    ]


def test_a_month_to_date_is_compared_with_the_same_part_of_the_month_before(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    window = Cumulate("month", Duration(1, "d"))
    assert _spans(
        connection, window, AMSTERDAM, "2026-03-27T00:00:00Z", "2026-03-31T23:00:00Z", Offset(1, "month")
    ) == [
        "2026-02-01T00:00+01:00 2026-02-28T00:00+01:00",
        "2026-02-01T00:00+01:00 2026-03-01T00:00+01:00",
        "2026-02-01T00:00+01:00 2026-03-01T00:00+01:00",
        "2026-02-01T00:00+01:00 2026-03-01T00:00+01:00",
        "2026-02-01T00:00+01:00 2026-03-01T00:00+01:00",
    ]


def test_a_month_before_the_31st_is_the_months_last_day(connection: duckdb.DuckDBPyConnection) -> None:
    window = Hop(Duration(1, "d"), Duration(1, "d"))
    assert _spans(
        connection, window, Calendar("UTC"), "2024-03-31T00:00:00Z", "2024-04-01T00:00:00Z", Offset(1, "month")
    ) == ["2024-02-29T00:00+00:00 2024-03-01T00:00+00:00"]
