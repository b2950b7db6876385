"""Event time: durations, local calendars, windows, watermarks, roll-ups. Times are int microseconds since 1970, UTC."""

from typing import Final

NEVER: Final = -(2**62)
"""Minus infinity of event time: before any event was seen."""
