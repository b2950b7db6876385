"""A metric: one aggregate over one source."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, get_args

from engine.catalog.kinds import Amount, Choice, Share, Whole
from engine.catalog.model import AggregationName
from engine.catalog.records import Key, Record
from engine.catalog.vocabulary.linting import linting
from engine.catalog.vocabulary.recurring import expression, name, text

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
        "lint": linting,
    },
    "One aggregate over one source.",
    {
        "type": "a metric's way of aggregating is its agg",
        "aggregation": "write agg",
        "where": "a metric's condition is its filter",
        "field": "write expr",
    },
)
