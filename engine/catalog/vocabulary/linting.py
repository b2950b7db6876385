"""What lint is not to say of a thing, and why."""

from __future__ import annotations

from typing import Final, get_args

from engine.catalog.kinds import Choice, ListOf
from engine.catalog.model import LintRule
from engine.catalog.records import Key, Record
from engine.catalog.vocabulary.recurring import text

_ignore: Final = Record(
    "rule to ignore",
    {
        "rule": Key(Choice(get_args(LintRule), "rules"), "The rule that is to say nothing here.", required=True),
        "reason": Key(
            text, "Why it is meant as it is.", required=True, hint="write reason: ..., for who reads it next"
        ),
    },
    "Advice that is not wanted here, and why.",
)

linting: Final = Key(
    Record(
        "lint",
        {
            "ignore": Key(
                ListOf(_ignore, "rules to ignore", example="write it as [{rule: specific, reason: ...}]"),
                "Rules that are to say nothing here, each with a reason.",
            )
        },
    ),
    "What `streamgauge lint` is not to say of it.",
)
