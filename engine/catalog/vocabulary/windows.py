"""The time that each value of a KPI covers."""

from __future__ import annotations

from typing import Final

from engine.catalog.records import Key, Record, Variant
from engine.catalog.vocabulary.recurring import duration, grain, of_type

SESSION: Final = "session windows are not available in this version"

_window_type: Final = "tumble: side by side; hop: rolling; cumulate: grain to date."

window: Final = Variant(
    "window",
    "type",
    {
        "tumble": Record(
            "tumble window",
            {
                "type": of_type("tumble"),
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
                "type": of_type("hop"),
                "size": Key(duration, "Length of each window.", required=True, examples=("30d",)),
                "slide": Key(duration, "How often one ends.", required=True, examples=("1h",)),
            },
            "Rolling windows: the last SIZE, at every SLIDE.",
            {"step": "write slide", "grain": "a hop has a size; for calendar grains use type: tumble or cumulate"},
        ),
        "cumulate": Record(
            "cumulate window",
            {
                "type": of_type("cumulate"),
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
