"""From when on each series of a KPI is judged: from the first window that starts after its first event.

A dimension value that is seen for the first time pages nobody, and neither does a window that is half before the first
event of all. It is kept for each series: panes are dropped, and a crash must not make a series new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from engine.event_time.zones import Times
from engine.records import JUDGED, JudgedFrom, encode, record_key
from engine.series import Hashes

_CHUNKS: Final = 64  # records, where there may be many series
_FEW_SERIES: Final = 1_000
_NEVER_YET: Final = np.iinfo(np.int64).max


class Beginnings:
    """Of one KPI in one partition of partials; ``id_`` is that of its publisher, ``cap`` bounds its series."""

    def __init__(self, id_: str, partition: int, cap: int) -> None:
        self._id = id_
        self._partition = partition
        self._chunks = _CHUNKS if cap > _FEW_SERIES else 1
        self._h: Hashes = np.empty(0, dtype=np.uint64)  # in order
        self._from: Times = np.empty(0, dtype=np.int64)
        self._untold: Hashes = self._h  # whose records are to be written

    def __len__(self) -> int:
        return len(self._h)

    def restore(self, of: Mapping[int, int]) -> None:
        """Take up one record."""
        self._add(np.array(list(of), dtype=np.uint64), np.array(list(of.values()), dtype=np.int64))

    def seen(self, h: Hashes, end_us: Times) -> None:
        """Series have events that end by then: those that are new are judged from windows that start there. Of several
        ends of a series the first one in the arrays counts.
        """
        new = np.flatnonzero(~self._known(h)[1])
        if len(new):
            distinct, first = np.unique(h[new], return_index=True)
            self._add(distinct, end_us[new[first]])
            self._untold = np.union1d(self._untold, distinct)

    def starts(self, h: Hashes) -> Times:
        """The first start of a window from which each series is judged; of unknown ones the end of time."""
        at, known = self._known(h)
        found = np.full(len(h), _NEVER_YET, dtype=np.int64)
        found[known] = self._from[at[known]]
        return found

    def records(self) -> list[tuple[bytes, bytes | None]]:
        """What is to be kept of the series that are new since the last call."""
        if not len(self._untold):
            return []
        chunk = self._h % np.uint64(self._chunks)
        found: list[tuple[bytes, bytes | None]] = []
        for number in np.unique(self._untold % np.uint64(self._chunks)).tolist():
            mine = chunk == number
            of = dict(zip(self._h[mine].tolist(), self._from[mine].tolist(), strict=True))
            found.append((record_key(JUDGED, self._partition, number, 0, self._id), encode(JudgedFrom(of))))
        self._untold = self._untold[:0]
        return found

    def _known(self, h: Hashes) -> tuple[Times, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        at = np.searchsorted(self._h, h)
        known = at < len(self._h)
        known[known] = self._h[at[known]] == h[known]
        return at, known

    def _add(self, h: Hashes, start_us: Times) -> None:
        both = np.concatenate((self._h, h))
        order = np.argsort(both, kind="stable")
        self._h, self._from = both[order], np.concatenate((self._from, start_us))[order]
