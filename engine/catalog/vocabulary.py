"""Every key of catalog version 1, with what it takes and what it means: loader and JSON Schema are made from this.

The words are those of MetricFlow (agg, expr, filter, numerator, grain_to_date, offset_window), Flink (tumble, hop,
cumulate, size, slide, step, watermark), OpenSLO (objectives, op) and Prometheus (alert, for, keep_firing_for).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, get_args

from engine.catalog.kinds import (
    Amount,
    Anything,
    Choice,
    Day,
    Kind,
    ListOf,
    MapOf,
    Name,
    Parsed,
    Share,
    Text,
    Version,
    Whole,
)
from engine.catalog.model import AggregationName, Grain, TimeUnit
from engine.catalog.records import Either, Key, Record, Variant
from engine.catalog.words import (
    DURATION,
    EXPIRY,
    FIELD_TYPE,
    MONTHS,
    OFFSET,
    WEEKDAYS,
    parse_exact,
    parse_field_type,
    parse_positive,
    parse_zone,
)
from engine.event_time.durations import parse_duration, parse_expiry, parse_offset

NAME: Final = r"[A-Za-z][A-Za-z0-9_]{0,63}"
NAME_SAYS: Final = "a name: a letter, then letters, digits and _, at most 64"
CATALOG_NAME: Final = r"[a-z][a-z0-9_-]{0,63}"
TOPIC: Final = r"[A-Za-z0-9._-]{1,249}"
LABEL: Final = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
MAX_DIMENSIONS: Final = 8

text: Final = Text()
name: Final = Text(NAME, NAME_SAYS)
expression: Final = Text(says="an SQL expression", longest=10_000)
duration: Final = Parsed(parse_duration, DURATION, "a duration", "write it as 90s, 5m, 1h, 30d or 2w")
exact: Final = Parsed(parse_positive, r"[0-9]+[smh]", "an exact duration", "write it as 90s, 5m or 72h")
exact_or_zero: Final = Parsed(parse_exact, r"[0-9]+[smh]", "an exact duration", "write it as 0s, 30s or 5m")
offset: Final = Parsed(parse_offset, OFFSET, "an offset", "write it as 30d, 1 month or 1 year")
expiry: Final = Parsed(parse_expiry, EXPIRY, "a duration", "write it as 90d or 3y")
zone: Final = Parsed(parse_zone, r"[A-Za-z0-9_+\-/]{1,64}", "a time zone", "write an IANA name, as Europe/Amsterdam")
grain: Final = Choice(get_args(Grain), "grains")

defaults: Final = Record(
    "defaults",
    {
        "timezone": Key(
            zone,
            "IANA time zone of days, weeks, months and years, and of timestamps without an offset.",
            default="UTC",
            examples=("Europe/Amsterdam",),
        ),
        "week_start": Key(Choice(WEEKDAYS, "weekdays"), "First day of a week.", default="monday"),
        "fiscal_year_start": Key(
            Choice(MONTHS, "months"), "Month in which years begin; quarters follow it.", default="january"
        ),
        "allowed_lateness": Key(
            exact_or_zero, "How far behind its partition's watermark an event may be and still count.", default="24h"
        ),
    },
    "What holds for all sources and KPIs that say nothing else.",
)

goal: Final = Record(
    "goal",
    {
        "title": Key(text, "The goal in one sentence.", required=True, examples=("Grow revenue 20 % this year",)),
        "owner": Key(text, "Who answers for it."),
        "description": Key(text, "More about it."),
    },
    "What KPIs serve. A KPI without a goal is only a metric.",
)

field_type: Final = Parsed(
    parse_field_type, FIELD_TYPE, "a type", "types are string, integer, number, decimal(p,s), boolean, timestamp"
)

field: Final = Either(
    field_type,
    Record(
        "field",
        {
            "type": Key(
                field_type,
                "string, integer, number (a double), decimal(p,s), boolean or timestamp; a ? makes it optional.",
                required=True,
                examples=("string", "decimal(12,2)", "timestamp?"),
            ),
            "path": Key(
                Text(r"[^.\s][^.]*(\.[^.]+)*", "a path", "write names joined by dots, as customer.address.city"),
                "Where the field lies in the event, names joined by dots; default: its own name.",
            ),
            "unit": Key(
                Choice(get_args(TimeUnit), "units"),
                "Of a timestamp that is a number: since the epoch in s, ms, us or ns.",
            ),
            "max_values": Key(
                Whole(1, 1_000_000),
                "As a dimension: how many values get a series of their own; the rest is folded into __other__.",
                default=1000,
            ),
        },
        "A field of the source's events.",
    ),
)

watermark: Final = Record(
    "watermark",
    {
        "delay": Key(
            exact_or_zero,
            "How far the watermark stays behind the newest event.",
            default="0s",
        ),
        "idle_after": Key(
            exact, "After so long at its end, an idle partition holds the others back no longer.", default="1m"
        ),
        "max_future": Key(
            exact_or_zero, "How far an event may be ahead of its Kafka record's timestamp.", default="1h"
        ),
        "seal_idle_after": Key(
            exact,
            "After so long without events the clock seals a partition's panes; default: 24h, or the lateness.",
        ),
    },
    "How event time passes.",
)

source: Final = Record(
    "source",
    {
        "topic": Key(
            Text(TOPIC, "a Kafka topic", "letters, digits, dots, _ and -, at most 249"),
            "Kafka topic of the events.",
            required=True,
        ),
        "format": Key(
            Choice(("json", "cloudevents"), "formats"),
            "json, or cloudevents (structured and binary, told apart by event).",
            default="json",
            essential=True,
        ),
        "timezone": Key(zone, "Time zone of timestamps without an offset; default: the catalog's."),
        "event_time": Key(
            name, "Field with the time of the event; CloudEvents may leave it to the envelope.", essential=True
        ),
        "identity": Key(
            name,
            "Field by which repeated events are known; CloudEvents may leave it to the envelope.",
            essential=True,
        ),
        "dedupe": Key(
            exact,
            "How far back events are recognised as repeated; covers the watermark's delay and the lateness.",
            examples=("72h",),
        ),
        "watermark": Key(watermark, "How event time passes."),
        "allowed_lateness": Key(
            exact_or_zero,
            "How far behind its partition's watermark an event may be and still count; default: the catalog's.",
        ),
        "fields": Key(
            MapOf(field, "field", NAME, NAME_SAYS, least=1),
            "The fields that KPIs may use; all are checked in every event.",
            required=True,
        ),
    },
    "A Kafka topic of events.",
)

metric: Final = Record(
    "metric",
    {
        "source": Key(name, "The source whose events it aggregates.", required=True),
        "agg": Key(
            Choice(
                get_args(AggregationName),
                "aggregations",
                instead={
                    "mean": "average",
                    "avg": "average",
                    "distinct": "count_distinct",
                    "unique": "count_distinct",
                    "maximum": "max",
                    "minimum": "min",
                    "std": "stddev",
                    "p95": "percentile, and percentile: 0.95",
                },
            ),
            "How events become one number.",
            required=True,
        ),
        "expr": Key(
            expression,
            "What is aggregated: an SQL expression over the source's fields.",
            essential=True,
            examples=("amount", "amount * quantity"),
        ),
        "filter": Key(
            expression,
            "Which events count: an SQL condition over the source's fields.",
            essential=True,
            examples=("status = 'paid'",),
        ),
        "unit": Key(text, "Unit of the value.", examples=("EUR",)),
        "fill_nulls_with": Key(Amount(), "The value where there is none, instead of null."),
        "percentile": Key(
            Share(Decimal(0), Decimal(1), open_ended=True, example="0.95"),
            "Of agg percentile: which one.",
            essential=True,
            examples=(0.95,),
        ),
        "accuracy": Key(
            Share(Decimal("0.001"), Decimal("0.1")),
            "Of count_distinct, percentile and median: the relative error that is allowed.",
            essential=True,
            examples=("1%",),
        ),
        "exact_below": Key(
            Whole(0, 1_000_000),
            "Of count_distinct: exact while there are fewer distinct values.",
            essential=True,
            default=10_000,
        ),
        "per": Key(
            Choice(("second", "minute", "hour"), "units"),
            "Of rate: the unit of time.",
            essential=True,
            default="second",
        ),
        "title": Key(text, "Name for people."),
        "description": Key(text, "What it measures."),
    },
    "One aggregate over one source.",
    {
        "type": "a metric's way of aggregating is its agg",
        "aggregation": "write agg",
        "where": "a metric's condition is its filter",
        "field": "write expr",
    },
)

SESSION: Final = "session windows are not available in this version"

_window_type: Final = "tumble: side by side; hop: rolling; cumulate: grain to date."


def _of_type(word: str, default: bool = False) -> Key:
    return Key(Choice((word,)), f"{word}", required=not default, essential=True)


window: Final = Variant(
    "window",
    "type",
    {
        "tumble": Record(
            "tumble window",
            {
                "type": _of_type("tumble"),
                "size": Key(duration, "Length, as 1h or 7d; or give a grain.", essential=True, examples=("1h",)),
                "grain": Key(
                    grain, "A calendar day, week, month, quarter or year each; or give a size.", essential=True
                ),
            },
            "Windows side by side.",
            one_of=("size", "grain"),
            instead={
                "slide": "a window that slides is type: hop",
                "step": "a window with steps is type: cumulate",
                "grain_to_date": "write grain, or type: cumulate",
            },
        ),
        "hop": Record(
            "hop window",
            {
                "type": _of_type("hop"),
                "size": Key(duration, "Length of each window.", required=True, examples=("30d",)),
                "slide": Key(duration, "How often one ends.", required=True, examples=("1h",)),
            },
            "Rolling windows: the last SIZE, at every SLIDE.",
            {"step": "write slide", "grain": "a hop has a size; for calendar grains use type: tumble or cumulate"},
        ),
        "cumulate": Record(
            "cumulate window",
            {
                "type": _of_type("cumulate"),
                "grain_to_date": Key(grain, "What it begins with.", required=True),
                "step": Key(duration, "How often a value is published on the way.", required=True, examples=("5m",)),
            },
            "Grain to date: today, month to date, ...",
            {
                "slide": "write step",
                "grain": "write grain_to_date",
                "size": "write grain_to_date: day|week|month|quarter|year",
            },
        ),
    },
    _window_type,
    refused={"session": SESSION},
)

objective: Final = Record(
    "objective",
    {
        "op": Key(
            Choice(("gte", "lte", "between"), "operators"),
            "gte: at least; lte: at most; between: from value to upper.",
            required=True,
        ),
        "value": Key(Amount(), "The bound (of between: the lower one).", required=True),
        "upper": Key(Amount(), "The upper bound of between.", essential=True),
        "where": Key(
            MapOf(Name(), "dimension", LABEL, "a dimension", subjects=False),
            "Only for series with these dimension values.",
            essential=True,
        ),
        "valid_from": Key(Day(), "First local day it holds for; of several, the newest counts.", essential=True),
        "warn_within": Key(
            Share(Decimal(0), Decimal(1), example="10%"),
            "Within this share of the bound, a missed objective is a warning; beyond, it is critical.",
            default="10%",
        ),
        "pacing": Key(
            Choice(("linear", "seasonal"), "ways"),
            "How a grain to date is to approach its objective (kept; not yet active).",
        ),
        "quiet_until": Key(
            Share(Decimal(0), Decimal(1), example="20%"),
            "Share of the grain before which pacing is silent (kept; not yet active).",
        ),
    },
    "What the KPI should be.",
    {"upper_value": "write upper", "target": "write value", "from": "write valid_from"},
)

when: Final = Record(
    "condition",
    {
        "below": Key(Amount(), "The value is below this."),
        "above": Key(Amount(), "The value is above this."),
        "outside": Key(
            ListOf(Amount(), "bounds", 2, "write it as [low, high]", 2), "The value is outside of [low, high]."
        ),
        "pace_below": Key(
            Share(Decimal(0), Decimal(10), example="90%"), "The share of today's part of the objective is below this."
        ),
        "change": Key(Anything(), "The change against the compared window."),
        "anomaly": Key(Anything(), "The value is unlike the same time of earlier days and weeks."),
        "no_data": Key(Anything(), "No event for so long, while the source goes on."),
        "burn_rate": Key(Anything(), "How fast an error budget is used up."),
        "recover": Key(Amount(), "The value at which the alert ends."),
    },
    "What raises the alert: one of the conditions.",
    one_of=("below", "above", "outside", "pace_below", "change", "anomaly", "no_data", "burn_rate"),
)

alert: Final = Record(
    "alert",
    {
        "alert": Key(name, "Name of the alert.", required=True),
        "severity": Key(Choice(("critical", "warning", "info"), "severities"), "How bad it is."),
        "when": Key(when, "What raises it.", required=True),
        "for": Key(duration, "How long the condition must hold first."),
        "keep_firing_for": Key(duration, "How long it goes on after the condition."),
        "min_sample": Key(Whole(0, 10**15), "Silent where fewer events are behind a value."),
        "evaluate": Key(Choice(("open", "closed"), "choices"), "On open windows, or on closed ones."),
        "evaluator": Key(Choice(("engine", "prometheus"), "evaluators"), "Who evaluates it."),
        "labels": Key(MapOf(Name(), "label", LABEL, "a label name", subjects=False), "Labels of the alert."),
        "annotations": Key(
            MapOf(Name(), "annotation", LABEL, "an annotation name", subjects=False), "Texts of the alert."
        ),
        "runbook_url": Key(text, "What to do about it."),
    },
    "An alert (checked and kept; not yet active).",
)

_common: Final[Mapping[str, Key]] = {
    "group_by": Key(
        ListOf(name, "dimensions", example="write it as [region, product]"),
        f"Fields by whose values there is one series each, at most {MAX_DIMENSIONS}.",
        essential=True,
    ),
    "where": Key(expression, "Which events count, on top of the metrics' filters: an SQL condition.", essential=True),
    "window": Key(
        window,
        "The time that each value covers.",
        required=True,
        hint="write window: {type: tumble, grain: day}, or another window",
    ),
    "compare": Key(
        Record(
            "comparison",
            {
                "offset_window": Key(
                    offset, "How far back the compared window lies.", required=True, examples=("30d", "1 month")
                )
            },
        ),
        "What each value is compared with.",
    ),
    "timezone": Key(zone, "Time zone of its days, weeks, months and years; default: the catalog's."),
    "title": Key(text, "Name for people."),
    "description": Key(text, "What it says, and what it does not."),
    "unit": Key(text, "Unit of the value; default: the metric's."),
    "goal": Key(name, "The goal it serves."),
    "owner": Key(text, "Who answers for it."),
    "category": Key(
        Text(r"strategic|operational|functional/\S.*", "a category", "write strategic, operational or functional/UNIT"),
        "strategic, operational or functional/UNIT.",
        examples=("strategic", "operational", "functional/finance"),
    ),
    "indicator": Key(
        Choice(("leading", "lagging"), "indicators"), "Does it foretell (leading) or account for (lagging)?"
    ),
    "favorable": Key(Choice(("up", "down", "range"), "directions"), "Which way is good."),
    "review": Key(
        Record(
            "review",
            {
                "every": Key(duration, "How often.", required=True),
                "last": Key(Day(), "When it was last reviewed.", required=True),
            },
        ),
        "When people look whether it is still the right KPI.",
    ),
    "objectives": Key(
        ListOf(objective, "objectives", example="write it as [{op: gte, value: 100}]"), "What it should be."
    ),
    "alerts": Key(
        ListOf(alert, "alerts", example="write it as [{alert: Name, when: {below: 100}}]"),
        "Who is told when (checked and kept; not yet active).",
    ),
    "labels": Key(MapOf(Name(), "label", LABEL, "a label name", subjects=False), "Labels for people's own use."),
    "max_series": Key(
        Whole(1, 10_000_000), "How many series it may have; the rest is folded into __other__.", default=100_000
    ),
    "expires": Key(expiry, "How long its state and history are kept.", examples=("3y",)),
}

_kpi_instead: Final = {
    "objective": "write objectives: [...]",
    "target": "write objectives: [{op: gte, value: ...}]",
    "filter": "a KPI's condition is where",
    "dimensions": "write group_by",
    "agg": "aggregations belong to metrics: declare one, and name it under metric",
}

NOT_AVAILABLE: Final = {
    kind: f"KPIs of type {kind} are not available in this version" for kind in ("conversion", "slo")
}

kpi: Final = Variant(
    "KPI",
    "type",
    {
        "simple": Record(
            "simple KPI",
            {
                "type": _of_type("simple", default=True),
                "metric": Key(
                    name,
                    "The metric it shows.",
                    required=True,
                    hint="write metric: NAME; or type: ratio, type: derived",
                ),
                **_common,
            },
            "A KPI of one metric.",
            _kpi_instead,
        ),
        "ratio": Record(
            "ratio KPI",
            {
                "type": _of_type("ratio"),
                "numerator": Key(name, "The metric above the line.", required=True),
                "denominator": Key(name, "The metric below the line; zero gives no value.", required=True),
                **_common,
            },
            "A KPI of one metric over another: never a mean of ratios.",
            _kpi_instead,
        ),
        "derived": Record(
            "derived KPI",
            {
                "type": _of_type("derived"),
                "expr": Key(
                    expression,
                    "SQL over metrics; metric@30d is the metric one offset earlier.",
                    required=True,
                    examples=("(revenue - cost) / revenue",),
                ),
                **_common,
            },
            "A KPI computed from metrics.",
            _kpi_instead,
        ),
    },
    "simple: one metric; ratio: one over another; derived: an expression over metrics.",
    default="simple",
    refused=NOT_AVAILABLE,
    implied={"numerator": "ratio", "denominator": "ratio", "expr": "derived"},
)


def _named(kind: Kind, what: str) -> MapOf:
    return MapOf(kind, what, NAME, NAME_SAYS)


catalog: Final = Record(
    "catalog",
    {
        "version": Key(Version(), "Version of the catalog's form.", required=True, hint="write version: 1"),
        "name": Key(
            Text(
                CATALOG_NAME,
                "a catalog name",
                "lower case letters, digits, _ and -, at most 64, beginning with a letter",
            ),
            "Name of the catalog: the beginning of its topics and Redis keys, and its consumer group.",
            examples=("storefront",),
        ),
        "defaults": Key(defaults, "What holds where nothing else is said."),
        "goals": Key(_named(goal, "goal"), "What the KPIs serve."),
        "sources": Key(_named(source, "source"), "Where events come from."),
        "metrics": Key(_named(metric, "metric"), "What is measured."),
        "kpis": Key(_named(kpi, "kpi"), "What is published."),
    },
    "A Streamgauge catalog, or one file of it: in a folder of files, name and defaults stand in one of them.",
)
