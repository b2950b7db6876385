"""Ids with the event times at which they were accepted, as they came, and an order to find them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.event_time import NEVER
from engine.sorted_ids import Int64s, SortedIds, UInt64s, first_bits, last_bits, least, places

MOST_ENTRIES: Final = 1 << 20  # of a block: to sort them takes some milliseconds
_FANOUT: Final = 8
_SPAN_US: Final = 1 << 32  # what a time of 32 bits reaches: 71 minutes


class IdBlock:
    """Up to ``capacity`` entries (rounded up to an even number). Nothing but keys is ever moved: they lie in sorted
    runs, and runs of like size are sorted into one where they lie.

    An entry is its key, what the key lacks of the id, and its time: 24 bytes where times are kept as microseconds since
    ``since_us``, up to 71 minutes of them; 28 in a block for any times, for which that is None.
    """

    def __init__(self, capacity: int, since_us: int | None) -> None:
        capacity += capacity % 2
        self._since_us = since_us
        self._lie_in(np.empty(capacity * self.entry_bytes // 8, dtype=np.uint64))  # no memory until it is written to
        self._starts: list[int] = []  # of the runs
        self._count = 0
        self.earliest: int | None = None
        self.latest = NEVER
        self.stored = False

    def __len__(self) -> int:
        return self._count

    @property
    def entry_bytes(self) -> int:
        return 28 if self._since_us is None else 24

    def runs(self) -> Iterator[UInt64s]:
        """The keys, oldest first."""
        for start, end in zip(self._starts, [*self._starts[1:], self._count], strict=True):
            yield self._keys[start:end]

    def has_room(self, count: int) -> bool:
        return self._count + count <= len(self._keys)

    def spans(self, earliest: int, latest: int) -> bool:
        """Whether it can hold such times."""
        return self._since_us is None or (self._since_us <= earliest and latest < self._since_us + _SPAN_US)

    def append(self, ids: SortedIds, times: Int64s) -> None:
        """Add entries, for which there is room, and whose times it spans."""
        start, end = self._count, self._count + len(ids)
        np.add(ids.keys, np.uint64(start), out=self._keys[start:end])
        self._high[start:end] = ids.ids[:, 1]
        self._low[start:end] = last_bits(ids.ids[:, 0])
        self._times[start:end] = times if self._since_us is None else times - self._since_us
        self._starts.append(start)
        self._count = end
        earliest, latest = int(times.min()), int(times.max())
        self.earliest = earliest if self.earliest is None else min(self.earliest, earliest)
        self.latest = max(self.latest, latest)
        self._merge()

    def find(self, ids: SortedIds) -> Int64s:
        """Of each key the latest time of its id; NEVER where it is not here."""
        wanted, asked = first_bits(ids.keys), least(ids.keys)
        latest = np.full(len(wanted), NEVER, dtype=np.int64)
        for run in self.runs():
            at = run.searchsorted(asked)
            left = np.flatnonzero(first_bits(run.take(at, mode="clip")) == wanted)
            at = at[left]
            while len(left):  # an id may be there again behind: accepted once more, after the first had expired
                left, at = left[at < len(run)], at[at < len(run)]
                here = first_bits(run[at]) == wanted[left]
                left, at = left[here], at[here]
                self._keep_latest(latest, left, ids.ids[ids.places[left]], places(run[at]))
                at = at + 1
        return latest

    def _keep_latest(self, latest: Int64s, left: npt.NDArray[np.intp], ids: UInt64s, found: Int64s) -> None:
        same = (self._high[found] == ids[:, 1]) & (self._low[found] == last_bits(ids[:, 0]))
        times = self._times[found].astype(np.int64)
        if self._since_us is not None:
            times += self._since_us
        latest[left] = np.maximum(latest[left], np.where(same, times, NEVER))

    def close(self, put: Callable[[UInt64s], UInt64s] | None) -> None:
        """Sort all into one run: nothing is added any more. ``put`` says where the entries lie from now on."""
        count = self._count
        self._starts = [0]
        self._keys[:count].sort()
        if put is None:
            return
        columns = self._keys, self._high, self._low, self._times
        whole = count + count % 2
        self._lie_in(np.zeros(whole * self.entry_bytes // 8, dtype=np.uint64))
        for ours, theirs in zip((self._keys, self._high, self._low, self._times), columns, strict=True):
            ours[:count] = theirs[:count]
        self._lie_in(put(self._words))
        self.stored = True

    def _lie_in(self, words: UInt64s) -> None:
        """One piece of memory for all columns: large pages, where the system has them."""
        self._words = words
        capacity = 8 * len(words) // self.entry_bytes
        self._keys, self._high, rest = words[:capacity], words[capacity : 2 * capacity], words[2 * capacity :]
        self._low: npt.NDArray[np.uint32] = rest.view(np.uint32)[:capacity]
        rest = rest[capacity // 2 :]
        self._times: npt.NDArray[np.uint32] | Int64s
        self._times = rest.view(np.int64) if self._since_us is None else rest.view(np.uint32)

    def _merge(self) -> None:
        """Sort the newest runs into one while enough of them are of one size."""
        starts = self._starts
        while True:
            size = _magnitude(self._count - starts[-1])
            first = len(starts) - 1
            while first and _magnitude(starts[first] - starts[first - 1]) <= size:
                first -= 1
            if len(starts) - first < _FANOUT:
                return
            del starts[first + 1 :]
            self._keys[starts[first] : self._count].sort()


def since_us_for(times: Int64s, before: IdBlock | None) -> int | None:
    """From when a block should keep times that begins with these: from half its span before them. None (any times)
    where they do not fit, or the times of the block before were so far apart that the next would soon be of no use.
    """
    earliest, latest = int(times.min()), int(times.max())
    apart = latest - earliest
    if before is not None and before.earliest is not None:
        apart = max(apart, before.latest - before.earliest, latest - before.earliest)
    return earliest - _SPAN_US // 2 if apart < _SPAN_US // 2 else None


def _magnitude(count: int) -> int:
    """Equal for runs that differ in size by less than the fan-out."""
    return (count.bit_length() - 1) // (_FANOUT.bit_length() - 1)
