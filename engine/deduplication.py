"""Which events were seen before: 128-bit ids with event times, for as long as they count (protocol rule 5).

An id is the XXH3-128 of an event's identity in UTF-8. `Seen` is a log-structured merge of sorted runs, looked up a
batch at a time, with one filter in front: almost all ids are new, and most of those cost one look into the filter.
Segments are how the ids become durable: the entries that came between two flushes, as one record.

An entry counts while its event time >= watermark - dedupe. Watermarks only grow, so what no longer counts may be
dropped at any time; nothing is dropped earlier.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from engine.block_keys import UnknownVersion
from engine.event_time import NEVER

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

SEGMENT_VERSION: Final = 1
_SEGMENT: Final = struct.Struct("<BBxxIqqq")  # version, bytes of a time, count, first offset, next offset, lowest time
_ENTRY_BYTES: Final = 24
_FANOUT: Final = 8
_LAST_LEVEL: Final = 6  # runs of 260,000 to 2 million entries are merged no more: a merge of those would be felt
_WORD_LOAD: Final = 2  # entries per 32-bit word of the filter, at most
_LEAST_WORDS: Final = 1 << 12
_LEAST_STORED: Final = 1 << 11  # entries; less is not worth a place of its own


def digests(identities: Sequence[str]) -> UInt64s:
    """The ids of identities: the canonical (big-endian) digests, read as rows of two little-endian words."""
    if not identities:
        return np.empty((0, 2), dtype=np.uint64)
    digest = xxhash.xxh3_128_digest
    return np.frombuffer(b"".join(map(digest, map(str.encode, identities))), dtype="<u8").reshape(-1, 2)


class Store(Protocol):
    """Where runs go that would take too much memory. What one `Store` allows is shared by all that it counts."""

    def count(self, seen: Seen) -> None:
        """What this one holds counts from now on, for as long as it is there."""

    @property
    def is_wanted(self) -> bool:
        """Whether those that are counted hold more than they may."""

    def put(self, array: UInt64s) -> UInt64s:
        """The same array, read-only, that does not lie in memory; it may go with the last reference to it."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Entries sorted by ``low``, the first word of their ids. Among equal words any order; an id may be there twice."""

    low: UInt64s
    high: UInt64s
    time: Int64s
    latest: int
    level: int
    stored: bool = False

    def __len__(self) -> int:
        return len(self.low)

    def find(self, low: UInt64s, high: UInt64s) -> tuple[npt.NDArray[np.intp], Int64s]:
        """The queries that are here, as indices, and the latest time of each."""
        at = np.searchsorted(self.low, low)
        inside = np.minimum(at, len(self) - 1)
        hits = np.flatnonzero(self.low[inside] == low)
        if not len(hits):
            return hits, np.empty(0, np.int64)
        first = at[hits]
        found = np.where(self.high[first] == high[hits], self.time[first], NEVER)
        # Equal first words: the same id again after the first one had expired, or once in many billions another id.
        at, left = first + 1, np.arange(len(hits))
        while True:
            left = left[at[left] < len(self)]
            left = left[self.low[at[left]] == low[hits[left]]]
            if not len(left):
                break
            same = self.high[at[left]] == high[hits[left]]
            found[left] = np.where(same, np.maximum(found[left], self.time[at[left]]), found[left])
            at[left] += 1
        known = found != NEVER
        return hits[known], found[known]


class Seen:
    """Ids with the latest event time at which each was accepted.

    Of 24 bytes an entry, those go to ``store``, when it is wanted, that are not merged again soon. The filter, 2 to 8
    bytes an entry, stays in memory.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._runs: list[_Run] = []  # oldest first
        self._words = np.zeros(_LEAST_WORDS, dtype=np.uint32)
        self._in_filter = 0
        self._store = store
        if store is not None:
            store.count(self)

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def latest(self, ids: UInt64s, live_from_us: int) -> Int64s:
        """The latest event time of each id; NEVER for those never seen, or only before ``live_from_us``."""
        times = np.full(len(ids), NEVER, dtype=np.int64)
        words, bits = self._filter_of(ids[:, 0])
        left = np.flatnonzero((self._words[words] & bits) == bits)
        low, high = ids[left, 0], ids[left, 1]
        if len(left) > 1:
            order = np.argsort(low)  # neighbours in a run share cache lines
            left, low, high = left[order], low[order], high[order]
        # Newest first. An id accepted again had expired before, so that the newest entry is the one that counts.
        for run in reversed(self._runs):
            if not len(left):
                break
            if run.latest < live_from_us:
                continue
            hits, found = run.find(low, high)
            if len(hits):
                times[left[hits]] = np.maximum(times[left[hits]], found)
                missing = np.ones(len(left), dtype=np.bool_)
                missing[hits] = False
                left, low, high = left[missing], low[missing], high[missing]
        times[times < live_from_us] = NEVER
        return times

    def add(self, ids: UInt64s, times: Int64s, live_from_us: int, order: npt.NDArray[np.intp] | None = None) -> None:
        """Remember accepted events; entries before ``live_from_us`` may be forgotten.

        ``order`` sorts the ids by their first words, where that is known.
        """
        if not len(ids):
            return
        if order is None:
            order = np.argsort(ids[:, 0])
        low, high = ids[:, 0][order], ids[:, 1][order]  # by columns: many times faster than rows of two
        level = _level(len(ids))
        run = self._run(low, high, times[order], level, may_store=level >= _LAST_LEVEL)
        self._runs.append(run)
        self._runs = [run for run in self._runs if run.latest >= live_from_us]
        self._into_filter(run.low)
        self._compact(live_from_us)

    @property
    def memory_bytes(self) -> int:
        """What is held in memory, without what the store took."""
        return self._words.nbytes + sum(len(run) * _ENTRY_BYTES for run in self._runs if not run.stored)

    # -- runs

    def _compact(self, live_from_us: int) -> None:
        """Merge the newest runs while enough of them are of one level."""
        while True:
            level = self._runs[-1].level if self._runs else _LAST_LEVEL
            if level >= _LAST_LEVEL:
                return
            first = len(self._runs)
            while first and self._runs[first - 1].level <= level:
                first -= 1
            if len(self._runs) - first < _FANOUT:
                return
            self._runs[first:] = self._merged(self._runs[first:], live_from_us)

    def _merged(self, runs: Sequence[_Run], live_from_us: int) -> list[_Run]:
        low = np.concatenate([run.low for run in runs])
        high = np.concatenate([run.high for run in runs])
        time = np.concatenate([run.time for run in runs])
        order = np.argsort(low, kind="stable")  # made for sorted runs
        low, high, time = low[order], high[order], time[order]
        live = time >= live_from_us
        if not live.all():
            low, high, time = low[live], high[live], time[live]
        if not len(low):
            return []
        level = max(_level(len(low)), *(run.level for run in runs))
        return [self._run(low, high, time, level, may_store=len(low) >= _LEAST_STORED)]

    def _run(self, low: UInt64s, high: UInt64s, time: Int64s, level: int, *, may_store: bool) -> _Run:
        latest = int(time.max())
        if not may_store or self._store is None or not self._store.is_wanted:
            return _Run(low, high, time, latest, level)
        count = len(low)
        stored = self._store.put(np.concatenate((low, high, time.view(np.uint64))))
        low, high, time = stored[:count], stored[count : 2 * count], stored[2 * count :].view(np.int64)
        return _Run(low, high, time, latest, level, stored=True)

    # -- filter: one word of 32 bits an entry, four bits of it set; 0.2 to 1.5 % of the new ids pass

    def _filter_of(self, low: UInt64s) -> tuple[UInt64s, npt.NDArray[np.uint32]]:
        half = low.astype(np.uint32)
        one, mask = np.uint32(1), np.uint32(31)
        bits = one << (half & mask)
        for shift in (5, 10, 15):
            bits |= one << ((half >> np.uint32(shift)) & mask)
        return low >> np.uint64(64 - (len(self._words).bit_length() - 1)), bits

    def _into_filter(self, low: UInt64s) -> None:
        self._in_filter += len(low)
        if self._in_filter > len(self._words) * _WORD_LOAD:
            live = len(self)
            size = max(_LEAST_WORDS, 1 << live.bit_length())
            self._words = np.zeros(size, dtype=np.uint32)
            self._in_filter = live
            for run in self._runs:
                words, bits = self._filter_of(run.low)
                np.bitwise_or.at(self._words, words, bits)
        else:
            words, bits = self._filter_of(low)
            np.bitwise_or.at(self._words, words, bits)


def _level(count: int) -> int:
    """Runs of one level differ in size by less than the fan-out."""
    return (count.bit_length() - 1) // (_FANOUT.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Segment:
    """Entries of the events accepted between two offsets: ids, times (microseconds) and offsets, in the order of the
    offsets.
    """

    first_offset: int
    next_offset: int
    ids: UInt64s
    times: Int64s
    offsets: Int64s

    def below(self, offset: int) -> Segment:
        """Only what was accepted below an offset."""
        if self.next_offset <= offset:
            return self
        count = int(np.searchsorted(self.offsets, offset))
        return Segment(
            self.first_offset,
            max(offset, self.first_offset),
            self.ids[:count],
            self.times[:count],
            self.offsets[:count],
        )


def encode_segment(segment: Segment) -> bytes:
    """Version 1, little endian: head, ids of 16 bytes, offsets above the first as u32, times above the lowest as u32
    or u64.
    """
    lowest = int(segment.times.min()) if len(segment.times) else 0
    times = (segment.times - lowest).astype("<u8")
    width = 4 if not len(times) or int(times.max()) < 2**32 else 8
    if segment.next_offset - segment.first_offset > 2**32:
        raise ValueError("a dedupe segment spans more than 2^32 offsets")
    head = _SEGMENT.pack(SEGMENT_VERSION, width, len(times), segment.first_offset, segment.next_offset, lowest)
    offsets = (segment.offsets - segment.first_offset).astype("<u4")
    return b"".join(
        (head, segment.ids.astype("<u8").tobytes(), offsets.tobytes(), times.astype(f"<u{width}").tobytes())
    )


def decode_segment(raw: bytes) -> Segment:
    """Raises `UnknownVersion` for one that another program wrote, ValueError for one that is cut short."""
    if raw[:1] != bytes((SEGMENT_VERSION,)):
        raise UnknownVersion(
            f"a dedupe segment of version {raw[:1].hex() or 'nothing'}; this program reads version {SEGMENT_VERSION}"
        )
    if len(raw) < _SEGMENT.size:
        raise ValueError("a dedupe segment is cut short")
    _, width, count, first, following, lowest = _SEGMENT.unpack_from(raw)
    ids_end = _SEGMENT.size + 16 * count
    offsets_end = ids_end + 4 * count
    if width not in (4, 8) or len(raw) != offsets_end + width * count:
        raise ValueError("a dedupe segment is cut short")
    ids = np.frombuffer(raw, "<u8", 2 * count, _SEGMENT.size).reshape(-1, 2)
    offsets = np.frombuffer(raw, "<u4", count, ids_end).astype(np.int64) + first
    times = np.frombuffer(raw, f"<u{width}", count, offsets_end).astype(np.int64) + lowest
    return Segment(first, following, ids, times, offsets)


def entries_of(segments: Iterable[Segment]) -> Segment | None:
    """All entries of some segments as one; None where there are none."""
    found = sorted((segment for segment in segments if len(segment.times)), key=lambda segment: segment.first_offset)
    if not found:
        return None
    return Segment(
        found[0].first_offset,
        found[-1].next_offset,
        np.concatenate([segment.ids for segment in found]),
        np.concatenate([segment.times for segment in found]),
        np.concatenate([segment.offsets for segment in found]),
    )
