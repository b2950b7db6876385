"""128-bit ids in the order of their first bits: what looking up, telling apart and keeping them all begin with.

A key is one 64-bit word: the first 40 bits of an id, then the place of the id among its like. Sorting the keys sorts
the ids, and a sort of plain words is many times faster than one of rows. Equal first bits are no more than a reason to
compare whole ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

PLACE_BITS: Final = 24
MOST: Final = 1 << PLACE_BITS  # ids that can be told by their places
FIRST_BITS: Final = 64 - PLACE_BITS
_PLACE: Final = np.uint64(MOST - 1)
_FIRST: Final = ~_PLACE
_SHIFT: Final = np.uint64(PLACE_BITS)


@dataclass(frozen=True, slots=True)
class SortedIds:
    """``ids`` are rows of two words, in the order of the events; ``keys``, sorted, are those of all or some of them."""

    ids: UInt64s
    keys: UInt64s

    @classmethod
    def of(cls, ids: UInt64s) -> SortedIds:
        """Raises ValueError for more ids than keys can tell apart."""
        if len(ids) > MOST:
            raise ValueError(f"more than {MOST} ids at once")
        keys = ids[:, 0] & _FIRST
        keys |= np.arange(len(ids), dtype=np.uint64)
        keys.sort()
        return cls(ids, keys)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def places(self) -> Int64s:
        """Of each key, which of ``ids`` it stands for."""
        return places(self.keys)

    def first_of_each(self) -> Int64s | None:
        """For each id the place of the first equal one, its own where it is that; None where all differ."""
        firsts = first_bits(self.keys)
        equal = firsts[1:] == firsts[:-1]
        if not equal.any():
            return None
        shared = np.zeros(len(self), dtype=np.bool_)
        shared[1:] = equal
        shared[:-1] |= equal
        first = np.arange(len(self))
        known: dict[tuple[int, ...], int] = {}
        repeated = False
        for place in np.sort(self.places[shared]).tolist():
            first[place] = found = known.setdefault(tuple(self.ids[place].tolist()), place)
            repeated |= found != place
        return first if repeated else None


def first_bits(keys: UInt64s) -> UInt64s:
    """The first bits of the ids, as numbers."""
    return keys >> _SHIFT


def places(keys: UInt64s) -> Int64s:
    return (keys & _PLACE).view(np.int64)


def least(keys: UInt64s) -> UInt64s:
    """The least keys with the same first bits."""
    return keys & _FIRST


def last_bits(low: UInt64s) -> npt.NDArray[np.uint32]:
    """What keys lack of the first words of ids."""
    return (low & _PLACE).astype(np.uint32)
