"""The first stage: the events of one source partition, folded into blocks.

A `SourcePartition` is a pure function of its source's prefix and the definition (protocol.md): it is given batches and answers, at a
flush, with everything that has to be written and in which order. It reads no clock and does no I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from engine.admission import Admission, Batch, DecisionState, Reject
from engine.blocks import BLOCK, BlockKey, decode_blocks, encode_blocks, stamp_of
from engine.catalog.model import Source
from engine.event_time import NEVER
from engine.plan import Column, DimensionSet, Plan, View
from engine.records import (
    ASSIGNMENT,
    HEARTBEAT,
    MANIFEST,
    SEGMENT,
    DecisionSettings,
    Heartbeat,
    Manifest,
    decode_manifest,
    encode,
    record_key,
    record_kind,
    split_key,
)
from engine.series import OTHER, Directory, buckets_of

BLOCK_KEYS = ("pane", "bucket")
SERIES_KEYS = ("pane", "bucket", "h")


TableRecord = tuple[bytes, bytes, int]  # key, value, offset in the table's changelog


@dataclass(frozen=True, slots=True)
class Progress:
    """What the reader of the topic knows at a flush. ``silent_us``: how long the partition has had nothing, by a fetch answered at its end."""

    at_end: bool = False
    silent_us: int = 0
    now_us: int | None = None  # wall clock; used for idle partitions only


@dataclass(frozen=True, slots=True)
class Flush:
    """What one flush writes. Each step is acknowledged before the next: dead letters of what was folded, state and partials; manifest; heartbeat; commit."""

    state: list[tuple[bytes, bytes]]  # segments and blocks, to the table
    partials: list[tuple[int, bytes, bytes]]  # (partition of partials, key, value)
    manifest: tuple[bytes, bytes]
    heartbeat: Heartbeat
    tombstones: list[bytes]  # table keys, to delete once the manifest is durable
    offset: int

    def heartbeats(self, partitions: int) -> list[tuple[int, bytes, bytes]]:
        """The heartbeat for each partition of partials."""
        beat = self.heartbeat
        key = record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source)
        value = encode(beat)
        return [(partition, key, value) for partition in range(partitions)]


@dataclass(slots=True)
class _ViewState:
    """One view's panes of one source partition: what is folded and durable or about to be, and what came since the last flush."""

    view: View
    rows: pl.DataFrame | None = None
    items: dict[str, pl.DataFrame] = field(default_factory=dict)
    pending: list[pl.DataFrame] = field(default_factory=list)
    pending_items: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    written: dict[tuple[int, int], set[int]] = field(default_factory=dict)  # in the table: (pane, bucket) -> epochs
    ahead: pl.DataFrame | None = None  # blocks recovered with a stamp above the manifest: (pane, bucket, _stamp)


def decision_settings(source: Source) -> DecisionSettings:
    """The settings of a source that decide whether an event counts."""
    return DecisionSettings(
        fields=";".join(
            f"{f.name}:{f.type}{'?' if f.optional else ''}@{'.'.join(f.path)}" for f in source.fields.values()
        ),
        allowed_lateness_us=source.allowed_lateness_us,
        dedupe_us=source.dedupe_us,
        delay_us=source.watermark.delay_us,
        max_future_us=source.watermark.max_future_us,
    )


class SourcePartition:
    """The owner's state of one partition of a source.

    ``restored`` are the table's records of this partition, in changelog order, newest of each key; ``merge_partitions`` the partition count of partials. After a restart the reader
    goes on at `offset`; `resend` holds the partials that may never have gone out.
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
    ) -> None:
        self.source = plan.catalog.sources[source]
        self.partition = partition
        self.partitions = partitions
        self.merge_partitions = merge_partitions
        self.topic_id = topic_id
        self.epoch = epoch
        self._views = {view.id: _ViewState(view) for view in plan.of_source(source)}
        self._directories = {
            view.dimensions.id: Directory(view.dimensions.names, view.dimensions.kinds)
            for view in plan.of_source(source)
        }
        self._counts = dict.fromkeys(("accepted", "duplicate", "late", "invalid"), 0)
        self._pending_rows = 0
        self._replay_until = 0
        self._segments: dict[int, bytes] = {}  # first offset -> table key
        self._superseded: list[bytes] = []  # table keys of earlier epochs, to tombstone behind the next manifest
        self.resend: list[tuple[int, bytes, bytes]] = []
        self.manifest = self._restore(list(restored))
        self.offset = self.manifest.offset if self.manifest else 0
        self._floor = self.manifest.floor_us if self.manifest else NEVER
        self._since = self._history(self.manifest)

    # -- recovery ---------------------------------------------------------------------------------------------------------------

    def _restore(self, restored: Sequence[TableRecord]) -> Manifest | None:
        valid = _of_their_owners(restored)
        manifests = [(decode_manifest(value), key) for key, value in valid if record_kind(key) == MANIFEST]
        manifest, newest = max(manifests, key=lambda found: (found[0].offset, found[0].epoch), default=(None, b""))
        self._superseded.extend(
            key for _, key in manifests if key != newest or (manifest and manifest.epoch != self.epoch)
        )
        offset = manifest.offset if manifest else 0
        segments = []
        for key, value in valid:
            if record_kind(key) == SEGMENT:
                first = split_key(key)[2]
                segments.append((first, value))
                self._segments[first] = key
        state = DecisionState.restore(self.source, manifest.highest_us if manifest else NEVER, sorted(segments), offset)
        self.admission = Admission(self.source, self.partition, state)
        self._restore_blocks(valid, offset)
        return manifest

    def _restore_blocks(self, restored: Sequence[tuple[bytes, bytes]], offset: int) -> None:
        newest: dict[tuple[str, int, int], tuple[BlockKey, bytes]] = {}
        for raw, value in restored:
            if record_kind(raw) != BLOCK:
                continue
            key = BlockKey.unpack(raw)
            place = (key.view, key.pane, key.bucket)
            if key.view in self._views:
                self._views[key.view].written.setdefault(place[1:], set()).add(key.epoch)
            kept = newest.get(place)
            if kept is None or stamp_of(value) > stamp_of(kept[1]):
                newest[place] = (key, value)
        for view_id, state in self._views.items():
            found = [(key, value) for key, value in newest.values() if key.view == view_id]
            if found:
                self._restore_view(state, found, offset)

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
        for (key, value), stamp in zip(found, decoded.stamps, strict=True):
            if stamp > offset:
                partition = state.view.dimensions.partition(key.bucket, self.merge_partitions)
                self.resend.append((partition, key._replace(epoch=self.epoch).pack(), value))

    def _history(self, manifest: Manifest | None) -> dict[str, int]:
        """From when each column has its history; columns that the manifest does not know start here (protocol rule 19)."""
        names = [
            f"{view.id}/{column.id}"
            for view in (state.view for state in self._views.values())
            for column in view.columns
        ]
        if manifest is None:
            return dict.fromkeys(names, NEVER)
        return {name: manifest.since_us.get(name, manifest.highest_us) for name in names}

    def lost_history(self) -> None:
        """The log begins above the offset we would go on at: what was folded in is marked as incomplete (protocol rule 4)."""
        self._since = dict.fromkeys(self._since, self.admission.state.highest_us)

    # -- folding ----------------------------------------------------------------------------------------------------------------

    @property
    def pending_rows(self) -> int:
        """Rows waiting for the next flush, as a measure of the memory they hold."""
        return self._pending_rows

    def take_counts(self) -> Mapping[str, int]:
        """Events by outcome since the last call."""
        counts, self._counts = self._counts, dict.fromkeys(self._counts, 0)
        return counts

    def fold(self, batch: Batch) -> tuple[Reject, ...]:
        """Fold a batch; records below `offset` are passed over undecoded. The bad events, to be dead-lettered before the next commit."""
        if len(batch.offsets) and int(batch.offsets[0]) < self.offset:
            batch = batch.since(self.offset)
        rejects: tuple[Reject, ...] = ()
        if len(batch.offsets):
            admitted = self.admission.admit(batch)
            rejects = tuple(admitted.rejects)
            for outcome in self._counts:
                self._counts[outcome] += getattr(admitted, outcome)
            if admitted.frame.height:
                self._fold_frame(admitted.frame)
        self.offset = max(self.offset, batch.next_offset)
        return rejects

    def _fold_frame(self, frame: pl.DataFrame) -> None:
        replaying = int(frame["_offset"][0]) < self._replay_until
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
        """Without the events that a recovered block holds already: below its stamp, for that block only (protocol rule 2)."""
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

    # -- flushing ---------------------------------------------------------------------------------------------------------------

    def flush(self, progress: Progress | None = None) -> Flush:
        """Everything that makes the state up to `offset` durable. The caller writes it, or ends the process."""
        progress = progress or Progress()
        floor = self._next_floor()
        state: list[tuple[bytes, bytes]] = []
        partials: list[tuple[int, bytes, bytes]] = []
        tombstones: list[bytes] = []
        for first, _, raw in self.admission.state.since_flush():
            self._segments[first] = record_key(SEGMENT, self.partition, first, self.epoch)
            state.append((self._segments[first], raw))
        for view_state in self._views.values():
            self._flush_view(view_state, floor, state, partials)
            tombstones.extend(self._forget(view_state, floor))
        for first in self.admission.state.expired_segments():
            tombstones.append(record_key(SEGMENT, self.partition, first, self.epoch))
        tombstones.extend(self._superseded)
        self._superseded.clear()
        self._floor = floor
        highest = self.admission.state.highest_us
        manifest = Manifest(
            offset=self.offset,
            highest_us=highest,
            floor_us=floor,
            topic_id=self.topic_id,
            partitions=self.partitions,
            decision=decision_settings(self.source),
            since_us=self._since,
            epoch=self.epoch,
        )
        self._pending_rows = 0
        key = record_key(MANIFEST, self.partition, 0, self.epoch)
        return Flush(state, partials, (key, encode(manifest)), self.heartbeat(progress), tombstones, self.offset)

    def heartbeat(self, progress: Progress) -> Heartbeat:
        """What merge is told: also sent alone, while the partition is idle."""
        times = self.source.watermark
        highest = self.admission.state.highest_us
        watermark = highest - times.delay_us if highest != NEVER else NEVER
        idle = progress.at_end and progress.silent_us >= times.idle_after_us
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
            empty=progress.at_end and highest == NEVER,
            behind=not progress.at_end,
            since_us={name: since for name, since in self._since.items() if since != NEVER},
        )

    def _next_floor(self) -> int:
        highest = self.admission.state.highest_us
        if highest == NEVER:
            return self._floor
        return max(self._floor, highest - self.source.watermark.delay_us - self.source.allowed_lateness_us)

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
        merged, items = cap_series(view.dimensions, view.columns, merged, items, list(SERIES_KEYS), list(BLOCK_KEYS))
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
                state.written.setdefault((pane, bucket), set()).add(self.epoch)

    def _forget(self, state: _ViewState, floor: int) -> list[bytes]:
        """Drop the panes that end at or below the floor; the keys to tombstone."""
        view = state.view
        if state.rows is None or floor == NEVER:
            return []
        first = floor // view.pane_us  # panes below end at or before the floor
        state.rows = state.rows.filter(pl.col("pane") >= first)
        state.items = {id_: frame.filter(pl.col("pane") >= first) for id_, frame in state.items.items()}
        final = [place for place in state.written if place[0] < first]
        return [
            BlockKey(view.dimensions.id, view.id, self.partition, *place, 0, epoch).pack()
            for place in final
            for epoch in state.written.pop(place)
        ]


def _of_their_owners(restored: Sequence[TableRecord]) -> list[tuple[bytes, bytes]]:
    """Without what a superseded owner wrote after a newer one was assigned (protocol rule 3)."""
    assigned = sorted(offset for key, _, offset in restored if record_kind(key) == ASSIGNMENT)
    valid = []
    for key, value, offset in restored:
        kind = record_kind(key)
        if kind == ASSIGNMENT:
            continue
        epoch = BlockKey.unpack(key).epoch if kind == BLOCK else split_key(key)[3]
        newer = bisect_right(assigned, epoch)
        if newer < len(assigned) and assigned[newer] < offset:
            continue
        valid.append((key, value))
    return valid


def _of_blocks(frame: pl.DataFrame | None, touched: pl.DataFrame) -> pl.DataFrame | None:
    if frame is None or not frame.height:
        return None
    known = frame.join(touched, on=BLOCK_KEYS, how="semi")
    return known if known.height else None


def _replaced(frame: pl.DataFrame | None, touched: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    if frame is None or not frame.height:
        return merged
    return pl.concat([frame.join(touched, on=BLOCK_KEYS, how="anti"), merged], how="diagonal")


def cap_series(
    dimensions: DimensionSet,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    items: dict[str, pl.DataFrame],
    keys: list[str],
    within: list[str],
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Keep, within each group of ``within``, the N smallest series hashes; the rest becomes the `OTHER` row (protocol rule 16)."""
    limit = dimensions.series_per_bucket
    if not dimensions.names or rows.height <= limit:
        return rows, items
    ranked = rows.select(*keys, pl.col("h").rank("ordinal").over(within).alias("_rank"))
    folded = ranked.filter((pl.col("_rank") > limit) & (pl.col("h") != OTHER)).drop("_rank")
    if not folded.height:
        return rows, items
    marked = folded.with_columns(pl.lit(True).alias("_folded"))
    other = pl.when(pl.col("_folded")).then(pl.lit(OTHER, dtype=pl.UInt64)).otherwise(pl.col("h")).alias("h")
    merges = [merge for column in columns for merge in column.aggregation.merge(column.id)]
    rows = rows.join(marked, on=keys, how="left").with_columns(other).drop("_folded").group_by(keys).agg(*merges)
    capped = {}
    for column in columns:
        if column.id in items:
            moved = items[column.id].join(marked, on=keys, how="left").with_columns(other).drop("_folded")
            capped[column.id] = column.aggregation.merge_items(moved, keys)
    return rows, capped
