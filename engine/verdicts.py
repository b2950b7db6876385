"""Duplicate, late or accepted: the verdicts on the valid events of a batch, the same whatever the batch (protocol
rules 5 and 6).

A duplicate does not raise the watermark, and whether an event is a duplicate depends on the watermark. `judge`
resolves that for whole arrays in the usual case, and event by event where a batch is not decided that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.event_time import NEVER
from engine.event_time.watermarks import running_watermark

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """A source's settings that decide: how far the watermark stays behind, and how far behind it events and ids still
    count.
    """

    delay_us: int
    lateness_us: int
    dedupe_us: int
    floor_us: int = NEVER  # what is earlier is late in any case: its panes may be gone (protocol rules 4 and 8)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One flag per event; accepted is what neither is."""

    duplicate: Bools
    late: Bools

    @property
    def accepted(self) -> Bools:
        return ~(self.duplicate | self.late)


def judge(times: Int64s, seen_us: Int64s, first: Int64s, highest_us: int, limits: Limits) -> Verdicts:
    """The verdicts on events in the order of their offsets.

    ``seen_us`` is, of each, the latest time at which its id was accepted in an earlier batch (NEVER: not), ``first``
    the index of the first event of the batch with the same id (its own, where it is the first), ``highest_us`` the
    highest accepted time so far.
    """
    places = np.arange(len(times))
    repeated = first != places
    suspect = (seen_us != NEVER) | repeated
    duplicate = np.zeros(len(times), dtype=np.bool_)
    for _ in range(_ROUNDS):
        # Only surely accepted events and undecided ones raise this watermark: it is at or above the true one.
        watermark = running_watermark(np.where(duplicate, NEVER, times), highest_us, limits.delay_us)
        late = ~duplicate & (times < np.maximum(watermark - limits.lateness_us, limits.floor_us))
        surely = ~suspect & ~late
        live_from = watermark - limits.dedupe_us
        found = (seen_us != NEVER) & (seen_us >= live_from)
        found |= repeated & surely[first] & (times[first] >= live_from)
        if (found == duplicate).all():
            if (found == suspect).all():
                return Verdicts(duplicate, late)  # nothing was undecided: the watermark was the true one
            break
        duplicate = found
    return judge_one_by_one(times, seen_us, first, highest_us, limits)


def judge_one_by_one(times: Int64s, seen_us: Int64s, first: Int64s, highest_us: int, limits: Limits) -> Verdicts:
    """As `judge`, without its shortcuts."""
    latest = seen_us.tolist()  # by the first event of an id
    duplicate, late = [], []
    for time, of in zip(times.tolist(), first.tolist(), strict=True):
        watermark = NEVER if highest_us == NEVER else highest_us - limits.delay_us
        is_duplicate = latest[of] != NEVER and latest[of] >= watermark - limits.dedupe_us
        is_late = not is_duplicate and time < max(watermark - limits.lateness_us, limits.floor_us)
        duplicate.append(is_duplicate)
        late.append(is_late)
        if not is_duplicate and not is_late:
            latest[of] = max(latest[of], time)
            highest_us = max(highest_us, time)
    return Verdicts(np.array(duplicate, dtype=np.bool_), np.array(late, dtype=np.bool_))
