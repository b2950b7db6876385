"""Every key of catalog version 1, with what it takes and what it means: loader and JSON Schema are made from this.

The words are those of MetricFlow (agg, expr, filter, numerator, grain_to_date, offset_window), Flink (tumble, hop,
cumulate, size, slide, step, watermark), OpenSLO (objectives, op), Prometheus (alert, for, keep_firing_for) and Datadog
(recover).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.catalog.kinds import Choice, Kind, MapOf, Text, Version
from engine.catalog.records import Key, Record
from engine.catalog.vocabulary.kpis import MAX_DIMENSIONS, kpi
from engine.catalog.vocabulary.linting import linting
from engine.catalog.vocabulary.metrics import metric
from engine.catalog.vocabulary.recurring import NAME, NAME_SAYS, exact_or_zero, text, zone
from engine.catalog.vocabulary.silences import holidays, silence
from engine.catalog.vocabulary.sources import source
from engine.catalog.words import MONTHS, WEEKDAYS

__all__ = ["MAX_DIMENSIONS", "catalog", "kpi", "metric", "source"]

CATALOG_NAME: Final = r"[a-z][a-z0-9_-]{0,63}"

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
        "holidays": Key(
            holidays,
            "Public holidays, for seasonal pacing and for silences: a country, or a part of one.",
            examples=("NL", {"country": "DE", "subdivision": "BY"}),
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
        "lint": linting,
    },
    "What KPIs serve. A KPI without a goal is only a metric.",
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
        "silences": Key(_named(silence, "silence"), "When nobody is told of alerts."),
        "lint": replace(linting, description="What `streamgauge lint` is not to say of the catalog as a whole."),
    },
    "A Streamgauge catalog, or one file of it: in a folder of files, name, defaults and lint stand in one of them.",
)
