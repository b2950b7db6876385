"""Series that have had no event for too long, in event time, out of the panes that hold events.

What can be seen is the pane: a series is silent from the end of its last pane, and heard again at the end of its next
one. Panes count once the watermark has passed their end, since events of a partition that is behind may still fill a
gap; so all instants are bounds of panes (and whole minutes), and a replay decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.alerts.states import BREACH, RECOVERED, Verdict
from engine.catalog.alerting import MINUTE_US, NoData
from engine.event_time.zones import Times
from engine.keyed_rows import Keys, put_together
from engine.series import OTHER, Hashes


@dataclass(frozen=True, slots=True)
class Silence:
    """One series and a verdict on it at an instant; ``last_us``: the end of the last pane with an event before it."""

    series: int
    at_us: int
    verdict: Verdict
    last_us: int


class Presence:
    """When each series of a KPI had its last event, in one partition of partials. Panes are [start, start + pane)."""

    def __init__(self, pane_us: int) -> None:
        self._pane_us = pane_us
        self._h: Hashes = np.empty(0, dtype=np.uint64)
        self._last: Times = np.empty(0, dtype=np.int64)  # ends of panes
        self._ahead = Keys(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))  # (h, pane number), not passed

    def seen(self, panes: Times, h: Hashes) -> None:
        """Series have events in these panes, given by their numbers."""
        real = h != np.uint64(OTHER)
        if real.any():
            found = Keys(h[real].astype(np.uint64), panes[real].astype(np.int64))
            self._ahead = put_together([self._ahead, found]).sorted_once()[0]

    def until(self, watermark_us: int) -> list[tuple[int, int, int]]:
        """The gaps between events that have been passed: (series, end of the pane before, start of the one after)."""
        h, pane = self._ahead.columns
        passed = (pane + 1) * self._pane_us <= watermark_us
        if not passed.any():
            return []
        h, pane = h[passed], pane[passed]
        self._ahead = self._ahead.take(~passed)
        known = np.searchsorted(self._h, h)
        before = np.full(len(h), -1, dtype=np.int64)
        inside = known < len(self._h)
        inside[inside] = self._h[known[inside]] == h[inside]
        before[inside] = self._last[known[inside]]
        same = np.append(False, h[1:] == h[:-1])
        before[same] = (pane[:-1] + 1)[same[1:]] * self._pane_us
        start = pane * self._pane_us
        gaps = (before >= 0) & (start > before)
        found = list(zip(h[gaps].tolist(), before[gaps].tolist(), start[gaps].tolist(), strict=True))
        last = np.append(~same[1:], True)
        self._take(h[last], (pane[last] + 1) * self._pane_us)
        return found

    def _take(self, h: Hashes, ends: Times) -> None:
        both = np.concatenate((self._h, h))
        last = np.concatenate((self._last, ends))
        order = np.lexsort((last, both))
        both, last = both[order], last[order]
        keep = np.append(both[1:] != both[:-1], True)
        self._h, self._last = both[keep], last[keep]

    def silences(
        self, rule: NoData, gaps: Sequence[tuple[int, int, int]], since_us: int, watermark_us: int
    ) -> Iterator[Silence]:
        """What is to be decided in (since, watermark], of each series in order: who falls silent, who is heard again,
        and who is not expected any more.
        """
        for series, before, start in gaps:
            began = self._bound(before + rule.after_us)
            if began <= start:
                if since_us < began < before + rule.expected_us:
                    yield Silence(series, began, BREACH, before)
                over = self._bound(before + rule.expected_us)
                if since_us < over < start + self._pane_us:
                    yield Silence(series, over, RECOVERED, before)
                yield Silence(series, start + self._pane_us, RECOVERED, before)
        due = (self._last + rule.after_us <= watermark_us) & (
            self._last + rule.expected_us > since_us - max(MINUTE_US, self._pane_us)
        )
        if not due.any():
            return
        ahead = self._first_ahead(self._h[due])
        for series, last, heard in zip(self._h[due].tolist(), self._last[due].tolist(), ahead.tolist(), strict=True):
            began, over = self._bound(last + rule.after_us), self._bound(last + rule.expected_us)
            if 0 <= heard < began:
                continue
            if since_us < began <= watermark_us:
                yield Silence(series, began, BREACH, last)
            if since_us < over <= watermark_us:
                yield Silence(series, over, RECOVERED, last)

    def _bound(self, time_us: int) -> int:
        """The first bound of a pane at or after an instant that is a whole minute."""
        pane_us = math.lcm(self._pane_us, MINUTE_US)
        return -(-time_us // pane_us) * pane_us

    def _first_ahead(self, h: Hashes) -> npt.NDArray[np.int64]:
        """The start of the first pane beyond the watermark in which each series has events; -1 where there is none."""
        of, pane = self._ahead.columns
        found = np.full(len(h), -1, dtype=np.int64)
        if len(of):
            at = np.minimum(np.searchsorted(of, h), len(of) - 1)
            hit = of[at] == h
            found[hit] = pane[at[hit]] * self._pane_us
        return found
