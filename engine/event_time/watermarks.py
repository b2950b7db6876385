"""Watermarks: of one source partition at every offset (protocol rule 6), and of all its partitions together (rule 7).

All times are int microseconds since the epoch; `NEVER` where there was no event yet. Nothing here reads a clock.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.event_time import NEVER
from engine.event_time.zones import Times


def running_watermark(times: Times, start_us: int, delay_us: int) -> Times:
    """The watermark before each event: the highest time at lower offsets, less ``delay_us``; NEVER where none was.

    ``times`` are the event times in offset order of events that raise the watermark if they are high enough: neither
    invalid, nor future, nor duplicate (late ones may stay in, they are below it). ``start_us`` is the highest accepted
    time before the first of them, or NEVER.
    """
    before = np.empty_like(times)
    if not times.size:
        return before
    before[0] = start_us
    np.maximum.accumulate(times[:-1], out=before[1:])
    np.maximum(before, start_us, out=before)
    return np.where(before == NEVER, NEVER, before - delay_us)


class _Heard(NamedTuple):
    watermark_us: int
    idle: bool
    empty: bool
    clock_us: int | None


class MergedWatermark:
    """How far all partitions of one source are: the minimum of those that are not idle. It never goes back."""

    def __init__(self, at_us: int = NEVER) -> None:
        """``at_us``: what it had reached before a restart."""
        self._merged_us = at_us
        self._partitions: int | None = None
        self._heard: dict[int, _Heard] = {}

    def hear(
        self,
        partition: int,
        partitions: int,
        *,
        watermark_us: int,
        idle: bool = False,
        empty: bool = False,
        clock_us: int | None = None,
    ) -> None:
        """Take in what the owner of ``partition`` (of ``partitions``) says of it; it replaces what was said before.

        ``idle``: at its log's end, and silent for ``idle_after``. ``empty``: at its log's end, and never had an event.
        ``clock_us``: where the wall clock puts the watermark of an idle partition, counted only when all are idle.
        """
        self._partitions = partitions
        self._heard[partition] = _Heard(watermark_us, idle, empty, clock_us)
        self._merged_us = max(self._merged_us, self._minimum())

    def merged(self) -> int:
        """The merged watermark; NEVER until every partition was heard of and one had an event."""
        return self._merged_us

    def _minimum(self) -> int:
        if self._partitions is None or any(partition not in self._heard for partition in range(self._partitions)):
            return NEVER  # a partition never heard of holds time: its owner may be dead or on its way
        some = [heard for heard in self._heard.values() if not heard.empty]
        busy = [heard.watermark_us for heard in some if not heard.idle]
        if busy:
            return min(busy)
        advanced = [heard.watermark_us if heard.clock_us is None else heard.clock_us for heard in some]
        return min(advanced, default=NEVER)
