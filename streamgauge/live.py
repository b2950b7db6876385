"""KPIs as people read them in a terminal: one line each, redrawn while they change, or printed once at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from engine.catalog.model import Cumulate, Hop, Kpi

STATUS_MARKS = {"ok": ("● ok", "green"), "warning": ("▲ warning", "yellow"), "critical": ("■ critical", "red")}
STATE_MARKS = {"open": "filling", "closed": "closed", "revised": "revised"}
COLUMNS = ("value", "change", "trend", "target", "status", "pace", "window", "state", "samples", "watermark")
DROPPED = ("state", "watermark", "trend", "samples", "window", "pace", "target")  # in this order, without room
ANY = 1_000  # columns or lines: no limit
AROUND = 6  # lines of a table around its rows, with its title and the cursor's line
ON_THE_RIGHT = ("value", "change", "target", "samples")
BARS = "▁▂▃▄▅▆▇█"
TREND_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Value:
    """A value object of the engine (see docs/names.md), read."""

    kpi: str
    dims: Mapping[str, Any]
    start: datetime
    end: datetime
    state: str
    revision: int
    value: Decimal | None
    reason: str | None
    samples: int
    watermark: datetime | None
    unit: str | None
    target: Decimal | None
    status: str | None
    status_reason: str | None
    compare: Decimal | None
    change: float | None
    pace: float | None = None  # a share of what is expected by now

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Value:
        """From a value object decoded with `parse_float=Decimal`."""
        compare = found.get("compare") or {}
        pace = found.get("pace") or {}
        watermark = found.get("watermark")
        return cls(
            kpi=found["kpi"],
            dims=found["dims"],
            start=datetime.fromisoformat(found["window"]["start"]),
            end=datetime.fromisoformat(found["window"]["end"]),
            state=found["state"],
            revision=found["revision"],
            value=_decimal(found["value"]),
            reason=found.get("reason"),
            samples=found["samples"],
            watermark=datetime.fromisoformat(watermark) if watermark else None,
            unit=found.get("unit"),
            target=_decimal(found.get("target")),
            status=found.get("status"),
            status_reason=found.get("status_reason"),
            compare=_decimal(compare.get("value")),
            change=None if compare.get("change") is None else float(compare["change"]),
            pace=None if pace.get("share") is None else float(pace["share"]),
        )


def number(value: Decimal | None, unit: str | None) -> str:
    """For reading, not for calculating: ``1,213,440.55``, ``28.4 %`` for a ratio."""
    if value is None:
        return "-"
    if unit == "ratio":
        return f"{value * 100:.2f} %"
    if value == value.to_integral_value():
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def window_text(value: Value, kpi: Kpi | None) -> str:
    """``30d to Tue 24 Nov``, ``since 00:00, to 15:00`` on the KPI's own clock."""
    zone = ZoneInfo(kpi.calendar.timezone) if kpi else None
    start, end = (moment.astimezone(zone) if zone else moment for moment in (value.start, value.end))
    if kpi and isinstance(kpi.window, Hop):
        return f"{kpi.window.size} to {_moment(end)}"
    if kpi and isinstance(kpi.window, Cumulate):
        return f"{kpi.window.grain} to {_moment(end)}"
    if end - start <= timedelta(hours=1):
        return f"{_moment(start)} to {end:%H:%M}"
    return f"{_moment(start)} to {_moment(end)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%a %d %b}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%a %d %b %H:%M}"


def change_text(value: Value, favorable: str | None) -> Text:
    """``▲ 5.5 %``, green when it goes the way the KPI's owner wants."""
    if value.change is None:
        return Text("-", style="dim")
    share = abs(value.change) * 100
    if share < 0.05:
        return Text("= 0.0 %")
    up = value.change > 0
    style = {"up": ("green", "red"), "down": ("red", "green")}.get(favorable or "", ("", ""))[0 if up else 1]
    return Text(f"{'▲' if up else '▼'} {share:,.1f} %", style=style)


def pace_text(share: float | None) -> str:
    """``82 % of pace``; whole, and rounded away from 100: only what is on pace says so."""
    if share is None:
        return "-"
    near = round(share * 100, 4)
    return f"{math.floor(near) if near < 100 else math.ceil(near):,} % of pace"


def shortened(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 1].rstrip() + "…"


def newest_first(values: Iterable[Value]) -> list[Value]:
    """Series by their newest window, the largest first: those that have gone silent come last."""
    return sorted(values, key=lambda one: (one.end, one.value is not None, one.value or 0), reverse=True)


def fitted(make: Callable[[Sequence[str]], Table], columns: Sequence[str], width: int) -> Table:
    """The table with as many of the columns as there is room for."""
    left = list(columns)
    table = make(left)
    unlimited = Console(width=ANY)
    for dropped in DROPPED:
        if Measurement.get(unlimited, unlimited.options, table).maximum <= width:
            break
        if dropped in left:
            left.remove(dropped)
            table = make(left)
    return table


def columns_of(values: Iterable[Value], *, trends: bool) -> list[str]:
    """Those of COLUMNS that say something of these values: most KPIs have no pace."""
    told = {"trend": trends, "pace": any(value.pace is not None for value in values)}
    return [column for column in COLUMNS if told.get(column, True)]


def series_table(values: Sequence[Value], *, width: int = ANY, height: int = ANY) -> Table:
    """A line per value, where no catalog is at hand; what does not fit is left out, and said so."""
    several = len({value.kpi for value in values}) > 1
    grouped = any(value.dims for value in values)
    shown = values if len(values) <= height - AROUND else values[: max(1, height - AROUND - 1)]
    widest = 60 if width >= 100 else 28

    def make(columns: Sequence[str]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)
        if grouped and not several:
            table.title, table.title_justify, table.title_style = values[0].kpi, "left", "bold"
        add_columns(table, ("KPI" if several or not grouped else "series", *columns))
        above = ""
        for value in shown:
            label = value.kpi
            if value.dims:
                label = f"{'  ' if several else ''}{series_text(value)}"
                if several and above != value.kpi:
                    table.add_row(Text(shortened(value.kpi, widest)))
            above = value.kpi
            found = cells(value, None)
            table.add_row(Text(shortened(label, widest)), *(found[column] for column in columns))
        if len(shown) < len(values):
            table.add_row(Text(f"... {len(values) - len(shown):,} more", style="dim"))
        return table

    return fitted(make, columns_of(values, trends=False), width)


def change_line(value: Value) -> Text:
    """One value in one line, for a pipe."""
    found = cells(value, None)
    told = [found[column] for column in columns_of([value], trends=False)]
    return Text("  ", end="").join([Text(value.kpi), Text(series_text(value)), *told])


def series_text(value: Value) -> str:
    return ", ".join(f"{name}={dimension_text(text)}" for name, text in value.dims.items()) or "-"


def add_columns(table: Table, headings: Iterable[str]) -> None:
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ON_THE_RIGHT else "left", no_wrap=True)


def cells(value: Value, kpi: Kpi | None) -> dict[str, Text]:
    """By column, in the order of COLUMNS, but for the trend, which is of more than one value."""
    mark, style = STATUS_MARKS.get(value.status or "", ("-", "dim"))
    unit = "" if value.unit in (None, "ratio") else f" {value.unit}"
    shown = Text.assemble((number(value.value, value.unit), "bold"), (unit, "dim"))
    if value.value is None and value.reason:
        shown = Text(value.reason.replace("_", " "), style="dim")
    watermark = value.watermark and value.watermark.astimezone(value.end.tzinfo)
    return {
        "value": shown,
        "change": change_text(value, kpi.favorable if kpi else None),
        "target": Text(number(value.target, value.unit), style="" if value.target is not None else "dim"),
        "status": Text(mark, style=style),
        "pace": Text(pace_text(value.pace), style="" if value.pace is not None else "dim"),
        "window": Text(window_text(value, kpi)),
        "state": _state(value),
        "samples": Text(f"{value.samples:,}"),
        "watermark": Text(f"{watermark:%a %d %b %H:%M:%S}" if watermark else "-", style="dim"),
    }


def _state(value: Value) -> Text:
    """With what is missing in a value that is shown all the same."""
    told = Text(STATE_MARKS.get(value.state, value.state), style="dim" if value.state == "closed" else "")
    if value.value is not None and value.reason:
        told.append(f", {value.reason.replace('_', ' ')}", style="yellow")
    return told


def dimension_text(text: object) -> str:
    return "(none)" if text is None else "(others)" if text == "__other__" else str(text)


def sparkline(values: Sequence[Decimal], width: int = TREND_WIDTH) -> str:
    """The last values as bars from the lowest to the highest of them: ``▁▂▅█``."""
    last = list(values[-width:])
    if len(last) < 2:
        return ""
    low, high = min(last), max(last)
    steps = len(BARS) - 1
    return "".join(BARS[int((value - low) * steps / (high - low)) if high > low else steps // 2] for value in last)


def _decimal(found: object) -> Decimal | None:
    return None if found is None else Decimal(str(found))
