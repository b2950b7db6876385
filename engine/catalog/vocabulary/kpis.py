"""A KPI: metrics, a window, and what makes it more than a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.catalog.kinds import Choice, Day, ListOf, MapOf, Name, Text, Whole
from engine.catalog.records import Key, Record, Variant
from engine.catalog.vocabulary.alerts import alert
from engine.catalog.vocabulary.linting import linting
from engine.catalog.vocabulary.objectives import objective
from engine.catalog.vocabulary.recurring import LABEL, duration, expiry, expression, name, of_type, offset, text, zone
from engine.catalog.vocabulary.windows import window

MAX_DIMENSIONS: Final = 8

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
        "What people are told of, and when.",
    ),
    "drivers": Key(
        ListOf(name, "KPIs", example="write it as [visits, orders]"), "KPIs whose values explain this one's."
    ),
    "leads": Key(
        Record(
            "foretold KPI",
            {
                "kpi": Key(name, "The lagging KPI that it foretells.", required=True),
                "by": Key(duration, "How long before.", required=True, examples=("14d",)),
            },
        ),
        "Of a leading KPI: what it foretells.",
    ),
    "labels": Key(MapOf(Name(), "label", LABEL, "a label name", subjects=False), "Labels for people's own use."),
    "max_series": Key(
        Whole(1, 10_000_000), "How many series it may have; the rest is folded into __other__.", default=100_000
    ),
    "expires": Key(expiry, "How long its state and history are kept.", examples=("3y",)),
    "lint": linting,
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
                "type": of_type("simple", default=True),
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
                "type": of_type("ratio"),
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
                "type": of_type("derived"),
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
