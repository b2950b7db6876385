"""The live view and the tables fit their terminal, and leave out what matters least."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console, RenderableType

from engine.catalog.model import Catalog
from streamgauge.catalog_files import read_catalog
from streamgauge.demo.screen import Activity, screen, series_key
from streamgauge.live import Value, cells, columns_of, newest_first, series_table, sparkline
from tests.streamgauge.conftest import RETAIL

END = datetime(2026, 11, 24, 8, tzinfo=UTC)
ACTIVITY = Activity(44_707.0, 1_444_421, 12, 1_444_421, 1_469_307, 345, "live; shops are closed until Tue 24 Nov 06:38")
FOOTER = ("brokers 127.0.0.1:9092", "Ctrl-C ends everything")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    loaded = read_catalog(RETAIL).catalog
    assert loaded is not None
    return loaded


def value(kpi: str, number: str | None, dims: dict[str, object] | None = None, end: datetime = END) -> Value:
    return Value(
        kpi=kpi, dims=dims or {}, start=end - timedelta(hours=1), end=end, state="open", revision=0,
        value=None if number is None else Decimal(number), reason=None if number else "no_data", samples=123_456,
        watermark=END, unit="USD", target=Decimal(380_000), status="warning", status_reason=None,
        compare=None, change=0.05,
    )  # fmt: skip


def values(catalog: Catalog) -> dict[str, list[Value]]:
    return {
        name: [value(name, "409237.13", dict.fromkeys(kpi.group_by, f"{n}")) for n in range(3 if kpi.group_by else 1)]
        for name, kpi in catalog.kpis.items()
    }


def drawn(view: RenderableType, width: int, height: int = 50) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (132, 43), (160, 50), (220, 70), (76, 15)])
def test_the_view_fits(catalog: Catalog, width: int, height: int) -> None:
    found = values(catalog)
    trends = {series_key(one): [Decimal(1), Decimal(3), Decimal(2)] for series in found.values() for one in series}
    lines = drawn(screen(catalog, found, ACTIVITY, FOOTER, width=width, height=height, trends=trends), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "event time" in text and "1,444,421" in text and "Sales, last 30 days" in text and "409,237.13 USD" in text
    assert ("STRATEGIC" in text) == (height >= 43)
    assert ("a larger terminal shows more" in text) == (height < 24)
    assert ("▁█▄" in text) == (width >= 132)


def test_kpis_without_values_are_shown_as_waiting(catalog: Catalog) -> None:
    lines = drawn(screen(catalog, {}, Activity(), FOOTER, width=160, height=50), 160)
    assert any("Sales, today ..." in line for line in lines)


def test_many_series_are_cut_to_the_terminal_and_said_so() -> None:
    many = [value("busiest_stores", str(number), {"store": number}) for number in range(500)]
    lines = drawn(series_table(newest_first(many), width=80, height=24), 80, 24)
    assert len(lines) < 24 and max(map(len, lines)) <= 80
    assert any("store=499" in line for line in lines)
    assert any("... 483 more" in line for line in lines)


def test_the_newest_window_comes_first_then_the_largest_value() -> None:
    old = value("sales", "9", {"at": "old"}, END - timedelta(days=1))
    given = [
        old,
        value("sales", None, {"at": "none"}),
        value("sales", "1", {"at": "low"}),
        value("sales", "5", {"at": "high"}),
    ]
    assert [one.dims["at"] for one in newest_first(given)] == ["high", "low", "none", "old"]


@pytest.mark.parametrize(
    ("past", "drawn_as"), [([], ""), ([1], ""), ([1, 2, 3], "▁▄█"), ([2, 2], "▄▄"), ([*range(100)], "▁▁▂▂▃▄▄▅▆▆▇█")]
)
def test_a_trend_is_drawn_between_its_lowest_and_highest_value(past: list[int], drawn_as: str) -> None:
    assert sparkline([Decimal(one) for one in past]) == drawn_as


def test_pace_has_a_column_only_where_there_is_one() -> None:
    plain, paced = cells_of(None), cells_of(0.8249)
    assert "pace" not in plain
    assert paced["pace"] == "82 % of pace"
    assert cells_of(0.9999)["pace"] == "99 % of pace"  # only what is on pace says so


def cells_of(share: float | None) -> dict[str, str]:
    value = Value.read(
        {
            "kpi": "sales", "dims": {}, "window": {"start": "2026-11-01T00:00:00Z", "end": "2026-11-11T00:00:00Z"},
            "state": "open", "revision": 0, "value": Decimal(328), "samples": 1,
            "pace": None if share is None else {"share": Decimal(str(share))},
        }
    )  # fmt: skip
    columns = columns_of([value], trends=False)
    return {column: text.plain for column, text in cells(value, None).items() if column in columns}
