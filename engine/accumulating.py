"""The first stage: the events of one source partition, folded into blocks.

A `SourcePartition` is a pure function of its source's prefix and the definition (protocol.md): it is given batches and
answers, at a flush, with everything that has to be written and in which order. It reads no clock and does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from engine.admission import Admission, Batch, DecisionState, Reject, decoder_of
from engine.blocks import BlockKey
from engine.decisions import DecisionSettings, decision_settings, source_as_of
from engine.deduplication import Store
from engine.event_time import NEVER
from engine.flushes import Flush, Progress
from engine.history import History
from engine.plan import Plan, View
from engine.records import MANIFEST, SEGMENT, Heartbeat, Manifest, encode, record_key
from engine.recovery import Recovered, TableRecord, recover
from engine.series import Directory
from engine.view_panes import ViewPanes

__all__ = ["Flush", "Progress", "SourcePartition", "TableRecord"]

_MINUTE_US = 60_000_000


class SourcePartition:
    """The owner's state of one partition of a source.

    ``restored`` are the table's records of this partition, in changelog order, newest of each key; ``merge_partitions``
    the partition count of partials. After a restart the reader goes on at `offset`. ``store`` is where ids for
    deduplication go beyond the memory they may take.
    """

    def __init__(
        self,
        plan: Plan,
        source: str,
        partition: int,
        *,
        partitions: int,
        merge_partitions: int,
        topic_id: str = "",
        epoch: int = 0,
        restored: Iterable[TableRecord] = (),
        store: Store | None = None,
    ) -> None:
        self.source = plan.catalog.sources[source]
        self.partition = partition
        self.partitions = partitions
        self.merge_partitions = merge_partitions
        self.epoch = epoch
        self._store = store
        views = plan.of_source(source)
        self._directories = {
            view.dimensions.id: Directory(view.dimensions.names, view.dimensions.kinds) for view in views
        }
        self._views = {view.id: ViewPanes(view, self._directories[view.dimensions.id]) for view in views}
        self._wanted = frozenset(name for panes in self._views.values() for name in panes.fields())
        self._kpis = plan.kpis
        self._counts = dict.fromkeys(("accepted", "duplicate", "late", "invalid"), 0)
        self._pending_rows = 0
        self._replay_until = 0  # the highest recovered stamp
        self._segments: dict[int, set[bytes]] = {}  # first offset -> table keys
        self._superseded: list[bytes] = []  # table keys of earlier owners, to tombstone behind the next manifest
        self._rewrites: list[tuple[bytes, bytes]] = []  # what was recovered, under our own keys
        self._resends: list[tuple[int, bytes, bytes]] = []  # its blocks as partials
        self._decision = decision_settings(self.source)
        self._former: tuple[Admission, DecisionSettings] | None = (
            None  # judges what lies below the highest recovered stamp
        )
        found = recover(restored, epoch)
        self.manifest = found.manifest
        self.topic_id = topic_id or (self.manifest.topic_id if self.manifest else "")  # not every broker tells
        self.offset = self.manifest.offset if self.manifest else 0
        self._floor = self.manifest.floor_us if self.manifest else NEVER
        self._flushed_us = self.manifest.highest_us if self.manifest else NEVER  # highest event time at the last flush
        self._history = History(
            [f"{view.id}/{column.id}" for view in views for column in view.columns],
            self.manifest.since_us if self.manifest else None,
            self._flushed_us,
        )
        self._restore(found)

    # -- recovery ------------------------------------------------------------------------------------------------------

    def _restore(self, found: Recovered) -> None:
        manifest = found.manifest
        offset = manifest.offset if manifest else 0
        self._segments = found.segment_keys
        self._superseded = found.superseded
        for begin, raw in found.unfenced:
            own = record_key(SEGMENT, self.partition, begin, self.epoch)
            self._segments[begin].add(own)
            self._rewrites.append((own, raw))
        for view_id, panes in self._views.items():
            blocks = []
            for (view, pane, bucket), (key, value) in found.blocks.items():
                if view != view_id:
                    continue
                if panes.is_final(pane, self._floor):  # only its tombstone was not written yet
                    if key.epoch == self.epoch:
                        self._superseded.append(key.pack())
                    continue
                blocks.append((key, value))
                panes.written.add((pane, bucket))
                if key.epoch != self.epoch:
                    own = key._replace(epoch=self.epoch).pack()
                    self._rewrites.append((own, value))
                    self._resends.append((self._merge_partition(panes.view, bucket), own, value))
            if blocks:
                self._replay_until = max(self._replay_until, panes.restore(blocks, offset))
        former = source_as_of(manifest.decision, self.source) if manifest else self.source
        highest_us = manifest.highest_us if manifest else NEVER
        state = DecisionState.restore(former, highest_us, found.segments, offset, store=self._store)
        self.admission = Admission(self.source, self.partition, state, wanted=self._wanted)
        if manifest is not None and manifest.decision != self._decision and self._replay_until > offset:
            self._former = Admission(former, self.partition, state, wanted=self._wanted), manifest.decision
        self._raise_floors()

    def lost_history(self) -> None:
        """The log begins above the offset we would go on at: numbers up to the first event after the gap are incomplete
        (rule 4).
        """
        self._history.lost(self.admission.state.highest_us)

    # -- folding -------------------------------------------------------------------------------------------------------

    @property
    def pending_rows(self) -> int:
        """Rows waiting for the next flush, as a measure of the memory they hold."""
        return self._pending_rows

    def take_counts(self) -> Mapping[str, int]:
        """Events by outcome since the last call."""
        counts, self._counts = self._counts, dict.fromkeys(self._counts, 0)
        return counts

    def take_folded(self) -> Mapping[str, int]:
        """By KPI: how many series were folded into `OTHER` since the last call, each once for a pane and flush."""
        folded = {view: panes.take_folded() for view, panes in self._views.items()}
        if not any(folded.values()):
            return {}
        return {
            kpi.kpi.name: count
            for kpi in self._kpis
            if (count := max(folded.get(term.view.id, 0) for term in kpi.terms))
        }

    def fold(self, batch: Batch) -> tuple[Reject, ...]:
        """Fold a batch; records below `offset` are passed over undecoded. The bad events, to be dead-lettered before
        the next commit.
        """
        if len(batch.offsets) and int(batch.offsets[0]) < self.offset:
            batch = batch.since(self.offset)
        rejects: tuple[Reject, ...] = ()
        until = self._replay_until
        if self.offset < until <= batch.next_offset:
            rejects = self._fold(batch.until(until), replaying=True)
            self._replayed()
            batch = batch.since(until)
        rejects += self._fold(batch, replaying=batch.next_offset <= until)
        self.offset = max(self.offset, batch.next_offset)
        return rejects

    def _fold(self, batch: Batch, *, replaying: bool) -> tuple[Reject, ...]:
        if not len(batch.offsets):
            return ()
        former = self._former[0] if self._former and replaying else None
        admitted = (former or self.admission).admit(batch)
        frame = admitted.frame
        if former is not None and self._former and self._former[1].fields != self._decision.fields:
            frame = self._as_declared(batch, frame)
        for outcome in self._counts:
            self._counts[outcome] += getattr(admitted, outcome)
        if frame.height:
            self._history.goes_on(int(frame["_time"][0]))
            frame = frame.with_columns(pl.lit(self.partition, dtype=pl.Int32).alias("_partition"))
            for panes in self._views.values():
                self._pending_rows += panes.fold(frame, replaying=replaying)
        return tuple(admitted.rejects)

    def _as_declared(self, batch: Batch, accepted: pl.DataFrame) -> pl.DataFrame:
        """Events that former settings accepted, with the fields that are declared now; without those that have them
        not.
        """
        decoded = decoder_of(self.source, wanted=self._wanted).decode(batch)
        frame = pl.DataFrame({"_time": decoded.times, "_offset": batch.offsets, **decoded.columns})
        readable = frame.with_row_index("_at").filter(~pl.col("_at").is_in(list(decoded.faults))).drop("_at")
        return readable.join(accepted.select("_offset"), on="_offset", how="semi")

    def _replayed(self) -> None:
        """All that recovered blocks hold was passed over: the present settings judge from here on, and new columns
        begin here.
        """
        self._former = None
        self.admission = Admission(self.source, self.partition, self.admission.state, wanted=self._wanted)
        self._raise_floors()
        self._history.new_begin(self.admission.state.highest_us)
        for panes in self._views.values():
            panes.replayed()

    # -- flushing ------------------------------------------------------------------------------------------------------

    def take_over(self) -> Flush:
        """What a new owner writes first: the recovered state under its own keys, in the table and as partials, then its
        manifest.

        From then on nothing that an earlier owner still writes counts (see `engine.recovery`), and merge depends on no
        key that such an owner could overwrite. Without it, the first flush does the same.
        """
        return self._flush([], [], [], Progress())

    def flush(self, progress: Progress | None = None) -> Flush:
        """Everything that makes the state up to `offset` durable. The caller writes it, or ends the process."""
        progress = progress or Progress()
        self._floor = self._next_floor(progress)
        self._raise_floors()
        state: list[tuple[bytes, bytes]] = []
        partials: list[tuple[int, bytes, bytes]] = []
        tombstones: list[bytes] = []
        for first, _, raw in self.admission.state.since_flush():
            key = record_key(SEGMENT, self.partition, first, self.epoch)
            self._segments.setdefault(first, set()).add(key)
            state.append((key, raw))
        for panes in self._views.values():
            for pane, bucket, raw in panes.flush():
                key = self._block_key(panes.view, pane, bucket)
                partials.append((self._merge_partition(panes.view, bucket), key, raw))
                # What this flush makes final is never folded into again: its partial is all that anybody will read.
                if not panes.is_final(pane, self._floor):
                    state.append((key, raw))
                    panes.written.add((pane, bucket))
            tombstones.extend(self._block_key(panes.view, *place) for place in panes.forget(self._floor))
        for first in self.admission.state.expired_segments():
            tombstones.extend(self._segments.pop(first, ()))
        self._forget_series()
        self._pending_rows = 0
        self._flushed_us = self.admission.state.highest_us
        return self._flush(state, partials, tombstones, progress)

    def _flush(
        self,
        state: list[tuple[bytes, bytes]],
        partials: list[tuple[int, bytes, bytes]],
        tombstones: list[bytes],
        progress: Progress,
    ) -> Flush:
        newer = {key for key, _ in state}
        state = [(key, value) for key, value in self._rewrites if key not in newer] + state
        partials = [*self._resends, *partials]
        tombstones = self._superseded + tombstones
        self._superseded, self._rewrites, self._resends = [], [], []
        manifest = Manifest(
            offset=self.offset,
            highest_us=self._flushed_us,
            floor_us=self._floor,
            topic_id=self.topic_id,
            partitions=self.partitions,
            decision=self._former[1] if self._former else self._decision,
            since_us=self._history.since_us,
            epoch=self.epoch,
        )
        key = record_key(MANIFEST, self.partition, 0, self.epoch)
        return Flush(state, partials, (key, encode(manifest)), self.heartbeat(progress), tombstones, self.offset)

    def _forget_series(self) -> None:
        """Series above a cap, or of panes that are gone, are not remembered for ever."""
        for id_, directory in self._directories.items():
            if directory.crowded:
                alike = [panes for panes in self._views.values() if panes.view.dimensions.id == id_]
                directory.keep(pl.concat([hashes for panes in alike if (hashes := panes.hashes()) is not None]))

    def heartbeat(self, progress: Progress) -> Heartbeat:
        """What merge is told: also sent alone, while the partition is idle. It speaks for what was flushed, not for
        what waits.
        """
        times = self.source.watermark
        highest = self._flushed_us
        watermark = highest - times.delay_us if highest != NEVER else NEVER
        at_end = progress.at_end and not self._pending_rows
        idle = self.is_idle(progress)
        clock = progress.now_us - times.delay_us if idle and progress.now_us is not None else None
        return Heartbeat(
            source=self.source.name,
            partition=self.partition,
            partitions=self.partitions,
            epoch=self.epoch,
            offset=self.offset,
            watermark_us=watermark,
            floor_us=self._floor,
            idle=idle,
            clock_us=max(clock, watermark) if clock is not None else None,
            empty=at_end and highest == NEVER,
            behind=not progress.at_end if progress.behind is None else progress.behind,
            since_us=self._history.incomplete_us,
        )

    def is_idle(self, progress: Progress) -> bool:
        """Whether it holds no window back: all was read and flushed, and nothing came for the source's `idle_after`."""
        at_end = progress.at_end and not self._pending_rows
        return at_end and progress.silent_us >= self.source.watermark.idle_after_us

    def floor_is_due(self, progress: Progress) -> bool:
        """Whether a flush, even of nothing, would raise the floor by a pane or more: the clock does so where nothing
        comes (rule 8).
        """
        pane_us = min((panes.view.pane_us for panes in self._views.values()), default=_MINUTE_US)
        return self._next_floor(progress) - self._floor >= max(pane_us, _MINUTE_US)

    def _next_floor(self, progress: Progress) -> int:
        """No event below the floor counts any more. At the log's end, after a long silence, the clock raises it."""
        times, highest = self.source.watermark, self.admission.state.highest_us
        if progress.at_end and progress.now_us is not None and progress.silent_us >= times.seal_idle_after_us:
            highest = max(highest, progress.now_us)
        if highest == NEVER:
            return self._floor
        decision = self._former[1] if self._former else self._decision
        return max(self._floor, highest - decision.delay_us - decision.allowed_lateness_us)

    def _raise_floors(self) -> None:
        self.admission.raise_floor(self._floor)
        if self._former:
            self._former[0].raise_floor(self._floor)

    def _block_key(self, view: View, pane: int, bucket: int) -> bytes:
        return BlockKey(view.dimensions.id, view.id, self.partition, pane, bucket, 0, self.epoch).pack()

    def _merge_partition(self, view: View, bucket: int) -> int:
        return view.dimensions.partition(bucket, self.merge_partitions)
