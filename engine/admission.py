"""Which events count: decode, validate, then judge each against time and against what was seen before (protocol rules
2, 5 and 6).

The verdicts, in this order: **invalid** (it cannot be read, or is more than ``max_future`` ahead of its Kafka
timestamp), **duplicate** (accepted before, at a lower offset, within ``dedupe``), **late** (more than
``allowed_lateness`` behind the watermark), else **accepted**. The watermark at an event is the highest accepted event
time at lower offsets, less ``delay``. So the verdicts are a function of the partition's prefix and the source's
settings; the batches play no part in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
from engine.dedupe_segments import Segment, decode_segment, encode_segment, entries_of, in_records
from engine.deduplication import Seen, Store, digests
from engine.event_time import NEVER
from engine.event_time.watermarks import running_watermark
from engine.sorted_ids import SortedIds, UInt64s
from engine.verdicts import Limits, Verdicts, judge

__all__ = ["Admission", "Admitted", "Batch", "DecisionState", "Reject"]

Int64s = npt.NDArray[np.int64]
_AGAINST_TIME: Final = frozenset(("future", "late"))
_RESTORED_AT_ONCE: Final = 1 << 19  # entries: as many as are not merged again


@dataclass(frozen=True, slots=True)
class Admitted:
    """A batch after its verdicts.

    ``frame`` holds the accepted events in the order of their offsets: `_time` and `_offset` (Int64), then one column
    per declared field that is wanted, and perhaps of others. ``rejects`` are the dead letters, by index; duplicates are
    not among them. The counts add up to the records of the batch.
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
        self.seen.add(SortedIds.of(ids), times, self.live_from_us)

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

    def remember(self, segment: Segment, ids: SortedIds) -> None:
        """Take in accepted events, whose ids these are; they become durable with `since_flush`."""
        self.seen.add(ids, segment.times, self.live_from_us)
        self._fresh.append(segment)

    def since_flush(self) -> list[tuple[int, int, bytes]]:
        """The entries since the last call, to be written before the manifest: (first offset, next offset, bytes)."""
        found = []
        for segment in in_records(self._fresh):
            self._durable[segment.first_offset] = int(segment.times.max())
            found.append((segment.first_offset, segment.next_offset, encode_segment(segment)))
        self._fresh.clear()
        return found

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

    ``wanted`` are the fields that somebody reads (None: all of them); all are checked. Raises `LayoutError` when the
    paths of the source's fields contradict each other.
    """

    def __init__(
        self,
        source: Source,
        partition: int,
        state: DecisionState,
        *,
        max_bytes: int = MAX_BYTES,
        wanted: Collection[str] | None = None,
    ) -> None:
        self.state = state
        self.partition = partition
        state.follow(source)
        self._decoder = decoder_of(source, max_bytes, wanted=wanted)
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
        whole = len(valid) == len(offsets)
        times = decoded.times if whole else decoded.times[valid]
        if not self._dedupes:
            return self._judge_times(times)
        state = self.state
        named, rows = _ids(decoded, None if whole else valid)
        ids = SortedIds.of(rows)
        seen, first = state.seen.latest(ids, state.live_from_us), ids.first_of_each()
        if seen is None and first is None:
            verdicts = self._judge_times(times)
        else:
            verdicts = judge(times, *_of_events(len(times), named, seen, first), state.highest_us, self._limits)
            state.highest_us = max(state.highest_us, int(times[verdicts.accepted].max(initial=NEVER)))
        at = offsets if whole else offsets[valid]
        if named is not None:
            at, times = at[named], times[named]
        if verdicts is not None:
            kept = verdicts.accepted if named is None else verdicts.accepted[named]
            if not kept.all():
                at, times, ids = at[kept], times[kept], SortedIds.of(ids.ids[kept])
        if len(at):
            state.remember(Segment(int(at[0]), int(at[-1]) + 1, ids.ids, times, at), ids)
        return verdicts

    def _judge_times(self, times: Int64s) -> Verdicts | None:
        """The verdicts on events none of which was seen before; None when all are accepted."""
        state, limits = self.state, self._limits
        highest = max(state.highest_us, int(times.max()))
        verdicts = None
        if int(times.min()) < max(highest - limits.delay_us - limits.lateness_us, limits.floor_us):
            watermark = running_watermark(times, state.highest_us, limits.delay_us)
            late = times < np.maximum(watermark - limits.lateness_us, limits.floor_us)
            verdicts = Verdicts(np.zeros(len(times), dtype=np.bool_), late) if late.any() else None
            highest = max(state.highest_us, int(times[~late].max(initial=NEVER)))
        state.highest_us = highest
        return verdicts

    def _add_late(self, times: Int64s, valid: Int64s, verdicts: Verdicts, faults: Faults) -> None:
        for place in valid[verdicts.late].tolist():
            faults[place] = Fault("late", f"{_instant(times[place])} is beyond the allowed lateness of this source")


def decoder_of(source: Source, max_bytes: int = MAX_BYTES, *, wanted: Collection[str] | None = None) -> Decoder:
    """What decodes the events of a source, into columns of the ``wanted`` fields at least (None: of all)."""
    kind = CloudEvents if source.format == "cloudevents" else JsonEvents
    return kind(source, max_bytes, wanted=wanted)


def _ids(decoded: Decoded, valid: Int64s | None) -> tuple[Int64s | None, UInt64s]:
    """Which of the valid events have an identity (None: all of them), and the ids of those."""
    identities = decoded.identities(None if valid is None else valid.tolist())
    try:
        return None, digests(identities)  # type: ignore[arg-type]  # None is no string
    except TypeError:
        named = [place for place, identity in enumerate(identities) if identity is not None]
        return np.array(named, dtype=np.int64), digests([identity for identity in identities if identity is not None])


def _of_events(count: int, named: Int64s | None, seen: Int64s | None, first: Int64s | None) -> tuple[Int64s, Int64s]:
    """What is known of those with an identity, as what is known of all events."""
    if seen is None:
        seen = np.full(count if named is None else len(named), NEVER, dtype=np.int64)
    places = np.arange(count)
    if named is None:
        return seen, places if first is None else first
    seen_of_all = np.full(count, NEVER, dtype=np.int64)
    seen_of_all[named] = seen
    if first is not None:
        places[named] = named[first]
    return seen_of_all, places


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
