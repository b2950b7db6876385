"""The instants at which windows end: every so many microseconds, local days or grains, or two of these together.

Local days are counted from the first ``week_start`` day of 1970, so that ``7d`` ends on that weekday.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np

from engine.catalog.model import Duration, Grain
from engine.event_time.calendars import LocalCalendar
from engine.event_time.durations import exact_us
from engine.event_time.zones import Times


class Ends(ABC):
    """An endless ascending sequence of instants, in microseconds, UTC."""

    def __init__(self, longest_us: int, aligned_us: int) -> None:
        self.longest_us: Final = longest_us  # an upper bound of the distance between neighbours
        self.aligned_us: Final = aligned_us  # every end is a multiple of it

    @abstractmethod
    def between(self, after_us: int, upto_us: int) -> Times:
        """Those in (after, upto], ascending, each once."""

    @abstractmethod
    def next_after(self, instants: Times) -> Times:
        """For each instant the first end above it."""

    @abstractmethod
    def last_before(self, instants: Times) -> Times:
        """For each instant the last end below it."""


class ExactEnds(Ends):
    """The multiples of a step since the epoch."""

    def __init__(self, step_us: int) -> None:
        super().__init__(step_us, step_us)
        self._step_us: Final = step_us

    def between(self, after_us: int, upto_us: int) -> Times:
        return np.arange((after_us // self._step_us + 1) * self._step_us, upto_us + 1, self._step_us, dtype=np.int64)

    def next_after(self, instants: Times) -> Times:
        return (instants // self._step_us + 1) * self._step_us

    def last_before(self, instants: Times) -> Times:
        return (instants - 1) // self._step_us * self._step_us


class CalendarEnds(Ends, ABC):
    """Starts of numbered local spans; several may begin together, where the clocks skip a date."""

    def __init__(self, calendar: LocalCalendar, longest_us: int) -> None:
        super().__init__(longest_us, calendar.zone.midnight_alignment_us)
        self._calendar: Final = calendar

    @abstractmethod
    def _numbers(self, instants: Times) -> Times:
        """For each instant the number of the last span that began at or before it."""

    @abstractmethod
    def _instants(self, numbers: Times) -> Times:
        """Starts of the spans of these numbers."""

    def between(self, after_us: int, upto_us: int) -> Times:
        first, last = self._numbers(np.array([after_us, upto_us], dtype=np.int64)).tolist()
        instants = self._instants(np.arange(first + 1, last + 1, dtype=np.int64))
        return np.unique(instants)

    def next_after(self, instants: Times) -> Times:
        return self._instants(self._numbers(instants) + 1)

    def last_before(self, instants: Times) -> Times:
        return self._instants(self._numbers(instants - 1))


class DayEnds(CalendarEnds):
    """Every so many local midnights."""

    def __init__(self, calendar: LocalCalendar, days: int) -> None:
        super().__init__(calendar, calendar.longest_days_us(days))
        self._days: Final = days

    def _numbers(self, instants: Times) -> Times:
        return (self._calendar.days_of(instants) - self._calendar.anchor_day) // self._days

    def _instants(self, numbers: Times) -> Times:
        return self._calendar.day_starts(numbers * self._days + self._calendar.anchor_day)


class GrainEnds(CalendarEnds):
    """The starts of grains."""

    def __init__(self, calendar: LocalCalendar, grain: Grain) -> None:
        super().__init__(calendar, calendar.longest_us(grain))
        self._grain: Final[Grain] = grain

    def _numbers(self, instants: Times) -> Times:
        return self._calendar.grains_of(self._grain, instants)

    def _instants(self, numbers: Times) -> Times:
        return self._calendar.grain_starts(self._grain, numbers)


class UnionEnds(Ends):
    """The ends of two sequences, together."""

    def __init__(self, left: Ends, right: Ends) -> None:
        super().__init__(min(left.longest_us, right.longest_us), int(np.gcd(left.aligned_us, right.aligned_us)))
        self._left: Final = left
        self._right: Final = right

    def between(self, after_us: int, upto_us: int) -> Times:
        return np.union1d(self._left.between(after_us, upto_us), self._right.between(after_us, upto_us))

    def next_after(self, instants: Times) -> Times:
        return np.minimum(self._left.next_after(instants), self._right.next_after(instants))

    def last_before(self, instants: Times) -> Times:
        return np.maximum(self._left.last_before(instants), self._right.last_before(instants))


def ends_every(step: Duration, calendar: LocalCalendar) -> Ends:
    """The ends of windows that step by this duration."""
    days = days_of(step)
    return ExactEnds(exact_us(step)) if days is None else DayEnds(calendar, days)


def days_of(duration: Duration) -> int | None:
    """How many local days a duration in d or w has; None for the others."""
    return {"d": duration.amount, "w": 7 * duration.amount}.get(duration.unit)
