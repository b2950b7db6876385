"""How far grains have come: the instant a value is judged at, the share of its grain that has passed by then, and that
in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.catalog.model import Grain
from engine.event_time.calendars import LocalCalendar
from engine.event_time.durations import HOUR_US
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Keys

Floats = npt.NDArray[np.float64]
_COUNTED_BY: Final[dict[Grain, str]] = {"day": "hour"}  # the others by the day


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Instants, each in its grain [start, end), in microseconds; ``of``: which of them each row is judged at."""

    start_us: Times
    end_us: Times
    now_us: Times
    of: Indexes

    def __len__(self) -> int:
        return len(self.now_us)

    @property
    def elapsed(self) -> Floats:
        """The share of the grain that has passed, 0 to 1: by the time that really passes, on days of 23 hours too."""
        found: Floats = (self.now_us - self.start_us) / (self.end_us - self.start_us)
        return found


def moments(calendar: LocalCalendar, grain: Grain, start_us: Times, end_us: Times, watermark_us: Times) -> Moments:
    """When windows of a grain to date are judged: at their end, or at the watermark while it has not come that far."""
    now = np.maximum(np.minimum(end_us, watermark_us), start_us)
    distinct, of = Keys(start_us, now).sorted_once()
    starts, nows = distinct.columns
    ends = calendar.grain_starts(grain, calendar.grains_of(grain, starts) + 1)
    return Moments(starts, ends, np.minimum(nows, ends), of)


def places(calendar: LocalCalendar, grain: Grain, at: Moments) -> list[str]:
    """``day 10 of 30`` of each moment; ``hour 9 of 24`` in a day. An instant between two days belongs to the first."""
    if grain == "day":
        count = -(-(at.end_us - at.start_us) // HOUR_US)
        number = -(-(at.now_us - at.start_us) // HOUR_US)
    else:
        first = calendar.days_of(at.start_us)
        count = calendar.days_of(at.end_us) - first
        number = calendar.days_of(np.maximum(at.now_us - 1, at.start_us)) - first + 1
    unit = _COUNTED_BY.get(grain, "day")
    numbers = np.maximum(number, 1).tolist()
    return [f"{unit} {n} of {of}" for n, of in zip(numbers, count.tolist(), strict=True)]
