"""What a KPI should be."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.catalog.kinds import Amount, Choice, Day, Share
from engine.catalog.records import Key, Record
from engine.catalog.vocabulary.recurring import where

objective: Final = Record(
    "objective",
    {
        "op": Key(
            Choice(("gte", "lte", "between"), "operators"),
            "gte: at least; lte: at most; between: from value to upper.",
            required=True,
        ),
        "value": Key(Amount(), "The bound (of between: the lower one).", essential=True),
        "share": Key(
            Share(Decimal(0), Decimal(1_000), open_ended=True, example="25%"),
            "In place of value, for a segment: this share of the KPI's own objective, the one without where.",
            essential=True,
            examples=("25%",),
        ),
        "upper": Key(Amount(), "The upper bound of between.", essential=True),
        "where": Key(where, "Only for series with these dimension values.", essential=True),
        "valid_from": Key(Day(), "First local day it holds for; of several, the newest counts.", essential=True),
        "warn_within": Key(
            Share(Decimal(0), Decimal(1), example="10%"),
            "Within this share of the bound, a missed objective is a warning; beyond, it is critical.",
            default="10%",
        ),
        "pacing": Key(
            Choice(("linear", "seasonal"), "ways"),
            "How a grain to date is to approach its objective: evenly, or as its own past did.",
        ),
        "quiet_until": Key(
            Share(Decimal(0), Decimal(1), example="20%"),
            "Share of the grain before which pacing says nothing.",
        ),
    },
    "What the KPI should be.",
    {"upper_value": "write upper", "target": "write value", "from": "write valid_from"},
    one_of=("value", "share"),
)
