"""The demo's events and their catalog."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.model import Catalog, Cumulate, Hop, Tumble
from streamgauge.catalog_files import read_catalog
from streamgauge.retail import (
    RUN,
    TIME_FIELD,
    TillLines,
    catalog_path,
    last_sold,
    next_line,
    partition_runs,
    till_lines,
)
from streamgauge.sending.shifting import Shift


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return till_lines(tmp_path_factory.mktemp("retail"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    loaded = read_catalog(catalog_path())
    assert not loaded.problems and not loaded.notices
    assert loaded.catalog is not None
    return loaded.catalog


def test_the_catalog_covers_what_a_retailer_wants(catalog: Catalog) -> None:
    kpis = catalog.kpis.values()
    assert len(kpis) >= 14
    assert {kpi.type for kpi in kpis} == {"simple", "ratio", "derived"}
    assert {type(kpi.window) for kpi in kpis} == {Tumble, Hop, Cumulate}
    assert {(kpi.category or "").partition("/")[0] for kpi in kpis} == {"strategic", "operational", "functional"}
    assert {kpi.indicator for kpi in kpis} == {"leading", "lagging"}
    assert {catalog.metrics[kpi.metric].agg for kpi in kpis if kpi.metric} >= {
        "sum",
        "count_distinct",
        "percentile",
        "rate",
    }


def test_every_kpi_of_it_is_owned_serves_a_goal_and_is_reviewed(catalog: Catalog) -> None:
    for kpi in catalog.kpis.values():
        assert kpi.title and kpi.description and kpi.owner and kpi.review and kpi.favorable, kpi.name
        assert kpi.goal in catalog.goals
        assert kpi.objectives or kpi.group_by, kpi.name


def test_the_year_is_the_year_2017_of_the_stores(lines: Path) -> None:
    opened = TillLines.open(lines, Shift(TIME_FIELD, 0))
    stores = ZoneInfo("America/New_York")
    assert opened.rows == 1_469_307
    assert opened.sold_at(0).astimezone(stores).isoformat() == "2017-01-01T06:53:26-05:00"
    assert last_sold(lines).astimezone(stores).isoformat() == "2017-12-31T23:01:20-05:00"


def test_every_line_has_an_identity_of_its_own_and_all_its_cents(lines: Path) -> None:
    found = pl.scan_parquet(lines).select(
        pl.col("line_id").n_unique().alias("identities"),
        pl.col("department").null_count().alias("without_product"),
        (pl.col("sales_value") * 100).round().cast(pl.Int64).sum().alias("cents"),
    )
    assert found.collect().row(0) == (1_469_307, 4_836, 459_603_958)


def test_lines_are_events_that_fit_the_source(lines: Path, catalog: Catalog) -> None:
    opened = TillLines.open(lines, Shift(TIME_FIELD, 465))
    events = [json.loads(value, parse_float=Decimal) for value in opened.values(1000, 1100)]
    fields = catalog.sources["till_lines"].fields
    for number, event in enumerate(events, start=1000):
        assert set(event) == set(fields)
        assert datetime.fromisoformat(event["sold_at"]) == opened.sold_at(number)
        assert event["sales_value"] == round(event["sales_value"], 2)


def test_a_moment_divides_the_lines(lines: Path) -> None:
    opened = TillLines.open(lines, Shift(TIME_FIELD, 10))
    moment = datetime(2017, 8, 1, 12, tzinfo=UTC)
    count = opened.sold_before(moment)
    assert opened.sold_at(count - 1) < moment <= opened.sold_at(count)
    assert opened.sold_before(moment + timedelta(days=5000)) == opened.rows


@given(held=st.lists(st.integers(0, 3_000), min_size=1, max_size=5), stop=st.integers(0, 20_000))
def test_what_a_partition_holds_says_which_line_is_next(held: list[int], stop: int) -> None:
    """Resuming from the partitions' lengths sends every line exactly once, to where it would have gone at once."""
    partitions = len(held)
    everything = {
        line: partition for partition, first, end in partition_runs(0, stop, partitions) for line in range(first, end)
    }
    assert sorted(everything) == list(range(stop))
    for partition, length in enumerate(held):
        its_lines = [line for line in range(stop) if everything[line] == partition]
        if length < len(its_lines):
            assert next_line(partition, length, partitions) == its_lines[length]
        elif length == len(its_lines):
            assert next_line(partition, length, partitions) >= stop - stop % RUN - RUN * partitions
