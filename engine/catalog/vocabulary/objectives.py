"""What a KPI should be."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.catalog.kinds import Amount, Choice, Day, MapOf, Name, Share
from engine.catalog.records import Key, Record
from engine.catalog.vocabulary.recurring import LABEL

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
