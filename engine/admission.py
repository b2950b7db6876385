"""Which events count: decode, validate, then judge each against time and against what was seen before (protocol rules
2, 5 and 6).

The verdicts, in this order: **invalid** (it cannot be read, or is more than ``max_future`` ahead of its Kafka
timestamp), **duplicate** (accepted before, at a lower offset, within ``dedupe``), **late** (more than
``allowed_lateness`` behind the watermark), else **accepted**. The watermark at an event is the highest accepted event
time at lower offsets, less ``delay``. So the verdicts are a function of the partition's prefix and the source's
settings; the batches play no part in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.catalog.model import Source
from engine.dead_letters import Fault, Reject
from engine.decoding.batch import Batch, Decoded, Decoder
from engine.decoding.cloudevents import CloudEvents
from engine.decoding.columns import Faults
from engine.decoding.encodings import MAX_BYTES
from engine.decoding.events import JsonEvents
from engine.deduplication import Seen, Segment, Store, decode_segment, digests, encode_segment, entries_of
from engine.event_time import NEVER
from engine.event_time.watermarks import running_watermark
from engine.verdicts import Limits, Verdicts, first_of_each, judge

__all__ = ["Admission", "Admitted", "Batch", "DecisionState", "Reject"]

Int64s = npt.NDArray[np.int64]
_AGAINST_TIME: Final = frozenset(("future", "late"))
_RESTORED_AT_ONCE: Final = 1 << 19  # entries: as many as are not merged again


@dataclass(frozen=True, slots=True)
class Admitted:
    """A batch after its verdicts.

    ``frame`` holds the accepted events in the order of their offsets: `_time` and `_offset` (Int64), then one column
    per declared field. ``rejects`` are the dead letters, by index; duplicates are not among them. The counts add up
    to the records of the batch.
    """

    frame: pl.DataFrame
    rejects: tuple[Reject, ...]
    accepted: int
    duplicate: int
    late: int
    invalid: int


class DecisionState:
    """What later verdicts depend on: the highest accepted event time, and the ids that still count."""

    def __init__(self, source: Source, *, store: Store | None = None) -> None:
        self.highest_us = NEVER
        self.follow(source)
        self.seen = Seen(store)
        self._fresh: list[Segment] = []
        self._durable: dict[int, int] = {}  # first offset of a segment -> its latest event time

    @classmethod
    def restore(
        cls,
        source: Source,
        highest_us: int = NEVER,
        segments: Iterable[tuple[int, bytes]] = (),
        offset: int = 0,
        *,
        store: Store | None = None,
    ) -> DecisionState:
        """The state as of a manifest at ``offset``, with its watermark's ``highest_us`` and the segments by first
        offset.

        Entries at or above ``offset`` belong to a flush that never became durable and are left out (protocol rule 2),
        and so are those that did not count any more. ``store`` is where ids go beyond the memory they may take.
        """
        state = cls(source, store=store)
        state.highest_us = highest_us
        kept: list[Segment] = []
        count = 0
        for first, raw in segments:
            segment = decode_segment(raw).below(offset)
            latest = int(segment.times.max()) if len(segment.times) else NEVER
            state._durable[first] = max(latest, state._durable.get(first, NEVER))  # one may be there of each owner
            kept.append(segment)
            count += len(segment.times)
            if count >= _RESTORED_AT_ONCE:
                state._take_up(kept)
                kept, count = [], 0
        state._take_up(kept)
        return state

    def _take_up(self, segments: Iterable[Segment]) -> None:
        entries = entries_of(segments)
        if entries is None:
            return
        live = entries.times >= self.live_from_us
        ids, times = (entries.ids, entries.times) if live.all() else (entries.ids[live], entries.times[live])
        self.seen.add(ids, times, self.live_from_us)

    def follow(self, source: Source) -> None:
        """From now on, go by these settings: what they no longer count is forgotten."""
        self._dedupe_us = source.dedupe_us
        self._delay_us = source.watermark.delay_us

    @property
    def watermark_us(self) -> int:
        return NEVER if self.highest_us == NEVER else self.highest_us - self._delay_us

    @property
    def live_from_us(self) -> int:
        """Entries of earlier event times do not count any more."""
        if self.highest_us == NEVER or self._dedupe_us is None:
            return NEVER
        return self.watermark_us - self._dedupe_us

    def remember(self, segment: Segment, order: npt.NDArray[np.intp] | None = None) -> None:
        """Take in accepted events; they become durable with `since_flush`. ``order`` sorts their ids, where it is
        known.
        """
        self.seen.add(segment.ids, segment.times, self.live_from_us, order)
        self._fresh.append(segment)

    def since_flush(self) -> list[tuple[int, int, bytes]]:
        """The entries since the last call, to be written before the manifest: (first offset, next offset, bytes)."""
        entries = entries_of(self._fresh)
        self._fresh.clear()
        if entries is None:
            return []
        self._durable[entries.first_offset] = int(entries.times.max())
        return [(entries.first_offset, entries.next_offset, encode_segment(entries))]

    def expired_segments(self) -> list[int]:
        """First offsets of the durable segments of which no entry counts any more; each is told once."""
        live = self.live_from_us
        expired = [first for first, latest in self._durable.items() if latest < live]
        for first in expired:
            del self._durable[first]
        return expired


class Admission:
    """Admits the events of one partition of a source, batch by batch in the order of their offsets.

    The state goes by the settings of the newest admission that was given it: so events that a former definition judged
    can be judged by it again, and the ones after by the present one (protocol rule 2).

    Raises `LayoutError` when the paths of the source's fields contradict each other.
    """

    def __init__(self, source: Source, partition: int, state: DecisionState, *, max_bytes: int = MAX_BYTES) -> None:
        self.state = state
        self.partition = partition
        state.follow(source)
        self._decoder = decoder_of(source, max_bytes)
        self._max_future_us = source.watermark.max_future_us
        self._dedupes = source.dedupe_us is not None and (source.identity is not None or source.format == "cloudevents")
        self._limits = Limits(source.watermark.delay_us, source.allowed_lateness_us, source.dedupe_us or 0)

    def raise_floor(self, floor_us: int) -> None:
        """Events earlier than ``floor_us`` are late from now on, whatever the watermark (protocol rule 8)."""
        self._limits = replace(self._limits, floor_us=max(self._limits.floor_us, floor_us))

    def admit(self, batch: Batch) -> Admitted:
        """The verdicts on a batch, all of whose offsets lie above those of earlier batches."""
        decoded = self._decoder.decode(batch)
        faults = decoded.faults
        self._find_future(batch, decoded.times, faults)
        good = np.ones(len(batch.offsets), dtype=np.bool_)
        if faults:
            good[list(faults)] = False
        valid = np.flatnonzero(good)
        verdicts = self._judge(decoded, batch.offsets, valid)
        invalid = len(faults)
        late = duplicate = 0
        if verdicts is not None:
            late, duplicate = int(verdicts.late.sum()), int(verdicts.duplicate.sum())
            if late:
                self._add_late(decoded.times, valid, verdicts, faults)
            valid = valid[verdicts.accepted]
        frame = pl.DataFrame({"_time": decoded.times, "_offset": batch.offsets, **decoded.columns})
        if len(valid) < frame.height:
            frame = frame[valid]
        return Admitted(frame, _rejects(batch, faults), len(valid), duplicate, late, invalid)

    def _find_future(self, batch: Batch, times: Int64s, faults: Faults) -> None:
        if not len(times):
            return
        stamps = batch.timestamps() if callable(batch.timestamps) else batch.timestamps
        limits = stamps * 1000 + self._max_future_us
        for place in np.flatnonzero(times > limits).tolist():
            if stamps[place] < 0:
                continue  # a record without a timestamp (Kafka's -1) cannot be measured against it
            ahead = (int(times[place]) - int(stamps[place]) * 1000) / 1e6
            faults.setdefault(
                place, Fault("future", f"{_instant(times[place])} is {ahead:.3f} s after the record's Kafka timestamp")
            )

    def _judge(self, decoded: Decoded, offsets: Int64s, valid: Int64s) -> Verdicts | None:
        """The verdicts on the valid events, which the state then knows; None when all are accepted."""
        if not len(valid):
            return None
        state, limits = self.state, self._limits
        whole = len(valid) == len(offsets)
        times = decoded.times if whole else decoded.times[valid]
        verdicts = None
        if not self._dedupes:
            highest = max(state.highest_us, int(times.max()))
            if int(times.min()) < max(highest - limits.delay_us - limits.lateness_us, limits.floor_us):
                watermark = running_watermark(times, state.highest_us, limits.delay_us)
                late = times < np.maximum(watermark - limits.lateness_us, limits.floor_us)
                verdicts = Verdicts(np.zeros(len(times), dtype=np.bool_), late) if late.any() else None
                highest = max(state.highest_us, int(times[~late].max(initial=NEVER)))
            state.highest_us = highest
            return verdicts
        named, ids = _ids(decoded, None if whole else valid)
        seen = np.full(len(times), NEVER, dtype=np.int64)
        first = np.arange(len(times))
        seen[named] = state.seen.latest(ids, state.live_from_us)
        order: npt.NDArray[np.intp] | None
        order, equal = first_of_each(ids)
        first[named] = named[equal]
        verdicts = judge(times, seen, first, state.highest_us, limits)
        accepted = verdicts.accepted
        if accepted.any():
            state.highest_us = max(state.highest_us, int(times[accepted].max()))
            kept = accepted[named]
            if not kept.all():
                ids, named, order = ids[kept], named[kept], None
            if len(named):
                at = offsets[valid[named]]
                state.remember(Segment(int(at[0]), int(at[-1]) + 1, ids, times[named], at), order)
        return verdicts

    def _add_late(self, times: Int64s, valid: Int64s, verdicts: Verdicts, faults: Faults) -> None:
        for place in valid[verdicts.late].tolist():
            faults[place] = Fault("late", f"{_instant(times[place])} is beyond the allowed lateness of this source")


def decoder_of(source: Source, max_bytes: int = MAX_BYTES) -> Decoder:
    """What decodes the events of a source."""
    return CloudEvents(source, max_bytes) if source.format == "cloudevents" else JsonEvents(source, max_bytes)


def _ids(decoded: Decoded, valid: Int64s | None) -> tuple[Int64s, npt.NDArray[np.uint64]]:
    """Which of the valid events have an identity, and the ids of those."""
    identities = decoded.identities(None if valid is None else valid.tolist())
    try:
        return np.arange(len(identities)), digests(identities)  # type: ignore[arg-type]  # None is no string
    except TypeError:
        named = [place for place, identity in enumerate(identities) if identity is not None]
        return np.array(named, dtype=np.int64), digests([identity for identity in identities if identity is not None])


def _rejects(batch: Batch, faults: Faults) -> tuple[Reject, ...]:
    if not faults:
        return ()
    return tuple(
        Reject(
            place,
            int(batch.offsets[place]),
            fault.reason,
            "admit" if fault.reason in _AGAINST_TIME else "decode",
            fault.message,
        )
        for place, fault in sorted(faults.items())
    )


def _instant(time_us: np.int64) -> str:
    return f"{np.datetime64(int(time_us), 'us')}Z"
