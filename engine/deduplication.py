"""Which events were seen before: 128-bit ids with event times, for as long as they count (protocol rule 5).

An id is the XXH3-128 of an event's identity in UTF-8. `Seen` keeps them in blocks, oldest first, and is asked a batch
at a time. Almost all ids are new, and most of those cost one look into the filter in front.

An entry counts while its event time >= watermark - dedupe. Watermarks only grow, so what no longer counts may be
dropped at any time; nothing is dropped earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import xxhash

from engine.event_time import NEVER
from engine.id_blocks import MOST_ENTRIES, IdBlock, since_us_for
from engine.id_filter import IdFilter, Look
from engine.sorted_ids import Int64s, SortedIds, UInt64s

_LEAST_ENTRIES: Final = 1 << 12  # of a block
_AT_ONCE: Final = 1 << 11  # identities: what is made of them on the way stays in the cache


def digests(identities: Sequence[str]) -> UInt64s:
    """The ids of identities: the canonical (big-endian) digests, read as rows of two little-endian words."""
    if not identities:
        return np.empty((0, 2), dtype=np.uint64)
    digest, encode = xxhash.xxh3_128_digest, str.encode
    parts = [
        b"".join(map(digest, map(encode, identities[start : start + _AT_ONCE])))
        for start in range(0, len(identities), _AT_ONCE)
    ]
    return np.frombuffer(b"".join(parts), dtype="<u8").reshape(-1, 2)


class Store(Protocol):
    """Where ids go that would take too much memory. What one `Store` allows is shared by all that it counts."""

    def count(self, seen: Seen) -> None:
        """What this one holds counts from now on, for as long as it is there."""

    @property
    def is_wanted(self) -> bool:
        """Whether those that are counted hold more than they may."""

    def put(self, array: UInt64s) -> UInt64s:
        """The same array, read-only, that does not lie in memory; it may go with the last reference to it."""


class Seen:
    """Ids with the latest event time at which each was accepted.

    A block that is full goes to ``store``, when it is wanted: 24 or 28 bytes an entry. The last block, and the filter,
    2 to 6 bytes an entry, stay in memory.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._blocks: list[IdBlock] = []  # oldest first; the last one may have room
        self._filter = IdFilter()
        self._look: Look | None = None  # the last one: what was asked for is what is added next, mostly
        self._store = store
        if store is not None:
            store.count(self)

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def latest(self, ids: SortedIds, live_from_us: int) -> Int64s | None:
        """The latest event time of each id; NEVER for those never seen, or only before ``live_from_us``. None where
        none was ever seen.
        """
        self._look = look = self._filter.look(ids.keys)
        maybe = look.may_be_there
        if not maybe.any():
            return None
        left = ids.keys[maybe]
        times: Int64s | None = None
        # Newest first. An id accepted again had expired before, so that the newest entry is the one that counts.
        for block in reversed(self._blocks):
            if block.latest < live_from_us:
                continue
            asked = SortedIds(ids.ids, left)
            found = block.find(asked)
            known = found != NEVER
            if known.any():
                if times is None:
                    times = np.full(len(ids), NEVER, dtype=np.int64)
                times[asked.places[known]] = found[known]
                left = left[~known]
                if not len(left):
                    break
        if times is None:
            return None
        times[times < live_from_us] = NEVER
        return times

    def add(self, ids: SortedIds, times: Int64s, live_from_us: int) -> None:
        """Remember accepted events; entries before ``live_from_us`` may be forgotten."""
        if not len(ids):
            return
        self._blocks = [block for block in self._blocks if block.latest >= live_from_us]
        if len(ids) > MOST_ENTRIES:
            for start in range(0, len(ids), MOST_ENTRIES):
                part = slice(start, start + MOST_ENTRIES)
                self.add(SortedIds.of(ids.ids[part]), times[part], live_from_us)
            return
        last = self._blocks[-1] if self._blocks else None
        if last is None or not last.has_room(len(ids)) or not last.spans(int(times.min()), int(times.max())):
            last = self._begin_block(times)
        last.append(ids, times)
        look, self._look = self._look, None
        if self._filter.has_room(len(ids)):
            self._filter.add(look if look is not None and look.keys is ids.keys else self._filter.look(ids.keys))
        else:
            self._filter.renew((keys for block in self._blocks for keys in block.runs()), len(self))

    @property
    def memory_bytes(self) -> int:
        """What is held in memory, without what the store took."""
        return self._filter.nbytes + sum(len(block) * block.entry_bytes for block in self._blocks if not block.stored)

    def _begin_block(self, times: Int64s) -> IdBlock:
        """Close the last block, and begin one for at least these: blocks grow with what there is, so that they stay
        few, and no more than about as much again is held as counts.
        """
        before = self._blocks[-1] if self._blocks else None
        if before is not None:
            store = self._store if self._store is not None and self._store.is_wanted else None
            before.close(store.put if store is not None else None)
        as_many = 1 << len(self).bit_length() >> 1
        capacity = min(max(as_many, len(times), _LEAST_ENTRIES), MOST_ENTRIES)
        block = IdBlock(capacity, since_us_for(times, before))
        self._blocks.append(block)
        return block
