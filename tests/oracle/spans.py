"""Windows as SQL: one template per window type, giving (window_start, window_end) in microseconds since the epoch.

Every template is readable on its own in ``sql/``; this module only fills in sizes, zones and ranges.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb

from engine.catalog.model import Calendar, Cumulate, Duration, Grain, Hop, Offset, Tumble, Window

_FOLDER = Path(__file__).parent / "sql"
_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_EXACT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_DAYS = {"d": 1, "w": 7}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def template(name: str, **values: object) -> str:
    """The text of ``sql/NAME.sql`` with its placeholders filled in."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").format(**values)


def first_week_day(calendar: Calendar) -> date:
    """The first day of 1970 that starts a week; n-day grids are counted from it."""
    return _EPOCH + timedelta(days=(calendar.week_start - _EPOCH.weekday()) % 7)


def create_spans(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    window: Window,
    calendar: Calendar,
    lowest_us: int,
    highest_us: int,
) -> None:
    """Creates ``table(k, window_start, window_end, grain_start, grain_end)``: windows that end in (lowest, highest],
    k from 1."""
    common = {
        "lowest": lowest_us,
        "highest": highest_us,
        "zone": calendar.timezone,
        "anchor": (first_week_day(calendar) - _EPOCH).days * _DAY_US,
    }
    match window:
        case Tumble(grain=None, size=Duration() as size) if size.unit in _EXACT_US:
            windows = template("spans_tumble_exact", size=size.amount * _EXACT_US[size.unit], **common)
        case Tumble(grain=None, size=Duration() as size):
            windows = template("spans_tumble_days", days=size.amount * _DAYS[size.unit], **common)
        case Tumble(grain=grain) if grain is not None:
            _create_grains(connection, grain, calendar, lowest_us, highest_us)
            windows = template("spans_tumble_grain")
        case Hop(slide=slide):
            back = _hop_start(window, "window_end", calendar.timezone)
            windows = template("spans_hop", ends=_ends(slide, common), start_of_window=back)
        case Cumulate(grain=grain, step=step):
            _create_grains(connection, grain, calendar, lowest_us, highest_us)
            windows = template("spans_cumulate", ends=_ends(step, common))
        case _:
            raise ValueError(f"no template for {window}")
    connection.execute(template("spans", table=table, windows=windows, **common))


def create_shifted(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    origin: str,
    window: Window,
    offset: Offset,
    calendar: Calendar,
) -> None:
    """Creates ``table`` like ``origin``, with the compared windows of the same numbers."""
    zone = calendar.timezone
    exact = offset.unit in _EXACT_US
    match window:
        case Cumulate(grain=grain) | Tumble(grain=grain) if grain is not None:
            if exact:
                text = template("shifted_plain", moved_start=_earlier("window_start", offset, zone),
                                moved_end=_earlier("window_end", offset, zone), origin=origin)  # fmt: skip
            else:
                text = template(
                    "shifted_to_date" if _leads_to_a_grain(grain, offset) else "shifted_by_days",
                    moved_start=_earlier("window_start", offset, zone, days=True),
                    moved_grain_end=_grain_after("moved_start", grain, zone),
                    zone=zone,
                    origin=origin,
                )
        case Hop():
            moved_end = _earlier("window_end", offset, zone, days=window.slide.unit in _DAYS)
            text = template("shifted_plain", moved_start=_hop_start(window, f"({moved_end})", zone),
                            moved_end=moved_end, origin=origin)  # fmt: skip
        case Tumble(size=Duration() as size) if exact or size.unit in _EXACT_US:
            moved_start = _earlier("window_start", offset, zone)
            text = template("shifted_plain", moved_start=moved_start,
                            moved_end=f"({moved_start}) + window_end - window_start", origin=origin)  # fmt: skip
        case Tumble(size=Duration() as size):
            moved_start = _earlier("window_start", offset, zone, days=True)
            moved_end = f"day_later(({moved_start}), {size.amount * _DAYS[size.unit]}, '{zone}')"
            text = template("shifted_plain", moved_start=moved_start, moved_end=moved_end, origin=origin)
        case _:
            raise ValueError(f"no template for {window}")
    connection.execute(f"create or replace temp table {table} as {text}")


def _earlier(column: str, offset: Offset, zone: str, *, days: bool = False) -> str:
    """``column`` one offset earlier. ``days``: it holds starts of local days, and so does the answer."""
    if offset.unit in _EXACT_US:
        return f"{column} - {offset.amount * _EXACT_US[offset.unit]}"
    if offset.unit in _DAYS:
        return f"{'day' if days else 'days'}_later({column}, -{offset.amount * _DAYS[offset.unit]}, '{zone}')"
    return f"{'day_' if days else ''}months_earlier({column}, {offset.amount * _MONTHS[offset.unit]}, '{zone}')"


def _leads_to_a_grain(grain: Grain, offset: Offset) -> bool:
    """Whether the start of every such grain is moved to that of an earlier one."""
    days, months = offset.amount * _DAYS.get(offset.unit, 0), offset.amount * _MONTHS.get(offset.unit, 0)
    if grain in _MONTHS:
        return months > 0 and months % _MONTHS[grain] == 0
    return grain == "day" or (days > 0 and days % 7 == 0)


def _grain_after(column: str, grain: Grain, zone: str) -> str:
    if grain in _MONTHS:
        return f"day_months_earlier({column}, -{_MONTHS[grain]}, '{zone}')"
    return f"day_later({column}, {7 if grain == 'week' else 1}, '{zone}')"


def _hop_start(window: Hop, end: str, zone: str) -> str:
    size = window.size
    if size.unit in _EXACT_US:
        return f"{end} - {size.amount * _EXACT_US[size.unit]}"
    at_midnights = window.slide.unit in _DAYS
    return f"{'day' if at_midnights else 'days'}_later({end}, -{size.amount * _DAYS[size.unit]}, '{zone}')"


def _ends(step: Duration, common: dict[str, object]) -> str:
    if step.unit in _EXACT_US:
        return template("ends_exact", size=step.amount * _EXACT_US[step.unit], **common)
    return template("ends_days", days=step.amount * _DAYS[step.unit], **common)


def _create_grains(
    connection: duckdb.DuckDBPyConnection, grain: Grain, calendar: Calendar, lowest_us: int, highest_us: int
) -> None:
    first: dict[Grain, date] = {
        "day": _EPOCH,
        "week": first_week_day(calendar),
        "month": _EPOCH,
        "quarter": date(1970, calendar.fiscal_year_start, 1),
        "year": date(1970, calendar.fiscal_year_start, 1),
    }
    stride = {"day": "1 day", "week": "7 days", "month": "1 month", "quarter": "3 months", "year": "1 year"}[grain]
    connection.execute(
        template(
            "grains",
            first_day=first[grain],
            stride=stride,
            zone=calendar.timezone,
            lowest=lowest_us,
            highest=highest_us,
        )
    )
