"""KPIs as people read them in a terminal: one line each, redrawn while they change, or printed once at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.catalog.model import Catalog, Cumulate, Hop, Kpi

STATUS_MARKS = {"ok": ("● ok", "green"), "warning": ("▲ warning", "yellow"), "critical": ("■ critical", "red")}
STATE_MARKS = {"open": "filling", "closed": "closed", "revised": "revised"}
SERIES_SHOWN = 3  # of a KPI with dimensions: the largest ones


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


def values_table(catalog: Catalog, values: Mapping[str, Sequence[Value]]) -> Table:
    """A line per KPI without dimensions, up to `SERIES_SHOWN` lines (the largest) per KPI with them."""
    table = _table("KPI")
    for name, kpi in catalog.kpis.items():
        found = values.get(name, ())
        if not found:
            table.add_row(Text(kpi.title or name), Text("...", style="dim"))
        if kpi.group_by and found:
            table.add_row(Text(f"{kpi.title or name}, by {', '.join(kpi.group_by)}"))
        for value in found[: SERIES_SHOWN if kpi.group_by else 1]:
            label = (
                f"  {', '.join(_dimension(text) for text in value.dims.values())}" if value.dims else kpi.title or name
            )
            table.add_row(Text(label), *_cells(value, kpi))
    return table


def series_table(values: Iterable[Value]) -> Table:
    """A line per value, where no catalog is at hand."""
    table = _table("KPI", "series")
    for value in values:
        table.add_row(Text(value.kpi), Text(series_text(value)), *_cells(value, None))
    return table


def change_line(value: Value) -> Text:
    """One value in one line, for a pipe."""
    return Text("  ", end="").join([Text(value.kpi), Text(series_text(value)), *_cells(value, None)])


def series_text(value: Value) -> str:
    return ", ".join(f"{name}={_dimension(text)}" for name, text in value.dims.items()) or "-"


def _table(*first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
    for heading in (*first, "value", "unit", "change", "target", "status", "window", "state", "samples", "watermark"):
        table.add_column(
            heading, justify="right" if heading in ("value", "change", "target", "samples") else "left", no_wrap=True
        )
    return table


def _cells(value: Value, kpi: Kpi | None) -> Iterable[Text]:
    mark, style = STATUS_MARKS.get(value.status or "", ("-", "dim"))
    unit = "" if value.unit == "ratio" else value.unit or ""
    yield Text(
        number(value.value, value.unit) if value.reason is None else value.reason,
        style="bold" if value.reason is None else "dim",
    )
    yield Text(unit)
    yield change_text(value, kpi.favorable if kpi else None)
    yield Text(number(value.target, value.unit), style="" if value.target is not None else "dim")
    yield Text(mark, style=style)
    yield Text(window_text(value, kpi))
    yield Text(STATE_MARKS.get(value.state, value.state), style="dim" if value.state == "closed" else "")
    yield Text(f"{value.samples:,}")
    watermark = value.watermark and value.watermark.astimezone(value.end.tzinfo)
    yield Text(f"{watermark:%a %d %b %H:%M:%S}" if watermark else "-", style="dim")


def _dimension(text: object) -> str:
    return "(none)" if text is None else "(others)" if text == "__other__" else str(text)


def screen(
    catalog: Catalog, values: Mapping[str, Sequence[Value]], activity: Activity, addresses: Sequence[str]
) -> RenderableType:
    """The whole live view."""
    return Group(
        Text(f"streamgauge · {catalog.name}", style="bold"),
        *_activity_lines(activity),
        values_table(catalog, values),
        *map(_dim, addresses),
    )


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
