"""Colours that mean something, each with the word that says the same.

The three of a status are told apart with any of the usual kinds of colour blindness, and stand out (3:1) from the
panels of Grafana's light and dark themes. Everything else takes a colour of the theme.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    FieldColor,
    FieldColorModeId,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from sinks.names import STATUS_NUMBERS

OK: Final = "#3274D9"
WARNING: Final = "#BF8700"
CRITICAL: Final = "#D6336C"
STATUS_WORDS: Final = {"ok": "OK", "warning": "Warning", "critical": "Critical"}
STATUS_COLORS: Final = {"ok": OK, "warning": WARNING, "critical": CRITICAL}
TEXT: Final = "text"  # the theme's own, as are the greys
FAINT: Final = "#8E8E8E"


def fixed(color: str) -> FieldColor:
    return FieldColor(mode=FieldColorModeId.FIXED, fixed_color=color)


def by_thresholds() -> FieldColor:
    return FieldColor(mode=FieldColorModeId.THRESHOLDS)


def by_series() -> FieldColor:
    return FieldColor(mode=FieldColorModeId.PALETTE_CLASSIC)


def status_words() -> list[ValueMapping]:
    """0, 1 and 2 as words in their colours."""
    words = {
        number: ValueMappingResult(text=STATUS_WORDS[status], color=STATUS_COLORS[status], index=index)
        for index, (status, number) in enumerate(STATUS_NUMBERS.items())
    }
    return [ValueMap(options=words), *missing_as("No status")]


def none_is_faint() -> list[ValueMapping]:
    """A count of 0 is nothing to be pointed at."""
    return [ValueMap(options={"0": ValueMappingResult(text="0", color=FAINT, index=0)})]


def missing_as(words: str) -> list[ValueMapping]:
    """What is said where there is no number now."""
    result = ValueMappingResult(text=words, color=TEXT, index=9)
    return [
        SpecialValueMap(options=DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=result))
    ]
