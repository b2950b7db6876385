"""Alerts and silences as people read them in a terminal: a line each, the gravest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from engine.alerts.muting import SEVERITIES
from streamgauge.live import ANY, dimension_text, number

STATE_MARKS = {"firing": ("▲ firing", "bold red"), "pending": ("◌ pending", "yellow")}
SEVERITY_STYLES = {"critical": "red", "warning": "yellow", "info": "cyan"}
COLUMNS = ("state", "severity", "alert", "KPI", "series", "value", "bound", "since", "lasts", "reason")
ON_THE_RIGHT = ("value", "bound")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Active:
    """An alert that is pending or firing, read from its object (see docs/names.md)."""

    state: str
    severity: str
    alert: str
    kpi: str
    dims: Mapping[str, Any]
    value: Decimal | None
    bound: Decimal | None
    unit: str | None
    since: datetime | None
    reason: str
    muted_by: str | None
    silenced_by: str | None

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Active:
        """From an object decoded with `parse_float=Decimal`."""
        since = found.get("since")
        start = (found.get("window") or {}).get("start")
        zone = datetime.fromisoformat(start).tzinfo if start else None
        return cls(
            state=found["state"],
            severity=found["severity"],
            alert=found["alert"],
            kpi=found["kpi"],
            dims=found.get("dims") or {},
            value=_decimal(found.get("value")),
            bound=_decimal(found.get("bound")),
            unit=found.get("unit"),
            since=datetime.fromisoformat(since).astimezone(zone or UTC) if since else None,
            reason=found.get("reason") or "",
            muted_by=found.get("muted_by"),
            silenced_by=found.get("silenced_by"),
        )

    @property
    def rank(self) -> tuple[bool, int, str, str, datetime]:
        severity = [*SEVERITIES, self.severity].index(self.severity)
        return self.state != "firing", severity, self.kpi, self.alert, self.since or datetime.max.replace(tzinfo=UTC)


def alert_table(alerts: Iterable[Active], now: datetime) -> Table:
    """Firing before pending, the most severe first. ``now``: with its offset; how long one lasts is until then."""
    found = sorted(alerts, key=lambda one: one.rank)
    columns = [name for name in COLUMNS if name != "series" or any(one.dims for one in found)]
    if any(one.muted_by or one.silenced_by for one in found):
        columns.insert(-1, "nobody is told")
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    for name in columns:
        wraps = name in ("reason", "nobody is told", "series")
        table.add_column(name, justify="right" if name in ON_THE_RIGHT else "left", no_wrap=not wraps, overflow="fold")
    for one in found:
        shown = _cells(one, now)
        table.add_row(*(shown[name] for name in columns))
    return table


def shown_alerts(alerts: Sequence[Active], now: datetime, width: int) -> RenderableType:
    """`alert_table` where there is room for it, else a few lines for each alert."""
    table = alert_table(alerts, now)
    unlimited = Console(width=ANY)
    if Measurement.get(unlimited, unlimited.options, table).maximum <= width:
        return table
    return Group(*(_lines(one, now) for one in sorted(alerts, key=lambda one: one.rank)))


def _lines(one: Active, now: datetime) -> Text:
    shown = _cells(one, now)
    series = [shown["series"]] if one.dims else []
    first = Text("  ").join([shown["state"], shown["severity"], shown["alert"], shown["KPI"], *series])
    value = Text(" against ").join([shown["value"], *([shown["bound"]] if one.bound is not None else [])])
    when = Text.assemble(value, ", since ", shown["since"], f" ({shown['lasts']})")
    rest = [line for line in (shown["reason"], when, shown["nobody is told"]) if line]
    return Text("\n  ").join([first, *rest])


def _cells(one: Active, now: datetime) -> dict[str, Text]:
    mark, style = STATE_MARKS.get(one.state, (one.state, ""))
    unit = "" if one.unit in (None, "ratio") else f" {one.unit}"
    return {
        "state": Text(mark, style=style),
        "severity": Text(one.severity, style=SEVERITY_STYLES.get(one.severity, "")),
        "alert": Text(one.alert, style="bold"),
        "KPI": Text(one.kpi),
        "series": Text(", ".join(f"{name}={dimension_text(text)}" for name, text in one.dims.items()) or "-"),
        "value": Text(f"{number(one.value, one.unit)}{unit if one.value is not None else ''}", style="bold"),
        "bound": Text(number(one.bound, one.unit)),
        "since": Text(f"{one.since:%a %d %b %H:%M}" if one.since else "-"),
        "lasts": Text(length((now - one.since).total_seconds()) if one.since else "-"),
        "nobody is told": Text(why_quiet(one), style="dim"),
        "reason": Text(one.reason),
    }


def why_quiet(one: Active) -> str:
    """``muted by SalesLow of sales_today``; empty where people are told."""
    told = []
    if one.muted_by is not None:
        alert, _, rest = one.muted_by.partition("|")
        kpi, _, dims = rest.partition("|")
        series = f" {dims}" if dims not in ("", "-") else ""
        told.append(f"muted by {alert} of {kpi}{series}")
    if one.silenced_by is not None:
        told.append(f"silenced by {one.silenced_by}")
    return ", ".join(told)


def length(seconds: float) -> str:
    """``2 h 10 min``: the largest unit and the next one; events of a replay may be ahead of the clock."""
    left = max(0, int(seconds))
    at = next((place for place, (size, _) in enumerate(_UNITS) if left >= size), len(_UNITS) - 1)
    parts: list[str] = []
    for size, name in _UNITS[at : at + 2]:
        count, left = divmod(left, size)
        if count or not parts:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def told_silence(found: Mapping[str, Any]) -> dict[str, object]:
    """A silence's JSON object as a row of a table."""
    where = ", ".join(f"{name}={text}" for name, text in found["where"].items())
    return {
        "id": found["id"],
        "kpis": ", ".join(found["kpis"]) or "all",
        "alerts": ", ".join(found["alerts"]) or "all",
        "where": where or "-",
        "until": found["until"],
        "by": found.get("by"),
        "comment": found["comment"],
    }


SILENCE_HEADINGS: Mapping[str, str] = {
    name: "KPIs" if name == "kpis" else name for name in ("id", "kpis", "alerts", "where", "until", "by", "comment")
}


def counted_states(alerts: Sequence[Active]) -> str:
    """``2 firing, 1 pending``."""
    counts = {state: sum(one.state == state for one in alerts) for state in STATE_MARKS}
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)
