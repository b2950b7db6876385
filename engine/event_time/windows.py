"""Windows: tumble, hop and cumulate as arithmetic on arrays of their ends (protocol rules 10 and 11).

    windows = windows_for(Hop(Duration(30, "d"), Duration(1, "h")), Calendar("Europe/Amsterdam"))
    windows.pane_us                             # 3_600_000_000: every window is a union of such panes
    new = windows.publishable(before, now)      # Spans to publish for the first time: start_us, end_us, publish_us
    done = windows.closing(before, now)         # Spans to close
    hit = windows.containing(panes, now)        # published Spans that read any of these panes,
    hit.windows.end_us[hit.window]              # as pairs: pane panes[hit.pane[k]] lies in window hit.window[k]
    windows.shifted(done, Offset(30, "d"))      # what each is compared with, in the same order
    windows.previous(new.end_us)                # the window before each

A window is known by its end: no two windows of a KPI end together. It is published when the one before it ends. That is
rule 11's end - slide for a hop, end - step for a cumulate and start for a tumble, and it also holds where a step is cut
short by the end of the grain; so exactly one window that has not ended is published at any time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.catalog.model import Calendar, Cumulate, Grain, Hop, Offset, Tumble, Window
from engine.event_time import NEVER
from engine.event_time.calendars import LocalCalendar, exact_offset_us
from engine.event_time.durations import DAY_US, exact_us
from engine.event_time.ends import Ends, GrainEnds, UnionEnds, days_of, ends_every
from engine.event_time.zones import Times

_SPARSE_STEPS: Final = 10_000  # enumerating so many unused ends costs about as much as one more round of numpy calls


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Windows as columns of int64 microseconds, UTC: each is [start, end), and first published at ``publish_us``."""

    start_us: Times
    end_us: Times
    publish_us: Times

    def __len__(self) -> int:
        return int(self.end_us.size)

    def take(self, index: Times | npt.NDArray[np.bool_]) -> Spans:
        """The windows at these positions, or those where a boolean mask is true."""
        return Spans(self.start_us[index], self.end_us[index], self.publish_us[index])


class Containing(NamedTuple):
    """Windows in end order, and the pairs of pane and window where the window contains the pane."""

    windows: Spans
    pane: Times  # positions in the panes asked for
    window: Times  # positions in ``windows``


class Windows(ABC):
    """All windows of one KPI. Bounds are multiples of ``pane_us``."""

    def __init__(self, calendar: LocalCalendar, ends: Ends, max_length_us: int, *, at_midnights: bool) -> None:
        self.calendar: Final = calendar
        self.max_length_us: Final = max_length_us  # no window is longer
        self.max_step_us: Final = ends.longest_us  # from the end of no window to that of the next is longer
        self._ends: Final = ends
        self._at_midnights: Final = at_midnights  # all bounds are starts of local days
        self.pane_us: int = ends.aligned_us

    @abstractmethod
    def _starts(self, ends: Times) -> Times:
        """Starts of the windows with these ends."""

    @abstractmethod
    def shifted(self, spans: Spans, offset: Offset) -> Spans:
        """The windows that these are compared with, one offset earlier, in the same order (``publish_us`` stays)."""

    def align(self, offsets: Iterable[Offset]) -> None:
        """Make panes short enough for the windows shifted by any of these offsets, or by several in turn."""
        zone = self.calendar.zone
        lengths = [exact_offset_us(offset) for offset in offsets]
        exact = [length for length in lengths if length is not None]
        at_midnights = self._at_midnights and not exact
        local = zone.midnight_alignment_us if at_midnights else zone.alignment_us
        self.pane_us = math.gcd(self.pane_us, *exact, *([local] if len(exact) < len(lengths) else []))

    def ending_at(self, ends: Times) -> Spans:
        """The windows with these ends, which must be ends of windows."""
        return Spans(self._starts(ends), ends, self._ends.last_before(ends))

    def closing(self, after_us: int, upto_us: int) -> Spans:
        """The windows that end in (after, upto], in end order."""
        return self.ending_at(self._between(after_us, upto_us))

    def publishable(self, after_us: int, upto_us: int) -> Spans:
        """The windows whose publish time is in (after, upto], in end order."""
        publish = self._between(after_us, upto_us)
        if not publish.size:
            return self.ending_at(publish)
        ends = np.append(publish[1:], self._ends.next_after(publish[-1:]))
        return Spans(self._starts(ends), ends, publish)

    def containing(self, pane_start_us: Times, published_upto_us: int) -> Containing:
        """The windows that contain any of these panes and whose publish time is at most ``published_upto_us``."""
        none = np.empty(0, dtype=np.int64)
        if published_upto_us <= NEVER or not pane_start_us.size:
            return Containing(self.ending_at(none), none, none)
        last_end = int(self._ends.next_after(np.array([published_upto_us], dtype=np.int64))[0])
        ends = self._ends_after_panes(np.unique(pane_start_us), last_end)
        spans = self.ending_at(ends)
        first = np.searchsorted(ends, pane_start_us, side="right")
        beyond = np.searchsorted(ends, pane_start_us + self.max_length_us, side="right")
        candidates = beyond - first
        pane = np.repeat(np.arange(pane_start_us.size), candidates)
        window = np.arange(pane.size) - np.repeat(np.cumsum(candidates) - candidates - first, candidates)
        inside = spans.start_us[window] <= pane_start_us[pane]
        pane, window = pane[inside], window[inside]
        used = np.zeros(ends.size, dtype=np.bool_)
        used[window] = True
        if not used.all():
            window = (np.cumsum(used) - 1)[window]
            spans = spans.take(used)
        return Containing(spans, pane, window)

    def next_end(self, after_us: int) -> int:
        """The first end of a window above an instant: also when the next one after it is published."""
        return int(self._ends.next_after(np.array([after_us], dtype=np.int64))[0])

    def following(self, ends: Times) -> Times:
        """For each of these ends of windows the end of the window after it."""
        return self._ends.next_after(ends)

    def previous(self, ends: Times) -> Spans:
        """For each of these ends of windows the window before it."""
        return self.ending_at(self._ends.last_before(ends))

    def _between(self, after_us: int, upto_us: int) -> Times:
        if upto_us <= after_us:
            return np.empty(0, dtype=np.int64)
        if after_us <= NEVER:
            raise ValueError("windows cannot be enumerated from the beginning of time; give the first event's time")
        return self._ends.between(after_us, upto_us)

    def _ends_after_panes(self, panes: Times, last_end: int) -> Times:
        """Ends up to ``last_end`` of windows that may contain these ascending panes, without long empty stretches."""
        gap_us = max(self.max_length_us, _SPARSE_STEPS * self.max_step_us)
        breaks = np.flatnonzero(np.diff(panes) > gap_us)
        firsts = panes[np.concatenate(([0], breaks + 1))].tolist()
        lasts = panes[np.append(breaks, panes.size - 1)].tolist()
        runs = [
            self._ends.between(first, min(last + self.max_length_us, last_end))
            for first, last in zip(firsts, lasts, strict=True)
            if first < last_end
        ]
        return np.concatenate(runs) if runs else np.empty(0, dtype=np.int64)


class TumbleWindows(Windows):
    """Side by side: a window starts where the one before it ends."""

    def __init__(self, window: Tumble, calendar: LocalCalendar) -> None:
        self._grain: Final = window.grain
        self._days: Final = None if window.size is None else days_of(window.size)
        if window.grain is not None:
            ends: Ends = GrainEnds(calendar, window.grain)
        elif window.size is not None:
            ends = ends_every(window.size, calendar)
        else:
            raise ValueError("a tumble window has a size or a grain")
        at_midnights = window.grain is not None or self._days is not None
        super().__init__(calendar, ends, ends.longest_us, at_midnights=at_midnights)

    def _starts(self, ends: Times) -> Times:
        return self._ends.last_before(ends)

    def shifted(self, spans: Spans, offset: Offset) -> Spans:
        if self._grain is not None:
            return _shifted_to_date(self.calendar, self._grain, spans, offset)
        if self._days is None or exact_offset_us(offset) is not None:
            starts = self.calendar.earlier(spans.start_us, offset)
            return Spans(starts, starts + (spans.end_us - spans.start_us), spans.publish_us)
        starts = self.calendar.earlier(spans.start_us, offset, midnights=True)
        ends = self.calendar.zone.to_utc(self.calendar.wall_times(starts) + self._days * DAY_US)
        return Spans(starts, ends, spans.publish_us)


class HopWindows(Windows):
    """Rolling: a window of ``size`` ends at every ``slide``."""

    def __init__(self, window: Hop, calendar: LocalCalendar) -> None:
        days = days_of(window.size)
        longest = exact_us(window.size) if days is None else calendar.longest_days_us(days)
        at_midnights = days_of(window.slide) is not None
        super().__init__(calendar, ends_every(window.slide, calendar), longest, at_midnights=at_midnights)
        self._size: Final = Offset(window.size.amount, window.size.unit)
        self.align([self._size])

    def _starts(self, ends: Times) -> Times:
        return self.calendar.earlier(ends, self._size, midnights=self._at_midnights)

    def shifted(self, spans: Spans, offset: Offset) -> Spans:
        ends = self.calendar.earlier(spans.end_us, offset, midnights=self._at_midnights)
        return Spans(self._starts(ends), ends, spans.publish_us)


class CumulateWindows(Windows):
    """Grain to date: from the grain's start to every ``step`` within it, and once to its end."""

    def __init__(self, window: Cumulate, calendar: LocalCalendar) -> None:
        self._grain: Final[Grain] = window.grain
        ends = UnionEnds(ends_every(window.step, calendar), GrainEnds(calendar, window.grain))
        at_midnights = days_of(window.step) is not None
        super().__init__(calendar, ends, calendar.longest_us(window.grain), at_midnights=at_midnights)

    def _starts(self, ends: Times) -> Times:
        return self.calendar.grain_starts(self._grain, self.calendar.grains_of(self._grain, ends - 1))

    def shifted(self, spans: Spans, offset: Offset) -> Spans:
        return _shifted_to_date(self.calendar, self._grain, spans, offset)


def windows_for(window: Window, calendar: Calendar, offsets: Iterable[Offset] = ()) -> Windows:
    """The windows of a KPI. ``offsets`` are those it is compared by: shifted windows are unions of its panes too.

    Raises ValueError for an unknown time zone.
    """
    local = LocalCalendar(calendar)
    windows: Windows
    match window:
        case Tumble():
            windows = TumbleWindows(window, local)
        case Hop():
            windows = HopWindows(window, local)
        case Cumulate():
            windows = CumulateWindows(window, local)
    windows.align(offsets)
    return windows


def _shifted_to_date(calendar: LocalCalendar, grain: Grain, spans: Spans, offset: Offset) -> Spans:
    """Windows that start with a grain, one offset earlier: the same elapsed part of the earlier grain, by wall clock.

    A whole grain is compared with the whole earlier one, and a part never goes beyond it (Mar 31 with all of February).
    An offset that does not lead from grain to grain (30d before a month) gives the same elapsed time from that day on.
    """
    if (exact := exact_offset_us(offset)) is not None:
        return Spans(spans.start_us - exact, spans.end_us - exact, spans.publish_us)
    starts = calendar.earlier(spans.start_us, offset, midnights=True)
    elapsed = calendar.wall_times(spans.end_us) - calendar.wall_times(spans.start_us)
    # Right after midnight the clocks may go back to the day before.
    elapsed = np.where(elapsed > 0, elapsed, spans.end_us - spans.start_us)
    ends = calendar.zone.to_utc(calendar.wall_times(starts) + elapsed)
    if calendar.leads_to_a_grain(grain, offset):
        grains = calendar.grains_of(grain, spans.start_us)
        to_date = spans.start_us == calendar.grain_starts(grain, grains)  # not so where shifted before, by 30d or 2h
        whole = to_date & (spans.end_us == calendar.grain_starts(grain, grains + 1))
        earlier_ends = calendar.grain_starts(grain, calendar.grains_of(grain, starts) + 1)
        ends = np.where(whole, earlier_ends, np.where(to_date, np.minimum(ends, earlier_ends), ends))
    return Spans(starts, ends, spans.publish_us)
