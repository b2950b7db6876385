"""The engine's dashboard: does it keep up, how long does it take, what does it need, where do values and events go."""

from __future__ import annotations

from dataclasses import replace

from grafana_foundation_sdk.models.dashboard import Panel

from sinks import names
from sinks.grafana.alerts import active_alerts
from sinks.grafana.layout import Line, Section
from sinks.grafana.palette import CRITICAL, FAINT, OK, TEXT, WARNING, by_series, fixed, missing_as
from sinks.grafana.panels import Look, Query, lines, stats
from sinks.grafana.queries import or_missing, or_zero, pace, selector
from sinks.grafana.units import SECONDS

_BYTES = "bytes"
_EVENTS_PER_SECOND = "suffix:events/s"
_VALUES_PER_SECOND = "suffix:values/s"
_SERIES = Look(color=by_series())
_REFUSED = 'outcome=~"invalid|late"'
_OUTCOMES = {"accepted": OK, "duplicate": FAINT, "late": WARNING, "invalid": CRITICAL}
_STATES = {"open": OK, "closed": FAINT, "revised": WARNING}


def engine() -> list[Section]:
    return [
        Section("", [Line(4, [4] * 6, _now())]),
        Section("Events", [Line(8, [12, 12], [_events(), _lag()]), Line(8, [12, 12], [_watermarks(), _refused()])]),
        Section(
            "Time",
            [
                Line(
                    8,
                    [12, 12],
                    [
                        _duration("Time to fold a batch", names.BATCH_SECONDS),
                        _duration("Time until a flush was acknowledged", names.FLUSH_SECONDS),
                    ],
                )
            ],
        ),
        Section(
            "Values and sinks", [Line(8, [8, 8, 8], [_values(), _writes(), _queues()]), Line(8, [12, 12], _series())]
        ),
        Section("Processes", [Line(8, [12, 12], [_memory(), _processor()])]),
    ]


def _now() -> list[Panel]:
    def number(title: str, expr: str, look: Look, why: str) -> Panel:
        return stats(title, [Query(expr)], replace(look, mappings=missing_as("No data")), description=why)

    text = fixed(TEXT)
    workers = or_zero(f"count({selector(names.FLUSH_SECONDS + '_count')})")  # build info is the board's server's too
    rate = or_missing(f"sum(rate({selector(names.EVENTS)}[$__rate_interval]))")
    lag = or_missing(f"sum(max by (topic, partition) ({selector(names.CONSUMER_LAG)}))")
    delay = or_missing(f"max({selector(names.WATERMARK_DELAY)})")
    refused = or_zero(f"sum(increase({selector(names.EVENTS, _REFUSED)}[$__range]))")
    return [
        number("Workers", workers, Look(color=text), "Workers that answered the last scrape."),
        number("Events", rate, Look(unit=_EVENTS_PER_SECOND, color=text), "Read in a second, by all workers."),
        number("Behind", lag, Look(unit="suffix:records", decimals=0, color=text), "Records that wait in the topics."),
        number(
            "Watermark delay", delay, Look(unit=SECONDS, color=text), "Of the source that is furthest behind the clock."
        ),
        number("Dead letters", refused, Look(decimals=0, color=text), "Late and invalid events within the time shown."),
        active_alerts(),
    ]


def _events() -> Panel:
    queries = [
        Query(
            pace(names.EVENTS, "outcome", f'outcome="{outcome}"'),
            outcome.capitalize(),
            Look(unit=_EVENTS_PER_SECOND, color=fixed(color)),
        )
        for outcome, color in _OUTCOMES.items()
    ]
    return lines("Events read", queries, Look(unit=_EVENTS_PER_SECOND), stacked=True)


def _lag() -> Panel:
    expr = f"max by (topic, partition) ({selector(names.CONSUMER_LAG)})"
    return lines(
        "Records behind",
        [Query(expr, "{{topic}} {{partition}}")],
        Look(unit="suffix:records", decimals=0, color=by_series()),
    )


def _watermarks() -> Panel:
    expr = f"max by (source) ({selector(names.WATERMARK_DELAY)})"
    why = "How far event time is behind the clock; at least the delay that the source allows for."
    return lines("Watermark delay", [Query(expr, "{{source}}")], Look(unit=SECONDS, color=by_series()), description=why)


def _refused() -> Panel:
    expr = f"sum by (source, outcome) (increase({selector(names.EVENTS, _REFUSED)}[$__rate_interval]))"
    why = "Events that went to the sources' dead-letter topics; `streamgauge dlq list` shows them with the reason."
    return lines(
        "Dead letters",
        [Query(expr, "{{source}}: {{outcome}}")],
        replace(_SERIES, decimals=0),
        bars_=True,
        description=why,
    )


def _duration(title: str, metric: str) -> Panel:
    def share(quantile: str) -> str:
        return f"histogram_quantile({quantile}, sum by (le) (rate({selector(metric + '_bucket')}[$__rate_interval])))"

    seen = "[$__rate_interval]))"
    mean = f"sum(rate({selector(metric + '_sum')}{seen} / sum(rate({selector(metric + '_count')}{seen}"
    return lines(
        title,
        [
            Query(mean, "Mean", Look(unit=SECONDS, color=fixed(FAINT))),
            Query(share("0.5"), "Median", Look(unit=SECONDS, color=fixed(OK))),
            Query(share("0.99"), "99th percentile", Look(unit=SECONDS, color=fixed(CRITICAL))),
        ],
        Look(unit=SECONDS),
    )


def _values() -> Panel:
    queries = [
        Query(
            pace(names.VALUES, "state", f'state="{state}"'),
            state.capitalize(),
            Look(unit=_VALUES_PER_SECOND, color=fixed(_STATES[state])),
        )
        for state in names.VALUE_STATES
    ]
    return lines("Values published", queries, Look(unit=_VALUES_PER_SECOND), stacked=True)


def _writes() -> Panel:
    expr = pace(names.SINK_WRITES, "sink, outcome")
    return lines(
        "Values given to sinks",
        [Query(expr, "{{sink}}: {{outcome}}")],
        Look(unit=_VALUES_PER_SECOND, color=by_series()),
    )


def _queues() -> Panel:
    expr = f"sum by (sink) ({selector(names.SINK_QUEUE)})"
    return lines("Values that wait for sinks", [Query(expr, "{{sink}}")], Look(decimals=0, color=by_series()))


def _series() -> list[Panel]:
    count = f"topk(20, sum by ({names.KPI_LABEL}) ({selector(names.SERIES)}))"
    folded = f"sum by ({names.KPI_LABEL}) (increase({selector(names.SERIES_FOLDED)}[$__range]))"
    return [
        lines(
            "Series", [Query(count, "{{kpi}}")], replace(_SERIES, decimals=0),
            description="Of each KPI, over all workers.",
        ),
        lines(
            "Series folded into the rest", [Query(folded, "{{kpi}}")], replace(_SERIES, decimals=0),
            description="Beyond the KPI's cap, within the time shown: raise max_series, or group by less.",
        ),
    ]  # fmt: skip


def _memory() -> Panel:
    expr = selector("process_resident_memory_bytes")
    return lines("Memory", [Query(expr, "{{instance}}")], Look(unit=_BYTES, color=by_series()))


def _processor() -> Panel:
    expr = f"rate({selector('process_cpu_seconds_total')}[$__rate_interval])"
    return lines("Processor", [Query(expr, "{{instance}}")], Look(unit="suffix:cores", decimals=2, color=by_series()))
