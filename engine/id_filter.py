"""A filter in front of what was seen: it says of an id that it was never added, or that it may have been.

One word of 64 bits for each one to four ids, four bits of it set for each id: a look costs one cache line, and of new
ids 0.02 to 0.4 % pass (F. Putze, P. Sanders, J. Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2009).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.sorted_ids import FIRST_BITS, Int64s, UInt64s, first_bits

_LOAD: Final = 4  # ids a word, at most
_LEAST_WORDS: Final = 1 << 10
_MOST_BITS: Final = FIRST_BITS - 8  # of a word's number: what is left of the first bits tells the ids of a word apart
_PATTERN_BITS: Final = 13
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


def _made_patterns() -> UInt64s:
    """Words with four bits set, now and then fewer."""
    mixed = np.arange(1 << _PATTERN_BITS, dtype=np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    words = np.zeros(len(mixed), dtype=np.uint64)
    for shift in (58, 52, 46, 40):
        words |= np.uint64(1) << ((mixed >> np.uint64(shift)) & np.uint64(63))
    return words


_PATTERNS: Final = _made_patterns()


@dataclass(frozen=True, slots=True)
class Look:
    """Where the ids of sorted keys have their bits, and what was found there."""

    keys: UInt64s
    at: Int64s
    patterns: UInt64s
    found: UInt64s

    @property
    def may_be_there(self) -> npt.NDArray[np.bool_]:
        there: npt.NDArray[np.bool_] = (self.found & self.patterns) == self.patterns
        return there


class IdFilter:
    """Of ids by sorted keys, so that neighbours share cache lines. What was added stays until `renew`."""

    def __init__(self) -> None:
        self._words = np.zeros(_LEAST_WORDS, dtype=np.uint64)
        self._added = 0

    @property
    def nbytes(self) -> int:
        return self._words.nbytes

    def look(self, keys: UInt64s) -> Look:
        first = first_bits(keys)
        at = (first >> np.uint64(FIRST_BITS + 1 - len(self._words).bit_length())).view(np.int64)
        first *= _SPREAD
        first >>= np.uint64(64 - _PATTERN_BITS)
        return Look(keys, at, _PATTERNS.take(first.view(np.int64)), self._words.take(at))

    def has_room(self, count: int) -> bool:
        """Whether so many more can be added without too many false answers."""
        return self._added + count <= len(self._words) * _LOAD

    def add(self, look: Look) -> None:
        """Add what was looked for, before anything else is added."""
        at, patterns = look.at, look.patterns
        self._words[at] = look.found | patterns
        # Of ids that share a word only the last was written.
        lost = np.flatnonzero(at[1:] == at[:-1])
        np.bitwise_or.at(self._words, at[lost], patterns[lost])
        self._added += len(at)

    def renew(self, runs: Iterable[UInt64s], count: int) -> None:
        """Hold the keys of ``runs`` alone, ``count`` of them, with room for more."""
        bits = min(max(_LEAST_WORDS, count * 4 // (3 * _LOAD)).bit_length(), _MOST_BITS)
        self._words = np.zeros(1 << bits, dtype=np.uint64)
        self._added = 0
        for keys in runs:
            self.add(self.look(keys))
