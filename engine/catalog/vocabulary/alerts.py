"""Who is told when of a KPI."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, get_args

from engine.catalog.alerting import Direction, Evaluate, Evaluator, Severity
from engine.catalog.kinds import Above0, Amount, Choice, Figures, ListOf, MapOf, Name, OneOrList, Parsed, Share, Whole
from engine.catalog.records import Either, Key, Record
from engine.catalog.vocabulary.recurring import LABEL, address, duration, name, text, where

_LOW_HIGH: Final = "write it as [low, high]"

change: Final = Record(
    "change",
    {
        "below": Key(
            Figures("-20%"), "Raised by a fall of more than this, as -20%.", essential=True, examples=("-20%",)
        ),
        "above": Key(Figures("20%"), "Raised by a rise of more than this, as 50%.", essential=True, examples=("50%",)),
        "by": Key(
            Choice(("relative", "absolute"), "ways"),
            "As a share of the compared value, or as the difference to it.",
            essential=True,
            default="relative",
        ),
        "recover": Key(
            OneOrList(Figures("-10%"), ListOf(Figures("-10%"), "bounds", 2, _LOW_HIGH, 2), "a change", "write -10%"),
            "The change at which the alert ends; of below and above both, [low, high].",
            essential=True,
        ),
    },
    "The change against the compared window.",
    {"relative": "write by: relative", "outside": "write below: and above:, the fall and the rise"},
)

anomaly: Final = Record(
    "anomaly",
    {
        "score": Key(
            Above0(Decimal(1000)),
            "Raised by a robust z-score above this: 4 is rare, 3 is not.",
            required=True,
            examples=(4,),
        ),
        "recover": Key(Above0(Decimal(1000)), "The score below which the alert ends; default: the score."),
        "weeks": Key(
            Whole(1, 52), "How many past weeks are looked at, at the same time of the week.", essential=True, default=8
        ),
        "at_least": Key(
            Whole(1, 52), "Silent while fewer of those weeks have a value; default 4, or all of fewer weeks."
        ),
        "direction": Key(Choice(get_args(Direction), "directions"), "Which way is unusual.", default="both"),
    },
    "The value is unlike that of the same time of the past weeks.",
)

no_data: Final = Record(
    "silence of a series",
    {
        "after": Key(duration, "Raised after so long without an event.", required=True, examples=("30m",)),
        "expected": Key(
            duration,
            "A series that has been silent for so long is not expected any more.",
            essential=True,
            default="7d",
        ),
    },
    "A series has no events while time goes on.",
)

burn_window: Final = Record(
    "pair of windows",
    {
        "long": Key(duration, "The window that says it matters.", required=True, examples=("1h",)),
        "short": Key(duration, "The window that says it still goes on.", required=True, examples=("5m",)),
        "rate": Key(
            Above0(Decimal(1_000_000)),
            "How many times faster than evenly the error budget is used up, in both.",
            required=True,
            examples=(14.4,),
        ),
    },
    "Raised where the error budget burns so fast over both windows.",
)

BURN_DEFAULT: Final = "default"


def _burn_default(text: str) -> str:
    if text != BURN_DEFAULT:
        raise ValueError(f'"{text}" is no burn rate; write default, or [{{long: 1h, short: 5m, rate: 14.4}}]')
    return text


when: Final = Record(
    "condition",
    {
        "below": Key(Amount(), "The value is below this.", essential=True),
        "above": Key(Amount(), "The value is above this.", essential=True),
        "outside": Key(
            ListOf(Amount(), "bounds", 2, _LOW_HIGH, 2), "The value is outside of [low, high].", essential=True
        ),
        "pace_below": Key(
            Share(Decimal(0), Decimal(10), open_ended=True, example="90%"),
            "The value is below this share of what it should be by now.",
            essential=True,
            examples=("90%",),
        ),
        "change": Key(change, "The change against the compared window.", essential=True),
        "anomaly": Key(
            Either(Above0(Decimal(1000)), anomaly),
            "The value is unlike that of the same time of the past weeks: a score, or more.",
            essential=True,
            examples=(4,),
        ),
        "no_data": Key(
            Either(duration, no_data),
            "A series has had no event for so long, while time goes on.",
            essential=True,
            examples=("30m",),
        ),
        "burn_rate": Key(
            OneOrList(
                Parsed(
                    _burn_default,
                    BURN_DEFAULT,
                    "a burn rate",
                    "write default, or [{long: 1h, short: 5m, rate: 14.4}]",
                ),
                ListOf(burn_window, "pairs of windows", 1, "write [{long: 1h, short: 5m, rate: 14.4}]", 20),
                "a burn rate",
                "write default, or [{long: 1h, short: 5m, rate: 14.4}]",
            ),
            "How fast the error budget of a ratio's objective is used up: pairs of windows, or default.",
            essential=True,
            examples=("default",),
        ),
        "recover": Key(
            OneOrList(Figures(), ListOf(Figures(), "bounds", 2, _LOW_HIGH, 2), "a value", "write the value"),
            "The value at which the alert ends; of outside [low, high], of pace_below a share.",
            essential=True,
        ),
    },
    "What raises the alert: one of the conditions.",
    {"equals": "conditions are below, above and outside", "pace": "write pace_below: 90%"},
    one_of=("below", "above", "outside", "pace_below", "change", "anomaly", "no_data", "burn_rate"),
)

alert: Final = Record(
    "alert",
    {
        "alert": Key(name, "Name of the alert.", required=True),
        "severity": Key(Choice(get_args(Severity), "severities"), "How bad it is.", default="warning"),
        "when": Key(when, "What raises it.", required=True),
        "for": Key(duration, "How long the condition must hold first."),
        "keep_firing_for": Key(duration, "How long it goes on after the condition has ended."),
        "min_sample": Key(Whole(0, 10**15), "A value with fewer events behind it says nothing.", default=0),
        "evaluate": Key(
            Choice(get_args(Evaluate), "choices"),
            "Of a grain to date: judge each step (open), or only the finished grain (closed).",
            default="closed",
        ),
        "evaluator": Key(
            Choice(get_args(Evaluator), "evaluators"),
            "Who evaluates it; prometheus: by a generated rule.",
            default="engine",
        ),
        "where": Key(where, "Only for series with these dimension values."),
        "muted_by": Key(name, "A KPI whose firing alerts mute this one."),
        "labels": Key(
            MapOf(Name(), "label", LABEL, "a label name", subjects=False), "Labels of the alert, to route it by."
        ),
        "annotations": Key(
            MapOf(text, "annotation", LABEL, "an annotation name", subjects=False),
            "Texts of the alert; {value}, {target}, {bound}, {title} and dimensions in braces are filled in.",
            examples=({"summary": "{title} of {region} is {value}, below {bound}"},),
        ),
        "runbook_url": Key(address, "Page that says what to do about it."),
    },
    "An alert.",
    {"name": "write alert", "expr": "write when: {below: ...}", "runbook": "write runbook_url"},
)
