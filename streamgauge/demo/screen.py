"""The live view: what goes on, and a line for each KPI, fitted to the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.catalog.model import Catalog, Kpi
from streamgauge.live import ANY, Value, add_columns, cells, columns_of, dimension_text, fitted, shortened, sparkline

SERIES_SHOWN = 3  # of a KPI with dimensions: the largest ones
WIDE, NARROW = 38, 27  # of a KPI's title

Trends = Mapping[tuple[str, str], Sequence[Decimal]]  # (kpi, series) -> values of its past windows


@dataclass(frozen=True, slots=True)
class Activity:
    """What is going on around the values."""

    events_per_second: float | None = None
    accepted: int = 0
    refused: int = 0
    sent: int = 0
    to_send: int = 0
    lag: int | None = None
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """How much of a view there is room for: blank lines, headings of categories, series of a KPI, what stands below."""

    airy: bool = True
    headings: bool = True
    series: int = SERIES_SHOWN
    footer: bool = True
    rule: bool = True

    def count(self, catalog: Catalog, footer: int) -> int:
        """Lines from the table's heading on."""
        grouped = sum(bool(kpi.group_by) for kpi in catalog.kpis.values())
        below = grouped * self.series if self.series > 1 else 0
        headings = len(_by_category(catalog)) if self.headings else 0
        around = 1 + self.rule + self.airy + (footer + 1 if self.footer else 0)
        return around + len(catalog.kpis) + below + headings


# From the fullest to the barest; a KPI's only series shares its line.
FITTING = (
    Lines(),
    Lines(airy=False),
    Lines(airy=False, headings=False),
    Lines(airy=False, headings=False, series=1),
    Lines(airy=False, headings=False, series=1, footer=False),
    Lines(airy=False, headings=False, series=1, footer=False, rule=False),
)


def series_key(value: Value) -> tuple[str, str]:
    return value.kpi, str(dict(value.dims))


def screen(
    catalog: Catalog,
    values: Mapping[str, Sequence[Value]],
    activity: Activity,
    footer: Sequence[str],
    *,
    width: int,
    height: int,
    trends: Trends | None = None,
) -> RenderableType:
    """The whole view, for a terminal of this size."""
    above = list(_above(catalog, values, activity, width))
    room = height - len(above) - 1  # the cursor's line
    lines = next((one for one in FITTING if one.count(catalog, len(footer)) <= room), FITTING[-1])
    table = values_table(catalog, values, trends=trends or {}, width=width, lines=lines, most=room - 1 - lines.rule)
    below = [Text(""), *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in footer)]
    return Group(*above, *([Text("")] if lines.airy else ()), table, *(below if lines.footer else ()))


def _above(
    catalog: Catalog, values: Mapping[str, Sequence[Value]], activity: Activity, width: int
) -> Iterator[RenderableType]:
    marks = [value.watermark for found in values.values() for value in found if value.watermark]
    zone = ZoneInfo(catalog.calendar.timezone)
    title = Table.grid(expand=True)
    title.add_column(no_wrap=True)
    title.add_column(justify="right", no_wrap=True)
    title.add_row(
        Text.assemble(("streamgauge", "bold cyan"), ("  ", ""), (catalog.name, "bold")),
        Text.assemble(
            ("event time ", "dim"), (f"{max(marks).astimezone(zone):%a %d %b %Y %H:%M:%S %Z}" if marks else "-", "bold")
        ),
    )
    yield title
    yield _counts(activity)
    if activity.to_send:
        bar = Table.grid(padding=(0, 1))
        told = f"{activity.sent:,} of {activity.to_send:,} lines sent"
        if width < 110:
            told = f"{activity.sent / activity.to_send:.0%} sent"
        phase = shortened(activity.phase, max(12, width - len(told) - 14))
        bar.add_row(
            ProgressBar(
                total=activity.to_send,
                completed=activity.sent,
                width=min(40, max(8, width - len(told) - len(phase) - 3)),
            ),
            Text(told, style="dim", no_wrap=True),
            Text(phase, style="bold" if activity.phase.startswith("live") else "", no_wrap=True),
        )
        yield bar


def _counts(activity: Activity) -> Text:
    pace = "-" if activity.events_per_second is None else f"{activity.events_per_second:,.0f}"
    parts = [(f"{activity.accepted:,}", " events folded"), (pace, " events/s")]
    if activity.lag is not None:
        parts.append((f"{activity.lag:,}", " waiting"))
    if activity.refused:
        parts.append((f"{activity.refused:,}", " refused"))
    line = Text(no_wrap=True, overflow="ellipsis")
    for number, what in parts:
        line.append("   " if line else "")
        line.append(number, style="bold")
        line.append(what, style="dim")
    return line


def values_table(
    catalog: Catalog,
    values: Mapping[str, Sequence[Value]],
    *,
    trends: Trends | None = None,
    width: int = ANY,
    lines: Lines = FITTING[0],
    most: int = ANY,
) -> Table:
    """A line per KPI, the largest series of those with dimensions; columns and lines that do not fit are left out."""
    columns = columns_of((value for series in values.values() for value in series), trends=bool(trends))
    widest = WIDE if width >= 100 else NARROW
    return fitted(lambda left: _table(catalog, values, trends or {}, left, lines, widest, most), columns, width)


def _table(
    catalog: Catalog,
    values: Mapping[str, Sequence[Value]],
    trends: Trends,
    columns: Sequence[str],
    lines: Lines,
    widest: int,
    most: int,
) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD if lines.rule else None, show_edge=False, pad_edge=False, padding=(0, 1), header_style="dim"
    )
    add_columns(table, ("KPI", *columns))
    rows: list[list[Text]] = []
    for category, names in _by_category(catalog).items():
        if lines.headings:
            rows.append([Text(category.upper(), style="cyan")])
        for name in names:
            for label, value in _labelled(name, catalog.kpis[name], values.get(name, ()), lines.series, widest):
                found = cells(value, catalog.kpis[name]) if value else {}
                if value:
                    found["trend"] = Text(sparkline(trends.get(series_key(value), ())), style="cyan")
                rows.append([label, *(found[column] for column in columns if value)])
    if len(rows) > most:
        rows = [*rows[: most - 1], [Text("... a larger terminal shows more", style="dim")]]
    for row in rows:
        table.add_row(*row)
    return table


def _labelled(
    name: str, kpi: Kpi, found: Sequence[Value], series: int, widest: int
) -> Iterable[tuple[Text, Value | None]]:
    """The lines of one KPI: what stands first in each, and its value."""
    title = kpi.title or name
    if not found:
        yield Text.assemble(shortened(title, widest - 4), (" ...", "dim")), None
    elif not kpi.group_by:
        yield Text(shortened(title, widest)), found[0]
    elif series == 1:
        at = ", ".join(dimension_text(text) for text in found[0].dims.values())
        yield Text.assemble(shortened(title, widest - len(at) - 2), (f": {at}", "italic")), found[0]
    else:
        yield Text(shortened(title, widest)), None
        for value in found[:series]:
            at = ", ".join(dimension_text(text) for text in value.dims.values())
            yield Text(shortened(f"  {at}", widest), style="italic"), value


def _by_category(catalog: Catalog) -> dict[str, list[str]]:
    """Names of KPIs by category, in the order of the catalog."""
    found: dict[str, list[str]] = {}
    for name, kpi in catalog.kpis.items():
        found.setdefault((kpi.category or "other").partition("/")[0], []).append(name)
    return found
