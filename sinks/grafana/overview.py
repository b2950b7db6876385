"""The overview of a catalog: how many KPIs stand how, then each of them under the goal it serves, then alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DashboardRangeMapOptions,
    Panel,
    RangeMap,
    ValueMappingResult,
)

from engine.catalog.model import Catalog
from sinks import names
from sinks.grafana.alerts import active_alerts, alerts_by_series, alerts_of_rules
from sinks.grafana.layout import Line, Section, even
from sinks.grafana.palette import CRITICAL, FAINT, OK, TEXT, WARNING, fixed, missing_as, none_is_faint
from sinks.grafana.panels import (
    IN_ITS_COLOR,
    STATUS,
    Column,
    Look,
    Query,
    bars,
    result_of,
    rows,
    stats,
)
from sinks.grafana.queries import current, of_kpis, or_missing, or_zero, selector, without_rest
from sinks.grafana.subjects import Subject
from sinks.grafana.units import SECONDS, SHARE
from sinks.grafana.wording import literal

PER_LINE = 4
_SHOWN_SERIES = 3
_NOTHING = 1e-9  # a smaller change is none
_AGE = Look(unit=SECONDS, decimals=0, color=fixed(TEXT), mappings=missing_as("No data"))
CHANGE = Look(unit=SHARE, decimals=1, color=fixed(TEXT), mappings=missing_as("–"))


def overview(catalog: Catalog, subjects: Sequence[Subject]) -> list[Section]:
    kpis = of_kpis([subject.name for subject in subjects])
    goals = [
        (
            f"{goal.title}{f' · {goal.owner}' if goal.owner else ''}",
            [s for s in subjects if s.plan.kpi.goal == goal.name],
        )
        for goal in catalog.goals.values()
    ]
    goals.append(("Without a goal", [s for s in subjects if s.plan.kpi.goal not in catalog.goals]))
    return [
        Section("", [Line(4, [4] * 6, _summary(kpis, len(subjects)))]),
        *(Section(literal(title), _tiles(of_goal)) for title, of_goal in goals),
        Section("Alerts", [Line(9, [10, 14], [alerts_of_rules(kpis), alerts_by_series(kpis)])]),
        Section("All KPIs", [Line(12, [24], [_table(kpis)])]),
    ]


def _summary(kpis: str, count: int) -> list[Panel]:
    worst = f"max by ({names.KPI_LABEL}) ({current(names.KPI_STATUS, kpis)})"
    without = f"{count} - ({or_zero(f'count({worst})')})"
    oldest = or_missing(f"time() - min({current(names.KPI_WATERMARK, kpis)})")

    def number(title: str, expr: str, look: Look, why: str) -> Panel:
        return stats(title, [Query(expr)], look, description=why)

    def standing(title: str, status: str, color: str, why: str) -> Panel:
        look = Look(color=fixed(color), mappings=none_is_faint())
        return number(title, or_zero(f"count({worst} == {names.STATUS_NUMBERS[status]})"), look, why)

    return [
        standing("Critical", "critical", CRITICAL, "KPIs with a series that missed its target by far."),
        standing("Warning", "warning", WARNING, "KPIs whose worst series missed its target by little."),
        standing("OK", "ok", OK, "KPIs all of whose series with a status meet their targets."),
        number("No status", without, Look(color=fixed(FAINT)), "KPIs without a target, a value, or a window to judge."),
        active_alerts(),
        number("Oldest data", oldest, _AGE, "The clock, less the event time of the KPI that is furthest behind."),
    ]


def _tiles(subjects: Sequence[Subject]) -> list[Line]:
    """Of each KPI a tile with its value, and below it a strip with what the value is worth."""
    found: list[Line] = []
    for at in range(0, len(subjects), PER_LINE):
        part = subjects[at : at + PER_LINE]
        found += even(4, [value_tile(subject, [subject.detail_link()]) for subject in part], PER_LINE)
        found += even(3, [strip(subject) for subject in part], PER_LINE)
    return found


def value_tile(
    subject: Subject, links: Sequence[DashboardLink] = (), count: int = _SHOWN_SERIES, *, sparkline: bool = True
) -> Panel:
    """The value; of a KPI with dimensions the series to look at first.

    With its course the value is as old as the distance of two points, so that is for short times alone.
    """
    kpi, description = of_kpis([subject.name]), subject.description
    look = replace(subject.look, color=fixed(OK), links=links)
    if not subject.dimensions:
        query = Query(or_missing(f"max({current(names.KPI_VALUE, kpi)})"), "Value")
        return stats(subject.title, [query], look, sparkline=sparkline, description=description)
    first = f"{subject.pick}({count}, {current(names.KPI_VALUE, kpi, *without_rest(subject.dimensions))})"
    return bars(f"{subject.title}: {subject.first}", [Query(first, subject.series)], look, description=description)


def strip(subject: Subject, title: str | None = None, *, upright: bool = False) -> Panel:
    """Status in words and colour, target, change, age of the data; the owner above."""
    kpi = of_kpis([subject.name])
    queries = []
    if subject.has_status:
        queries.append(Query(or_missing(f"max({current(names.KPI_STATUS, kpi)})"), "Status", STATUS))
    if subject.dimensions:
        if subject.has_status:
            missed = f"count({current(names.KPI_STATUS, kpi)} == {names.STATUS_NUMBERS['critical']})"
            queries.append(Query(or_zero(missed), "Critical series", Look(color=fixed(TEXT))))
        queries.append(Query(or_zero(f"count({current(names.KPI_VALUE, kpi)})"), "Series", Look(color=fixed(TEXT))))
    else:
        if subject.has_status:
            target = or_missing(f"max({current(names.KPI_TARGET, kpi)})")
            queries.append(Query(target, subject.target_title, replace(subject.look, mappings=missing_as("–"))))
        if subject.has_comparison:
            queries.append(
                Query(or_missing(f"max({current(names.KPI_COMPARE_CHANGE, kpi)})"), "Change", change(subject))
            )
    age = or_missing(f"time() - min({current(names.KPI_WATERMARK, kpi)})")
    queries.append(Query(age, "Data age", _AGE))
    owner = literal(f"Owner: {subject.plan.facts.owner}") if subject.plan.facts.owner else "No owner"
    return stats(title or owner, queries, Look(color=fixed(TEXT)), named=True, upright=upright)


def change(subject: Subject) -> Look:
    """A change is in the colour of what it means: better or worse, where the catalog says which way is good."""
    good = subject.plan.kpi.favorable
    if good not in ("up", "down"):
        return CHANGE
    below, above = (WARNING, OK) if good == "up" else (OK, WARNING)
    ranges = [
        RangeMap(
            options=DashboardRangeMapOptions(
                from_val=None, to=-_NOTHING, result=ValueMappingResult(color=below, index=0)
            )
        ),
        RangeMap(
            options=DashboardRangeMapOptions(
                from_val=_NOTHING, to=None, result=ValueMappingResult(color=above, index=1)
            )
        ),
    ]
    return replace(CHANGE, mappings=[*ranges, *missing_as("–")])


def _table(kpis: str) -> Panel:
    of = f"by ({names.KPI_LABEL})"
    queries = [
        Query(f"max by ({names.KPI_LABEL}, title, owner, goal, category) ({selector(names.KPI_INFO, kpis)})"),
        Query(f"max {of} ({current(names.KPI_STATUS, kpis)})"),
        Query(f"count {of} ({current(names.KPI_VALUE, kpis)})"),
        Query(f"time() - min {of} ({current(names.KPI_WATERMARK, kpis)})"),
    ]
    columns = [
        Column("title", "Title"),
        Column(result_of(1, queries), "Worst status", STATUS, IN_ITS_COLOR),
        Column("owner", "Owner"),
        Column("goal", "Goal"),
        Column("category", "Category"),
        Column(result_of(2, queries), "Series"),
        Column(result_of(3, queries), "Data age", _AGE),
        Column(names.KPI_LABEL, "KPI"),
    ]
    return rows("All KPIs", queries, columns, hidden=[result_of(0, queries)])
