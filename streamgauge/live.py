"""KPIs as people read them in a terminal: one line each, redrawn while they change, or printed once at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.catalog.model import Catalog, Cumulate, Hop, Kpi

STATUS_MARKS = {"ok": ("● ok", "green"), "warning": ("▲ warning", "yellow"), "critical": ("■ critical", "red")}
STATE_MARKS = {"open": "filling", "closed": "closed", "revised": "revised"}
WIDEST = 40  # of a KPI's title
SERIES_SHOWN = 3  # of a KPI with dimensions: the largest ones
COLUMNS = ("value", "change", "target", "status", "window", "state", "samples", "watermark")
DROPPED = ("watermark", "state", "samples", "window", "target")  # in this order, where the terminal is narrow


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

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Value:
        """From a value object decoded with `parse_float=Decimal`."""
        compare = found.get("compare") or {}
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
        )


@dataclass(frozen=True, slots=True)
class Activity:
    """What is going on around the values, for the lines above them."""

    events_per_second: float | None = None
    accepted: int = 0
    refused: int = 0
    sent: int = 0
    to_send: int = 0
    lag: int | None = None
    phase: str = ""


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


def values_table(
    catalog: Catalog, values: Mapping[str, Sequence[Value]], *, width: int | None = None, height: int | None = None
) -> Table:
    """A line per KPI without dimensions, the largest series of each KPI with them; what does not fit is left out."""
    series = SERIES_SHOWN
    if (
        height is not None
        and len(catalog.kpis) + SERIES_SHOWN * sum(bool(k.group_by) for k in catalog.kpis.values()) > height
    ):
        series = 1
    columns = list(COLUMNS)
    for dropped in (None, *DROPPED):
        if dropped:
            columns.remove(dropped)
        table = _values_table(
            catalog, values, columns, series, WIDEST if width is None or width >= 100 else WIDEST // 2 + 8
        )
        if width is None or Measurement.get(Console(width=1000), Console(width=1000).options, table).maximum <= width:
            break
    return table


def _values_table(
    catalog: Catalog, values: Mapping[str, Sequence[Value]], columns: Sequence[str], series: int, widest: int
) -> Table:
    table = _table(("KPI",), columns)
    for name, kpi in catalog.kpis.items():
        found = values.get(name, ())
        title = _shortened(kpi.title or name, widest)
        if not found:
            table.add_row(Text(title), Text("...", style="dim"))
            continue
        if kpi.group_by:
            table.add_row(Text(title))
        for value in found[: series if kpi.group_by else 1]:
            label = title
            if kpi.group_by:
                label = _shortened(f"  {', '.join(_dimension(text) for text in value.dims.values())}", widest)
            cells = _cells(value, kpi)
            table.add_row(Text(label), *(cells[column] for column in columns))
    return table


def _shortened(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 1].rstrip() + "…"


def series_table(values: Iterable[Value]) -> Table:
    """A line per value, where no catalog is at hand."""
    table = _table(("KPI", "series"), COLUMNS)
    for value in values:
        table.add_row(Text(value.kpi), Text(series_text(value)), *_cells(value, None).values())
    return table


def change_line(value: Value) -> Text:
    """One value in one line, for a pipe."""
    return Text("  ", end="").join([Text(value.kpi), Text(series_text(value)), *_cells(value, None).values()])


def series_text(value: Value) -> str:
    return ", ".join(f"{name}={_dimension(text)}" for name, text in value.dims.items()) or "-"


def _table(first: Sequence[str], columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
    for heading in (*first, *columns):
        table.add_column(
            heading, justify="right" if heading in ("value", "change", "target", "samples") else "left", no_wrap=True
        )
    return table


def _cells(value: Value, kpi: Kpi | None) -> dict[str, Text]:
    """By column, in the order of COLUMNS."""
    mark, style = STATUS_MARKS.get(value.status or "", ("-", "dim"))
    unit = "" if value.unit in (None, "ratio") else f" {value.unit}"
    shown = (
        Text(value.reason, style="dim") if value.reason else Text(number(value.value, value.unit) + unit, style="bold")
    )
    watermark = value.watermark and value.watermark.astimezone(value.end.tzinfo)
    return {
        "value": shown,
        "change": change_text(value, kpi.favorable if kpi else None),
        "target": Text(number(value.target, value.unit), style="" if value.target is not None else "dim"),
        "status": Text(mark, style=style),
        "window": Text(window_text(value, kpi)),
        "state": Text(STATE_MARKS.get(value.state, value.state), style="dim" if value.state == "closed" else ""),
        "samples": Text(f"{value.samples:,}"),
        "watermark": Text(f"{watermark:%a %d %b %H:%M:%S}" if watermark else "-", style="dim"),
    }


def _dimension(text: object) -> str:
    return "(none)" if text is None else "(others)" if text == "__other__" else str(text)


def screen(
    catalog: Catalog,
    values: Mapping[str, Sequence[Value]],
    activity: Activity,
    addresses: Sequence[str],
    *,
    width: int,
    height: int,
) -> RenderableType:
    """The whole live view, for a terminal of this size."""
    around = list(_activity_lines(activity))
    table = values_table(catalog, values, width=width, height=height - len(around) - len(addresses) - 5)
    marks = [value.watermark for found in values.values() for value in found if value.watermark]
    at = (
        f" · event time {max(marks).astimezone(ZoneInfo(catalog.calendar.timezone)):%a %d %b %Y %H:%M:%S}"
        if marks
        else ""
    )
    return Group(Text(f"streamgauge · {catalog.name}{at}", style="bold"), *around, table, *map(_dim, addresses))


def _activity_lines(activity: Activity) -> Iterable[RenderableType]:
    parts = [f"{activity.accepted:,} events folded"]
    if activity.events_per_second is not None:
        parts.append(f"{activity.events_per_second:,.0f} events/s")
    if activity.refused:
        parts.append(f"{activity.refused:,} refused")
    if activity.lag is not None:
        parts.append(f"{activity.lag:,} waiting")
    yield Text(" · ".join(parts))
    if activity.to_send:
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(activity.phase),
            ProgressBar(total=activity.to_send, completed=activity.sent, width=40),
            Text(f"{activity.sent:,} of {activity.to_send:,} lines sent"),
        )
        yield line


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _decimal(found: object) -> Decimal | None:
    return None if found is None else Decimal(str(found))
