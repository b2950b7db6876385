"""The first stage: the events of one source partition, folded into blocks.

A `SourcePartition` is a pure function of its source's prefix and the definition (protocol.md): it is given batches and
answers, at a flush, with everything that has to be written and in which order. It reads no clock and does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from engine.admission import Admission, Batch, DecisionState, Reject, decoder_of
from engine.blocks import BlockKey, decode_blocks, encode_blocks
from engine.capping import cap_series
from engine.decisions import DecisionSettings, decision_settings, source_as_of
from engine.deduplication import Store
from engine.event_time import NEVER
from engine.plan import Plan, View
from engine.records import HEARTBEAT, MANIFEST, SEGMENT, Heartbeat, Manifest, encode, record_key
from engine.recovery import Recovered, TableRecord, recover
from engine.series import OTHER, Directory, buckets_of

__all__ = ["Flush", "Progress", "SourcePartition", "TableRecord"]

_MINUTE_US = 60_000_000
BLOCK_KEYS = ("pane", "bucket")
SERIES_KEYS = ("pane", "bucket", "h")


@dataclass(frozen=True, slots=True)
class Progress:
    """What the reader of the topic knows at a flush. ``silent_us``: how long the partition has had nothing, by a fetch
    answered at its end.

    ``behind``: whether there is more to read than a flush holds; None where only the end is known.
    """

    at_end: bool = False
    silent_us: int = 0
    now_us: int | None = None  # wall clock; used for idle partitions only
    behind: bool | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """What one flush writes. Each step is acknowledged before the next: dead letters of what was folded, state;
    partials; manifest; heartbeat; commit.
    """

    state: list[tuple[bytes, bytes]]  # segments and blocks, to the table
    partials: list[tuple[int, bytes, bytes]]  # (partition of partials, key, value)
    manifest: tuple[bytes, bytes]
    heartbeat: Heartbeat
    tombstones: list[bytes]  # table keys, to delete once the manifest is durable, and if no newer owner came before it
    offset: int

    def heartbeats(self, partitions: int) -> list[tuple[int, bytes, bytes]]:
        """The heartbeat for each partition of partials."""
        beat = self.heartbeat
        key = record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source)
        value = encode(beat)
        return [(partition, key, value) for partition in range(partitions)]


@dataclass(slots=True)
class _ViewState:
    """One view's panes of one source partition: what is folded and durable or about to be, and what came since the last
    flush.
    """

    view: View
    rows: pl.DataFrame | None = None
    items: dict[str, pl.DataFrame] = field(default_factory=dict)
    pending: list[pl.DataFrame] = field(default_factory=list)
    pending_items: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    written: set[tuple[int, int]] = field(default_factory=set)  # (pane, bucket) in the table
    ahead: pl.DataFrame | None = None  # blocks recovered with a stamp above the manifest: (pane, bucket, _stamp)


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
        self._views = {view.id: _ViewState(view) for view in plan.of_source(source)}
        self._directories = {
            view.dimensions.id: Directory(view.dimensions.names, view.dimensions.kinds)
            for view in plan.of_source(source)
        }
        self._kpis = plan.kpis
        self._folded: dict[str, int] = {}  # by view
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
        self._first_us = self.manifest.first_us if self.manifest else None  # of the first accepted event
        self._gap = False  # events were lost, and none came since
        self._restore(found)
        self._new: list[str] = []  # columns that the manifest does not know
        self._since = self._history(self.manifest)

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
        for view_id, view_state in self._views.items():
            first = self._floor // view_state.view.pane_us if self._floor != NEVER else NEVER
            blocks = []
            for (view, pane, bucket), (key, value) in found.blocks.items():
                if view != view_id:
                    continue
                if pane < first:  # final: only its tombstone was not written yet
                    if key.epoch == self.epoch:
                        self._superseded.append(key.pack())
                    continue
                blocks.append((key, value))
                view_state.written.add((pane, bucket))
                if key.epoch != self.epoch:
                    own = key._replace(epoch=self.epoch).pack()
                    self._rewrites.append((own, value))
                    dimensions = view_state.view.dimensions
                    self._resends.append((dimensions.partition(bucket, self.merge_partitions), own, value))
            if blocks:
                self._restore_view(view_state, blocks, offset)
        former = source_as_of(manifest.decision, self.source) if manifest else self.source
        highest_us = manifest.highest_us if manifest else NEVER
        state = DecisionState.restore(former, highest_us, found.segments, offset, store=self._store)
        self.admission = Admission(self.source, self.partition, state)
        if manifest is not None and manifest.decision != self._decision and self._replay_until > offset:
            self._former = Admission(former, self.partition, state), manifest.decision
        self._raise_floors()

    def _restore_view(self, state: _ViewState, found: Sequence[tuple[BlockKey, bytes]], offset: int) -> None:
        decoded = decode_blocks([value for _, value in found])
        at = pl.DataFrame(
            {
                "_block": pl.Series(range(len(found)), dtype=pl.UInt32),
                "pane": pl.Series(decoded.panes, dtype=pl.Int64),
                "bucket": pl.Series(decoded.buckets, dtype=pl.Int64),
                "_stamp": pl.Series(decoded.stamps, dtype=pl.Int64),
            }
        )
        known = [
            name
            for name in decoded.rows.columns
            if any(name.startswith(f"{column.id}.") for column in state.view.columns)
        ]
        state.rows = decoded.rows.join(at, on="_block").select(*SERIES_KEYS, *known)
        sketches = {column.id for column in state.view.sketches}
        state.items = {
            id_: items.join(at, on="_block").select(*SERIES_KEYS, "item", "k")
            for id_, items in decoded.items.items()
            if id_ in sketches
        }
        self._directories[state.view.dimensions.id].learn(decoded.dims)
        ahead = at.filter(pl.col("_stamp") > offset)
        if not ahead.height:
            return
        state.ahead = ahead.drop("_block")
        self._replay_until = max(self._replay_until, *ahead["_stamp"].to_list())

    def _history(self, manifest: Manifest | None) -> dict[str, int]:
        """From when each column has its history; columns that the manifest does not know start here (rule 19)."""
        names = [
            f"{view.id}/{column.id}"
            for view in (state.view for state in self._views.values())
            for column in view.columns
        ]
        if manifest is None:
            return dict.fromkeys(names, NEVER)
        self._new = [name for name in names if name not in manifest.since_us]
        return {name: manifest.since_us.get(name, manifest.highest_us) for name in names}

    def lost_history(self) -> None:
        """The log begins above the offset we would go on at: numbers up to the first event after the gap are incomplete
        (rule 4).
        """
        self._gap = True
        self._incomplete(self._since, self.admission.state.highest_us)

    def _incomplete(self, names: Iterable[str], until_us: int) -> None:
        self._since.update({name: max(self._since[name], until_us) for name in names})

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
        folded, self._folded = self._folded, {}
        if not folded:
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
            if self._first_us is None and self._flushed_us == NEVER:
                self._first_us = int(frame["_time"][0])
            if self._gap:
                self._incomplete(self._since, int(frame["_time"][0]))
                self._gap = False
            self._fold_frame(frame, replaying=replaying)
        return tuple(admitted.rejects)

    def _as_declared(self, batch: Batch, accepted: pl.DataFrame) -> pl.DataFrame:
        """Events that former settings accepted, with the fields that are declared now; without those that have them
        not.
        """
        decoded = decoder_of(self.source).decode(batch)
        frame = pl.DataFrame({"_time": decoded.times, "_offset": batch.offsets, **decoded.columns})
        readable = frame.with_row_index("_at").filter(~pl.col("_at").is_in(list(decoded.faults))).drop("_at")
        return readable.join(accepted.select("_offset"), on="_offset", how="semi")

    def _replayed(self) -> None:
        """All that recovered blocks hold was passed over: the present settings judge from here on, and new columns
        begin here.
        """
        self._former = None
        self.admission = Admission(self.source, self.partition, self.admission.state)
        self._raise_floors()
        self._incomplete(self._new, self.admission.state.highest_us)
        for state in self._views.values():
            state.ahead = None

    def _fold_frame(self, frame: pl.DataFrame, *, replaying: bool) -> None:
        frame = frame.with_columns(pl.lit(self.partition, dtype=pl.Int32).alias("_partition"))
        for state in self._views.values():
            view = state.view
            dims = [f"dim.{name}" for name in view.dimensions.names]
            events = frame.with_columns(
                (pl.col("_time") // view.pane_us).alias("pane"),
                *(pl.col(name).alias(f"dim.{name}") for name in view.dimensions.names),
            )
            if replaying and state.ahead is not None:
                events = self._without_folded(state, events, dims)
                if not events.height:
                    continue
            folds = [
                fold
                for column in view.columns
                for fold in column.aggregation.fold(column.id, column.value, column.keep)
            ]
            rows = events.group_by([*dims, "pane"]).agg(*folds, pl.col("_offset").max().alias("_last"))
            state.pending.append(rows)
            self._pending_rows += rows.height
            for column in view.sketches:
                assert column.value is not None  # a sketch is of something
                items = column.aggregation.fold_items(events, [*dims, "pane"], column.value, column.keep)
                state.pending_items.setdefault(column.id, []).append(items)
                self._pending_rows += items.height

    def _without_folded(self, state: _ViewState, events: pl.DataFrame, dims: list[str]) -> pl.DataFrame:
        """Without the events that a recovered block holds already: below its stamp, for that block only (protocol rule
        2).
        """
        assert state.ahead is not None
        placed = self._placed(state.view, events, dims)
        joined = placed.join(state.ahead, on=BLOCK_KEYS, how="left", maintain_order="left")
        return joined.filter(pl.col("_offset") >= pl.col("_stamp").fill_null(-1)).drop("_stamp", "h", "bucket")

    def _placed(self, view: View, frame: pl.DataFrame, dims: list[str]) -> pl.DataFrame:
        """``frame`` with the series hash ``h`` and ``bucket`` of its dimension columns."""
        if not dims:
            return frame.with_columns(pl.lit(0, dtype=pl.UInt64).alias("h"), pl.lit(0, dtype=pl.Int64).alias("bucket"))
        named = frame.select(pl.col(dim).alias(dim.removeprefix("dim.")) for dim in dims)
        series = self._directories[view.dimensions.id].hashes(named)
        return frame.with_columns(series.alias("h")).with_columns(
            buckets_of(pl.col("h"), view.dimensions.buckets).alias("bucket")
        )

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
        for view_state in self._views.values():
            self._flush_view(view_state, self._floor, state, partials)
            tombstones.extend(self._forget(view_state, self._floor))
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
            since_us=self._since,
            epoch=self.epoch,
            first_us=self._first_us,
        )
        key = record_key(MANIFEST, self.partition, 0, self.epoch)
        return Flush(state, partials, (key, encode(manifest)), self.heartbeat(progress), tombstones, self.offset)

    def _forget_series(self) -> None:
        """Series above a cap, or of panes that are gone, are not remembered for ever."""
        for id_, directory in self._directories.items():
            if directory.crowded:
                views = [state for state in self._views.values() if state.view.dimensions.id == id_]
                directory.keep(pl.concat([state.rows["h"] for state in views if state.rows is not None]))

    def heartbeat(self, progress: Progress) -> Heartbeat:
        """What merge is told: also sent alone, while the partition is idle. It speaks for what was flushed, not for
        what waits.
        """
        times = self.source.watermark
        highest = self._flushed_us
        watermark = highest - times.delay_us if highest != NEVER else NEVER
        at_end = progress.at_end and not self._pending_rows
        idle = at_end and progress.silent_us >= times.idle_after_us
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
            since_us={name: since for name, since in self._since.items() if since != NEVER},
            first_us=self._first_us if highest != NEVER else None,
        )

    def floor_is_due(self, progress: Progress) -> bool:
        """Whether a flush, even of nothing, would raise the floor by a pane or more: the clock does so where nothing
        comes (rule 8).
        """
        pane_us = min((state.view.pane_us for state in self._views.values()), default=_MINUTE_US)
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

    def _flush_view(
        self, state: _ViewState, floor: int, table: list[tuple[bytes, bytes]], partials: list[tuple[int, bytes, bytes]]
    ) -> None:
        if not state.pending:
            return
        view = state.view
        dims = [f"dim.{name}" for name in view.dimensions.names]
        merges = [merge for column in view.columns for merge in column.aggregation.merge(column.id)]
        fresh = state.pending[0] if len(state.pending) == 1 else pl.concat(state.pending)
        if len(state.pending) > 1:
            fresh = fresh.group_by([*dims, "pane"]).agg(*merges, pl.col("_last").max())
        fresh = self._placed(view, fresh, dims)
        touched = fresh.group_by(BLOCK_KEYS).agg(pl.col("_last").max())
        new = fresh.drop([*dims, "_last"])
        known = _of_blocks(state.rows, touched)
        merged = new if known is None else pl.concat([known, new], how="diagonal").group_by(SERIES_KEYS).agg(*merges)
        items: dict[str, pl.DataFrame] = {}
        for column in view.sketches:
            parts = [
                self._placed(view, part, dims).select(*SERIES_KEYS, "item", "k")
                for part in state.pending_items.get(column.id, [])
            ]
            old = _of_blocks(state.items.get(column.id), touched)
            items[column.id] = column.aggregation.merge_items(
                pl.concat([*([old] if old is not None else []), *parts]), list(SERIES_KEYS)
            )
        before = merged
        merged, items = cap_series(view.dimensions, view.columns, merged, items, list(SERIES_KEYS), list(BLOCK_KEYS))
        if merged is not before:
            count = int((before["h"] != OTHER).sum()) - int((merged["h"] != OTHER).sum())
            self._folded[view.id] = self._folded.get(view.id, 0) + count
        self._write(state, merged, items, touched, floor, table, partials)
        state.rows = _replaced(state.rows, touched, merged)
        for column in view.sketches:
            state.items[column.id] = _replaced(state.items.get(column.id), touched, items[column.id])
        state.pending.clear()
        state.pending_items.clear()

    def _write(
        self,
        state: _ViewState,
        merged: pl.DataFrame,
        items: Mapping[str, pl.DataFrame],
        touched: pl.DataFrame,
        floor: int,
        table: list[tuple[bytes, bytes]],
        partials: list[tuple[int, bytes, bytes]],
    ) -> None:
        view = state.view
        stamps = {(pane, bucket): last + 1 for pane, bucket, last in touched.select(*BLOCK_KEYS, "_last").iter_rows()}
        blocks = encode_blocks(
            merged.sort(SERIES_KEYS),
            {id_: frame.sort([*SERIES_KEYS, "item"]) for id_, frame in items.items()},
            self._directories[view.dimensions.id],
            [column.id for column in view.columns],
            stamps,
        )
        for pane, bucket, raw in blocks:
            key = BlockKey(view.dimensions.id, view.id, self.partition, pane, bucket, 0, self.epoch).pack()
            partials.append((view.dimensions.partition(bucket, self.merge_partitions), key, raw))
            # A pane that this flush makes final is never folded into again: its partial is all that anybody will read.
            if (pane + 1) * view.pane_us > floor:
                table.append((key, raw))
                state.written.add((pane, bucket))

    def _forget(self, state: _ViewState, floor: int) -> list[bytes]:
        """Drop the panes that end at or below the floor; the keys to tombstone."""
        view = state.view
        if floor == NEVER:
            return []
        first = floor // view.pane_us  # panes below end at or before the floor
        if state.rows is not None:
            state.rows = state.rows.filter(pl.col("pane") >= first)
        state.items = {id_: frame.filter(pl.col("pane") >= first) for id_, frame in state.items.items()}
        final = [place for place in state.written if place[0] < first]
        state.written.difference_update(final)
        return [BlockKey(view.dimensions.id, view.id, self.partition, *place, 0, self.epoch).pack() for place in final]


def _of_blocks(frame: pl.DataFrame | None, touched: pl.DataFrame) -> pl.DataFrame | None:
    if frame is None or not frame.height:
        return None
    known = frame.join(touched, on=BLOCK_KEYS, how="semi")
    return known if known.height else None


def _replaced(frame: pl.DataFrame | None, touched: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    if frame is None or not frame.height:
        return merged
    return pl.concat([frame.join(touched, on=BLOCK_KEYS, how="anti"), merged], how="diagonal")
