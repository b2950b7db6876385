"""The latest changes of all KPIs, in the order in which they came: what every open stream reads from its own position.

One list for all of them, bounded in bytes, so that a slow reader costs nothing; one that was overtaken starts again
with a snapshot. The id of an event is a time on Redis' clock up to which everything has been told, so that any process
can go on from it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 16 * 2**20
OVERLAP_MS: Final = 2_000  # what is told again on resuming: what Redis' replicas and this process may lag by


@dataclass(frozen=True, slots=True)
class Change:
    """A value as it was written; with no JSON: all current values of the KPI have been read again.

    ``ms`` is when it was written on Redis' clock, ``told_ms`` up to when everything was told once this was.
    """

    kpi: str
    ms: int
    dims: str
    json: bytes
    told_ms: int = 0


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
        self._keep(Change(kpi, ms, dims, json, self.told_ms))

    def replaced(self, kpi: str, ms: int) -> None:
        """All current values of a KPI have been read again at this time; 0: for the first time."""
        self._keep(Change(kpi, ms, "", b"", self.told_ms))

    def _keep(self, change: Change) -> None:
        self._kept.append(change)
        self.arrived.set()
        self._bytes += len(change.json)
        while self._bytes > MAX_BYTES:
            dropped = self._kept.popleft()
            self._first += 1
            self._bytes -= len(dropped.json)
            self.complete_since_ms = max(self.complete_since_ms, dropped.ms + 1)

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
        return [change for change in self._kept if change.ms >= since_ms]
