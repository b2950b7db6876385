"""Which state and revision a published value has: open, closed or revised; 0 while open, 1 at closing, one more with
each later change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Keys
from engine.records import WINDOWS, Revisions, encode, record_key
from engine.series import Hashes

OPEN: Final = 0
CLOSED: Final = 1
REVISED: Final = 2
_TEXTS: Final = ("open", "closed", "revised")

Record = tuple[bytes, bytes | None]


def states_of(end_us: Times, closed_us: int, watermark_us: int) -> Indexes:
    """Of rows that changed, in windows with these ends; ``closed_us``: up to where windows had been closed before."""
    return np.where(end_us <= closed_us, REVISED, np.where(end_us <= watermark_us, CLOSED, OPEN))


def state_texts(states: Indexes) -> pl.Series:
    texts = pl.Series("state", _TEXTS, dtype=pl.String)
    if len(states) and (states == states[0]).all():
        return texts.new_from_index(int(states[0]), len(states))
    return texts.gather(states)


@dataclass(slots=True)
class WindowRevisions:
    """The revisions above 1 of one KPI in one partition of partials: window end -> series hash -> revision."""

    partition: int
    definition: str
    of: dict[int, dict[int, int]] = field(default_factory=dict)

    def count(self, end_us: Times, h: Hashes, states: Indexes, out: list[Record]) -> tuple[Indexes, Indexes]:
        """Count these rows, and answer their states and revisions. Records to keep go to ``out``."""
        touched = set()
        for row in np.flatnonzero(states == REVISED).tolist():
            end, series = int(end_us[row]), int(h[row])
            of = self.of.setdefault(end, {})
            of[series] = of.get(series, 1) + 1
            touched.add(end)
        for end in touched:
            out.append((self._key(end), encode(Revisions(self.of[end]))))
        revisions = np.where(states == OPEN, 0, 1)
        known = [
            (end, series, revision)
            for end in np.unique(end_us).tolist()
            if end in self.of
            for series, revision in self.of[end].items()
        ]
        if known:
            ends, hashes, kept = zip(*sorted(known), strict=True)
            keys = Keys(np.array(ends, dtype=np.int64), np.array(hashes, dtype=np.uint64))
            at = keys.find(Keys(end_us, h))
            again = (at >= 0) & (states != OPEN)
            revisions = np.where(again, np.array(kept, dtype=np.int64)[at], revisions)
            states = np.where(again, REVISED, states)
        return states, revisions

    def forget_until(self, time_us: int, out: list[Record]) -> None:
        """Let go of windows that end by then and can change no more."""
        for end in [end for end in self.of if end <= time_us]:
            del self.of[end]
            out.append((self._key(end), None))

    def _key(self, end_us: int) -> bytes:
        return record_key(WINDOWS, self.partition, end_us, 0, self.definition)
