"""The dashboard of one KPI: what it says, its course beside target and earlier period, its series, how sound it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grafana_foundation_sdk.models.dashboard import Panel

from engine.pace.judging import is_paced
from sinks import names
from sinks.board.definitions import in_words
from sinks.grafana.alerts import alerts_by_series
from sinks.grafana.bands import bands
from sinks.grafana.layout import Line, Section
from sinks.grafana.overview import CHANGE, change, strip, value_tile
from sinks.grafana.palette import OK, TEXT, by_series, by_thresholds, fixed, missing_as
from sinks.grafana.panels import (
    EARLIER_STYLE,
    IN_ITS_COLOR,
    STATUS,
    TARGET_STYLE,
    Column,
    Look,
    Query,
    bars,
    lines,
    note,
    result_of,
    rows,
    states,
)
from sinks.grafana.queries import TOP, chosen, current, first_at_end, of_kpis, or_missing, selector, without_rest
from sinks.grafana.spans import span
from sinks.grafana.subjects import Subject
from sinks.grafana.units import SECONDS
from sinks.grafana.wording import markdown

_MOST_ROWS = 500  # of a table
_WHEN = "dateTimeAsIso"
_MILLISECONDS = 1000


def detail(subject: Subject) -> list[Section]:
    top = Line(8, [8, 8, 8], [_words(subject), value_tile(subject, count=5, sparkline=False), _now(subject)])
    history = [Line(10, [16, 8] if subject.has_comparison else [24], list(_courses(subject)))]
    if is_paced(subject.plan.kpi):
        history.append(Line(8, [12, 12], list(_pace(subject))))
    if subject.has_status:
        history.append(Line(6, [24], [_statuses(subject)]))
    return [
        Section("", [top]),
        Section("Over time", history),
        Section("Series", list(_series(subject))),
        Section(
            "How sound it is",
            [
                Line(7, [8, 8, 8], _soundness(subject)),
                Line(6, [24], [alerts_by_series(of_kpis([subject.name]), subject.dimensions)]),
            ],
        ),
    ]


def _words(subject: Subject) -> Panel:
    """What the KPI says, as the catalog has it; nothing in it is Grafana's markup or a variable."""
    kpi, facts = subject.plan.kpi, subject.plan.facts
    goal = subject.catalog.goals.get(kpi.goal or "")
    told = {
        "Goal": goal.title if goal else None,
        "Owner": facts.owner,
        "Category": ", ".join(part for part in (kpi.category, kpi.indicator) if part),
        "Good is": {"up": "more", "down": "less", "range": "within bounds"}.get(kpi.favorable or ""),
        "Unit": facts.unit,
        "Time zone": kpi.calendar.timezone,
        "Review": f"every {kpi.review.every}, last on {kpi.review.last}" if kpi.review else None,
    }
    paragraphs = [text for text in (kpi.description, in_words(kpi, subject.catalog)) if text]
    facts_ = [f"**{name}**: {markdown(text)}" for name, text in told.items() if text]
    return note("\n\n".join([*map(markdown, paragraphs), "  \n".join(facts_)]), subject.title)


def _now(subject: Subject) -> Panel:
    return strip(subject, "Now", upright=True)


def _shown(subject: Subject, metric: str) -> str:
    """Over time: the series that are chosen, the first of them where there are dimensions."""
    found = current(metric, of_kpis([subject.name]), *chosen(subject.dimensions))
    if not subject.dimensions:
        return found
    values = current(
        names.KPI_VALUE, of_kpis([subject.name]), *chosen(subject.dimensions), *without_rest(subject.dimensions)
    )
    return f"{found} and {first_at_end(subject.pick, values)}"


def _courses(subject: Subject) -> Iterator[Panel]:
    look = replace(
        subject.look,
        color=by_series() if subject.dimensions else fixed(OK),
        mappings=(),
        thresholds=bands(subject.plan.kpi),
    )
    queries = [Query(_shown(subject, names.KPI_VALUE), subject.series or "Value")]
    suffix = f" {subject.series}" if subject.dimensions else ""
    if subject.has_status:
        queries.append(Query(_shown(subject, names.KPI_TARGET), subject.target_title + suffix, style=TARGET_STYLE))
    if subject.has_comparison:
        queries.append(Query(_shown(subject, names.KPI_COMPARE_VALUE), "Earlier" + suffix, style=EARLIER_STYLE))
    points = span(subject.plan.kpi).points
    yield lines("Value, target, earlier period", queries, look, max_data_points=points)
    if subject.has_comparison:
        name = subject.series or "Change"
        color = by_series() if subject.dimensions else fixed(OK)
        yield lines(
            "Change to the earlier period",
            [Query(_shown(subject, names.KPI_COMPARE_CHANGE), name)],
            replace(CHANGE, color=color, mappings=()),
            max_data_points=points,
        )


def _pace(subject: Subject) -> Iterator[Panel]:
    """What should be there by now beside what is, and where it will end."""
    color = by_series() if subject.dimensions else fixed(OK)
    suffix = f" {subject.series}" if subject.dimensions else ""
    yield lines(
        "Pace",
        [Query(_shown(subject, names.KPI_PACE), subject.series or "Pace")],
        replace(CHANGE, color=color, mappings=()),
        description="The value as a share of what is expected by now: 100 % is on pace.",
    )
    yield lines(
        "Expected by now, and forecast",
        [
            Query(_shown(subject, names.KPI_VALUE), subject.series or "Value"),
            Query(_shown(subject, names.KPI_EXPECTED), "Expected" + suffix, style=TARGET_STYLE),
            Query(_shown(subject, names.KPI_FORECAST), "Forecast" + suffix, style=EARLIER_STYLE),
        ],
        replace(subject.look, color=color, mappings=()),
        description="The forecast is what the value comes to at the end of its period, as it goes.",
    )


def _statuses(subject: Subject) -> Panel:
    why = "Grey where there is no status: no target for the series, or a window that is judged when it is over."
    query = Query(_shown(subject, names.KPI_STATUS), subject.series or "Status")
    return states("Status", [query], description=why, max_data_points=span(subject.plan.kpi).points)


def _series(subject: Subject) -> Iterator[Line]:
    """Those to look at first, of all dimensions together and of each; then all in a table."""
    if not subject.dimensions:
        return
    kpi = of_kpis([subject.name])
    judged = bands(subject.plan.kpi)
    look = replace(subject.look, thresholds=judged, color=by_thresholds() if judged else fixed(OK))
    values = current(names.KPI_VALUE, kpi, *chosen(subject.dimensions), *without_rest(subject.dimensions))
    extreme = "min" if subject.lowest_first else "max"
    panels = [bars(f"The ${TOP} {subject.first}", [Query(f"{subject.pick}(${TOP}, {values})", subject.series)], look)]
    if len(subject.dimensions) > 1:
        for name in subject.dimensions:
            of_each = f"{subject.pick}(${TOP}, {extreme} by ({name}) ({values}))"
            panels.append(bars(f"The {subject.first} series of each {name}", [Query(of_each, f"{{{{{name}}}}}")], look))
    for at in range(0, len(panels), 2):
        part = panels[at : at + 2]
        yield Line(10, [24 // len(part)] * len(part), part)
    yield Line(12, [24], [_table(subject)])


def _table(subject: Subject) -> Panel:
    kpi, picked = of_kpis([subject.name]), chosen(subject.dimensions)
    kept = f"{subject.pick}({_MOST_ROWS}, {current(names.KPI_VALUE, kpi, *picked)})"

    def of(metric: str, factor: str = "") -> str:
        return f"({current(metric, kpi, *picked)} and {kept}){factor}"

    shown: list[tuple[str, str, Look]] = [(kept, "Value", subject.look)]
    if subject.has_status:
        shown.append((of(names.KPI_TARGET), subject.target_title, subject.look))
        shown.append((of(names.KPI_STATUS), "Status", STATUS))
    if subject.has_comparison:
        shown.append((of(names.KPI_COMPARE_VALUE), "Earlier", subject.look))
        shown.append((of(names.KPI_COMPARE_CHANGE), "Change", change(subject)))
    whole = Look(decimals=0, color=fixed(TEXT))
    shown.append((of(names.KPI_SAMPLES), "Events", whole))
    shown.append((of(names.KPI_REVISION), "Revision", whole))
    shown.append((of(names.KPI_WINDOW_END, f" * {_MILLISECONDS}"), "Window ends", Look(unit=_WHEN)))
    shown.append((f"time() - {of(names.KPI_WATERMARK)}", "Data age", Look(unit=SECONDS, decimals=0)))
    queries = [Query(expr) for expr, *_ in shown]
    columns = [Column(name, name) for name in subject.dimensions]
    columns += [
        Column(result_of(place, queries), title, look, IN_ITS_COLOR if title in ("Status", "Change") else None)
        for place, (_, title, look) in enumerate(shown)
    ]
    revisions = "Revision 0: its window is open; 1: it has closed; more: changed after that."
    why = f"The {_MOST_ROWS} {subject.first} of the chosen series. {revisions}"
    return rows("Every series", queries, columns, hidden=[names.KPI_LABEL], description=why)


def _soundness(subject: Subject) -> list[Panel]:
    kpi, picked = of_kpis([subject.name]), chosen(subject.dimensions)
    samples = f"sum({current(names.KPI_SAMPLES, kpi, *picked)})"
    changed = selector(names.VALUES, kpi, 'state="revised"')
    revised = f"sum(increase({changed}[$__rate_interval]))"
    age = or_missing(f"time() - min({current(names.KPI_WATERMARK, kpi, *picked)})")
    return [
        lines("Events behind the values", [Query(samples, "Events")], Look(decimals=0, color=fixed(OK)), stacked=True),
        lines(
            "Values changed after their window closed",
            [Query(revised, "Revisions")],
            Look(decimals=0, color=fixed(OK)),
            bars_=True,
            description="What late events changed. Each revision is in Kafka, Redis and the API.",
        ),
        lines(
            "Age of the data",
            [Query(age, "Age")],
            Look(unit=SECONDS, color=fixed(OK), mappings=missing_as("No data")),
            description="The clock, less how far event time has come.",
        ),
    ]
