"""The latest changes of all KPIs, in the order in which they came: what every open stream reads from its own position.

One list for all of them, bounded in bytes, so that a slow reader costs nothing; one that was overtaken starts again
with a snapshot. The id of an event is a time on Redis' clock up to which everything has been told, so that any process
can go on from it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 16 * 2**20
_EACH_BYTES: Final = 300  # of a change, beside its JSON
OVERLAP_MS: Final = 2_000  # what is told again on resuming: what Redis' replicas and this process may lag by


@dataclass(frozen=True, slots=True)
class Change:
    """A value as it was written; with no JSON: all current values of the KPI have been read again.

    On Redis' clock, ``ms`` is when it was written, ``newest_ms`` when the newest up to this one was, and ``told_ms`` up
    to when everything was told once this was.
    """

    kpi: str
    ms: int
    dims: str
    json: bytes
    told_ms: int
    newest_ms: int


class Changes:
    def __init__(self) -> None:
        self._kept: deque[Change] = deque()
        self._first = 0  # position of the first one kept
        self._bytes = 0
        self.complete_since_ms = 0  # nothing that was written from then on is missing
        self.told_ms = 0
        self.arrived = asyncio.Event()  # set with each, cleared by who waits for it

    @property
    def end(self) -> int:
        """The position behind the last change."""
        return self._first + len(self._kept)

    def add(self, kpi: str, ms: int, dims: str, json: bytes) -> None:
        newest_ms = max(ms, self._kept[-1].newest_ms if self._kept else 0)
        self._kept.append(Change(kpi, ms, dims, json, self.told_ms, newest_ms))
        self._bytes += len(json) + _EACH_BYTES
        while self._bytes > MAX_BYTES:
            dropped = self._kept.popleft()
            self._first += 1
            self._bytes -= len(dropped.json) + _EACH_BYTES
            self.complete_since_ms = max(self.complete_since_ms, dropped.newest_ms + 1)
        self.arrived.set()

    def replaced(self, kpi: str, ms: int) -> None:
        """All current values of a KPI have been read again at this time; 0: for the first time."""
        self.add(kpi, ms, "", b"")

    def after(self, position: int, most: int) -> list[Change] | None:
        """At most so many changes from a position on; None where some of them are no longer kept."""
        start = position - self._first
        if start < 0:
            return None
        return [self._kept[at] for at in range(start, min(start + most, len(self._kept)))]

    def resume(self, told_ms: int) -> list[Change] | None:
        """What was written since everything up to a time had been told; None where that is not known."""
        since_ms = told_ms - OVERLAP_MS
        if since_ms < self.complete_since_ms or since_ms > self.told_ms:
            return None
        start = bisect_left(self._kept, since_ms, key=lambda change: change.newest_ms)
        found = (self._kept[at] for at in range(start, len(self._kept)))
        return [change for change in found if change.ms >= since_ms]
