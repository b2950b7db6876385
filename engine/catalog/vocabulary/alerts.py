"""Who is told when of a KPI."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.catalog.kinds import Amount, Anything, Choice, ListOf, MapOf, Name, Share, Whole
from engine.catalog.records import Key, Record
from engine.catalog.vocabulary.recurring import LABEL, duration, name, text

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
