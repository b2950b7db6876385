"""Seasonal pace of a retail year against DuckDB: what is expected by each hour of two months, by the weeks before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest

from tests.oracle import in_process
from tests.oracle.retail_year import Year, demo_year

NEW_YORK = ZoneInfo("America/New_York")
HOUR_US = 3_600_000_000
DAY = timedelta(days=1)
GRAINS = (
    date(2017, 5, 1),
    date(2017, 11, 1),
)  # history without holidays, and with two; the clocks change in November
# Of the United States, written down by hand.
HOLIDAYS = {
    date(2017, month, day)
    for month, day in [
        (1, 1), (1, 2), (1, 16), (2, 20), (5, 29), (7, 4), (9, 4), (10, 9), (11, 10), (11, 11), (11, 23), (12, 25),
    ]
}  # fmt: skip
TARGET = 100_000
KPI = f"""
  month:
    metric: sales
    group_by: [brand]
    window: {{type: cumulate, grain_to_date: month, step: 1h}}
    objectives: [{{op: gte, value: {TARGET}, pacing: seasonal}}]
"""


class _Paces:
    """Takes the place of what the oracle compares: the pace of every closed value."""

    def __init__(self, _catalog: object) -> None:
        self.found: dict[tuple[str | None, int], Any] = {}

    def add(self, records: Iterable[bytes]) -> None:
        for record in records:
            value = json.loads(record)
            end_us = round(datetime.fromisoformat(value["window"]["end"]).timestamp()) * 1_000_000
            if value["state"] != "open":
                self.found[value["dims"]["brand"], end_us] = value


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Year:
    year = demo_year(tmp_path_factory.mktemp("till-lines")).thinned(20)
    return Year(year.text[: year.text.index("\nkpis:")] + f"\nkpis:{KPI}", year.events, year.times_us)


def hours() -> pl.DataFrame:
    """Of 2017, on the wall clock of New York."""
    first = datetime(2017, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(24 * 365):
        at = (first + timedelta(hours=number)).astimezone(NEW_YORK)
        kind = 7 if at.date() in HOLIDAYS else at.weekday()
        rows.append((round(at.timestamp()) * 1_000_000, at.date(), at.hour, kind))
    return pl.DataFrame(rows, schema=["hour_us", "day", "hour", "kind"], orient="row")


def grains() -> tuple[pl.DataFrame, pl.DataFrame]:
    starts, ends = [], []
    for day in GRAINS:
        start = datetime(day.year, day.month, 1, tzinfo=NEW_YORK)
        until = datetime(day.year, day.month + 1, 1, tzinfo=NEW_YORK)
        start_us, until_us = (round(one.timestamp()) * 1_000_000 for one in (start, until))
        settled = (start.astimezone(UTC) - timedelta(hours=24, seconds=30)).astimezone(NEW_YORK)
        starts.append((start_us, settled.date()))
        ends += [(start_us, end_us) for end_us in range(start_us + HOUR_US, until_us + 1, HOUR_US)]
    return (
        pl.DataFrame(starts, schema=["start_us", "cut_day"], orient="row"),
        pl.DataFrame(ends, schema=["start_us", "end_us"], orient="row"),
    )


def test_what_is_expected_is_what_sql_expects(thin: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    given = thin.delivered(2)
    monkeypatch.setattr(in_process, "Published", _Paces)
    published: Any = in_process.published(thin.catalog, given, chunk=5_000)
    accepted = given.accepted()
    sold = accepted["sold_at"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").to_physical()
    starts, ends = grains()
    with duckdb.connect() as connection:
        tables = {
            "events": accepted.select(
                "brand", pl.col("sales_value").cast(pl.Float64), (sold // HOUR_US * HOUR_US).alias("hour_us")
            ),
            "hours": hours(),
            "grains": starts,
            "ends": ends,
        }
        for name, table in tables.items():
            connection.register(name, table.to_arrow())
        rows = connection.sql((Path(__file__).parent / "sql" / "pace.sql").read_text()).fetchall()
    expected = {(brand, end_us): TARGET * share for brand, end_us, share in rows}
    compared = 0
    for key, wanted in expected.items():
        value = published.found.get(key)
        if value is not None:
            compared += 1
            assert value["pace"]["way"] == "seasonal", value
            assert value["pace"]["expected"] == pytest.approx(wanted, rel=1e-9, abs=1e-6), value
    assert compared > 2_000
