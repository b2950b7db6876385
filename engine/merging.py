"""The second stage: blocks of all source partitions, merged into windows and published as KPI values.

A `MergePartition` owns one partition of partials: some buckets of every dimension set. It is given records and answers, when asked to
publish, with values to send and records to keep. It reads no clock: its time is what the heartbeats say (protocol rule 7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.blocks import BLOCK, BlockKey
from engine.catalog.model import Offset
from engine.event_time import NEVER
from engine.event_time.watermarks import MergedWatermark
from engine.event_time.windows import Spans
from engine.kpis import KEYS, KpiEvaluator
from engine.pane_store import PaneStore
from engine.plan import KpiPlan, Plan, Term
from engine.records import (
    HEARTBEAT,
    MANIFEST,
    WINDOWS,
    Heartbeat,
    MergeManifest,
    Revisions,
    decode_heartbeat,
    decode_merge_manifest,
    decode_revisions,
    encode,
    record_key,
    record_kind,
    split_key,
)
from engine.series import Directory, dims_texts
from engine.targets import with_targets
from engine.values import ValueRows

# The least that one unit of an offset can be, in microseconds: a day of 23 hours, a month of 28 days.
_LEAST_US = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 82_800_000_000,
    "w": 601_200_000_000,
    "month": 27 * 86_400_000_000,
    "quarter": 89 * 86_400_000_000,
    "year": 364 * 86_400_000_000,
}


_Changes = dict[str, list[pl.DataFrame]]  # view id -> frames (pane, bucket, h, <column id>: changed)


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publication writes. Revisions are acknowledged before values go out; the manifest after (protocol rules 12, 14)."""

    revisions: list[tuple[bytes, bytes | None]]
    values: list[ValueRows]
    manifest: tuple[bytes, bytes]
    tombstones: list[bytes]  # keys of partials that nothing reads any more
    offset: int


@dataclass(slots=True)
class _KpiState:
    """How far one KPI is published. Times in microseconds; NEVER before its first window."""

    plan: KpiPlan
    evaluator: KpiEvaluator
    published_us: int = NEVER
    closed_us: int = NEVER
    revisions: dict[int, dict[int, int]] = field(default_factory=dict)  # window end -> series hash -> revision above 1
    fresh: _Changes = field(default_factory=dict)  # not yet looked at
    held: _Changes = field(default_factory=dict)  # not yet shown in windows that are still open


class MergePartition:
    """State of one partition of partials, and what is published from it."""

    def __init__(self, plan: Plan, partition: int) -> None:
        self.plan = plan
        self.partition = partition
        self.offset = 0
        self._directories: dict[str, Directory] = {}
        self._stores: dict[str, PaneStore] = {}
        for view in plan.views:
            dimensions = view.dimensions
            directory = self._directories.setdefault(dimensions.id, Directory(dimensions.names, dimensions.kinds))
            self._stores[view.id] = PaneStore(view, directory)
        self._kpis = [_KpiState(kpi, KpiEvaluator(kpi, self._stores, plan.columns_beside(kpi))) for kpi in plan.kpis]
        self._waiting: dict[str, list[tuple[bytes, BlockKey, bytes]]] = {}
        self._beats: dict[tuple[str, int], Heartbeat] = {}
        self._watermarks = {name: MergedWatermark() for name in plan.catalog.sources}
        self._merged: dict[str, int] = {}
        self._epochs: dict[tuple[str, int], int] = {}
        self._view_source = {view.id: view.source.name for view in plan.views}

    # -- recovery ---------------------------------------------------------------------------------------------------------------

    def restore(self, states: Iterable[tuple[bytes, bytes]], partials: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Take up the state: the table's records, and the partials below the manifest's offset."""
        by_definition = {state.plan.facts.definition: state for state in self._kpis}
        for key, value in states:
            kind = record_kind(key)
            if kind == MANIFEST:
                manifest = decode_merge_manifest(value)
                self.offset = manifest.offset
                for beat in manifest.heartbeats:
                    self._hear(beat)
                for definition, time_us in manifest.published_us.items():
                    if definition in by_definition:
                        by_definition[definition].published_us = time_us
                for definition, time_us in manifest.closed_us.items():
                    if definition in by_definition:
                        by_definition[definition].closed_us = time_us
                self._merged.update(manifest.merged_us)
                for view, time_us in manifest.dropped_us.items():
                    if view in self._stores:
                        self._stores[view].drop_below(time_us)
            elif kind == WINDOWS:
                _, _, end, _, definition = split_key(key)
                if definition in by_definition:
                    by_definition[definition].revisions[end] = dict(decode_revisions(value).of)
        blocks: dict[str, list[tuple[bytes, BlockKey, bytes]]] = {}
        for raw, partial in partials:
            if partial is not None and record_kind(raw) == BLOCK:
                block = BlockKey.unpack(raw)
                if block.view in self._stores:
                    blocks.setdefault(block.view, []).append((raw, block, partial))
        for view, found in blocks.items():
            self._stores[view].take(found)

    # -- taking records in ------------------------------------------------------------------------------------------------------

    def apply(self, records: Sequence[tuple[bytes, bytes | None, int]]) -> None:
        """Take in (key, value, offset) of the partition, in order. Published by the next `publish`."""
        for raw, value, offset in records:
            self.offset = max(self.offset, offset + 1)
            if value is None:
                continue
            kind = record_kind(raw)
            if kind == HEARTBEAT:
                self._hear(decode_heartbeat(value))
            elif kind == BLOCK:
                key = BlockKey.unpack(raw)
                source = self._view_source.get(key.view)
                if source is None:  # of a newer catalog elsewhere: stays in the topic, for those who know it
                    continue
                if self._current(source, key.partition, key.epoch):
                    self._waiting.setdefault(key.view, []).append((raw, key, value))

    def _current(self, source: str, partition: int, epoch: int) -> bool:
        """False for a record of an owner that was superseded (protocol rule 3)."""
        known = self._epochs.get((source, partition), -1)
        if epoch < known:
            return False
        self._epochs[source, partition] = epoch
        return True

    def _hear(self, beat: Heartbeat) -> None:
        if beat.source not in self._watermarks or not self._current(beat.source, beat.partition, beat.epoch):
            return
        self._beats[beat.source, beat.partition] = beat
        self._watermarks[beat.source].hear(
            beat.partition,
            beat.partitions,
            watermark_us=beat.watermark_us,
            idle=beat.idle,
            empty=beat.empty,
            clock_us=beat.clock_us,
        )

    @property
    def behind(self) -> bool:
        """Whether any source partition has more to read than a flush holds."""
        return any(beat.behind for beat in self._beats.values())

    # -- publishing -------------------------------------------------------------------------------------------------------------

    def publish(self, *, open_windows: bool = True) -> Publication:
        """Values of every window that opened, closed or changed since the last call, and what to keep.

        With ``open_windows`` false, changes of windows that are still open wait for a later call.
        """
        self._take_blocks()
        for store in self._stores.values():
            store.forget_merged()
        for name, watermark in self._watermarks.items():
            self._merged[name] = max(self._merged.get(name, NEVER), watermark.merged())
        revisions: list[tuple[bytes, bytes | None]] = []
        values: list[ValueRows] = []
        for state in self._kpis:
            rows = self._publish_kpi(state, revisions, open_windows)
            if rows is not None and rows.frame.height:
                values.append(rows)
        tombstones = self._drop()
        return Publication(
            revisions, values, (record_key(MANIFEST, self.partition), encode(self._manifest())), tombstones, self.offset
        )

    def _take_blocks(self) -> None:
        for view_id, blocks in self._waiting.items():
            newest = {raw: (raw, key, value) for raw, key, value in blocks}
            changed = self._stores[view_id].take(list(newest.values()))
            if changed is None:
                continue
            for state in self._kpis:
                if any(term.view.id == view_id for term in state.plan.terms):
                    state.fresh.setdefault(view_id, []).append(changed)
        self._waiting.clear()

    def _manifest(self) -> MergeManifest:
        return MergeManifest(
            offset=self.offset,
            heartbeats=list(self._beats.values()),
            published_us={
                state.plan.facts.definition: state.published_us for state in self._kpis if state.published_us != NEVER
            },
            closed_us={
                state.plan.facts.definition: state.closed_us for state in self._kpis if state.closed_us != NEVER
            },
            merged_us=dict(self._merged),
            dropped_us={id_: store.dropped_us for id_, store in self._stores.items() if store.dropped_us > NEVER},
        )

    def _watermark(self, kpi: KpiPlan) -> tuple[int, int]:
        """(merged watermark, publish time) of a KPI: the minimum over its sources."""
        times = []
        for source in kpi.sources:
            merged = self._merged.get(source, NEVER)
            if merged == NEVER:
                return NEVER, NEVER
            times.append((merged, merged + self.plan.catalog.sources[source].watermark.delay_us))
        return min(w for w, _ in times), min(t for _, t in times)

    def _publish_kpi(
        self, state: _KpiState, revisions: list[tuple[bytes, bytes | None]], open_windows: bool
    ) -> ValueRows | None:
        kpi = state.plan
        watermark, upto = self._watermark(kpi)
        if watermark == NEVER or (state.closed_us == NEVER and not self._begin(state)):
            return None
        before_published, before_closed = state.published_us, state.closed_us
        frames = [self._new_windows(state, watermark, upto if open_windows else NEVER)]
        fresh, state.fresh = state.fresh, {}
        published = max(before_published, before_closed)
        frames.append(
            self._changed_rows(state, fresh, published, watermark, lambda end: end <= before_closed, "revised")
        )
        for view_id, changed in fresh.items():
            state.held.setdefault(view_id, []).extend(changed)
        if open_windows:
            held, state.held = state.held, {}
            frames.append(
                self._changed_rows(state, held, before_published, watermark, lambda end: end > watermark, "open")
            )
        if open_windows:
            state.published_us = max(before_published, upto)
        state.closed_us = max(before_closed, watermark)
        filled = [frame for frame in frames if frame is not None and frame.height]
        if not filled:
            return None
        found = pl.concat(filled)
        found = self._with_revisions(state, found, revisions)
        return ValueRows(kpi.facts, self._finished(kpi, found, watermark))

    def _begin(self, state: _KpiState) -> bool:
        """The first windows of a KPI are those of the earliest pane it has."""
        starts = [self._stores[term.view.id].first_us for term in state.plan.terms]
        known = [start for start in starts if start is not None]
        if not known:
            return False
        windows = state.plan.windows
        state.closed_us = min(known)
        state.published_us = min(known) - windows.max_length_us - windows.max_step_us
        return True

    def _new_windows(self, state: _KpiState, watermark: int, upto: int) -> pl.DataFrame | None:
        """Every series of the windows that close or open now, and those of the window before that have nothing in it (protocol rule 11)."""
        windows = state.plan.windows
        reach = max(self._stores[term.view.id].last_us + term.view.retain_us for term in state.plan.terms)
        closing = windows.closing(state.closed_us, min(watermark, reach))
        # A window that is open has not been published for longer than a step.
        opening = windows.publishable(max(state.published_us, watermark - windows.max_step_us - 1), min(upto, reach))
        ends = np.concatenate([closing.end_us, opening.end_us[opening.end_us > watermark]])
        if not len(ends):
            return None
        spans = windows.closing(int(ends[0]) - 1, int(ends[-1]))
        joined = _joined(windows.previous(spans.end_us[:1]), spans)
        rows = self._rows(state.evaluator.evaluate(joined, watermark, succeeding=True), joined, "open")
        rows = rows.with_columns(
            pl.when(pl.col("window_end") <= watermark).then(pl.lit("closed")).otherwise("state").alias("state")
        )
        shown = pl.Series(ends).implode()
        return rows.filter(pl.col("window_end").is_in(shown)) if len(ends) < len(spans) else rows

    def _changed_rows(
        self,
        state: _KpiState,
        changes: _Changes,
        published: int,
        watermark: int,
        wanted: Callable[[np.ndarray], np.ndarray],
        kind: str,
    ) -> pl.DataFrame | None:
        """The changed series of the windows published before whose end is ``wanted``."""
        spans_of: dict[tuple[int, int], int] = {}
        found = []
        for term in {(term.view.id, term.offset): term for term in state.plan.terms}.values():
            changed = _changed_series(state.plan, changes, term)
            if changed is None:
                continue
            for shift in {None, state.plan.kpi.compare}:
                affected = self._affected(state.plan, term, shift, changed, published, wanted, spans_of)
                if affected is not None:
                    found.append(affected)
        if not found:
            return None
        keys = pl.concat(found).unique()
        bounds = np.array(list(spans_of), dtype=np.int64).reshape(-1, 2)
        spans = Spans(bounds[:, 0].copy(), bounds[:, 1].copy(), bounds[:, 0].copy())
        rows = state.evaluator.evaluate(
            spans, watermark, series=keys.select("bucket", "h").unique().sort("bucket", "h")
        )
        return self._rows(rows.join(keys, on=KEYS, how="semi"), spans, kind)

    def _affected(
        self,
        kpi: KpiPlan,
        term: Term,
        shift: Offset | None,
        changed: pl.DataFrame,
        published: int,
        wanted: Callable[[np.ndarray], np.ndarray],
        spans_of: dict[tuple[int, int], int],
    ) -> pl.DataFrame | None:
        """(w, bucket, h) of the published windows that read a changed pane; new windows are numbered into ``spans_of``."""
        pane_us = term.view.pane_us
        panes = changed["pane"].unique().sort().to_numpy()
        starts = panes * pane_us
        offsets = [offset for offset in (term.offset, shift) if offset is not None]
        if not offsets:
            spans, pane_index, window_index = kpi.windows.containing(starts, published)
        else:
            least = sum(offset.amount * _LEAST_US[offset.unit] for offset in offsets)
            after = int(starts[0]) + least - kpi.windows.max_length_us - kpi.windows.max_step_us
            if after >= published:
                return None
            spans = kpi.windows.publishable(after, published)
            at = spans
            for offset in offsets:
                at = kpi.windows.shifted(at, offset)
            hit = (at.start_us[None, :] < (starts + pane_us)[:, None]) & (starts[:, None] < at.end_us[None, :])
            pane_index, window_index = np.nonzero(hit)
        keep = wanted(spans.end_us)[window_index]
        pane_index, window_index = pane_index[keep], window_index[keep]
        if not len(window_index):
            return None
        used = np.unique(window_index)
        numbers = np.zeros(len(spans), dtype=np.int64)
        for index in used.tolist():
            bounds = (int(spans.start_us[index]), int(spans.end_us[index]))
            numbers[index] = spans_of.setdefault(bounds, len(spans_of))
        pairs = pl.DataFrame({"pane": panes[pane_index].astype(np.int64), "w": numbers[window_index]})
        return changed.join(pairs, on="pane").select("w", "bucket", "h").unique()

    def _rows(self, evaluated: pl.DataFrame, spans: Spans, kind: str) -> pl.DataFrame:
        at = evaluated["w"].to_numpy()
        return evaluated.with_columns(
            pl.Series("window_start", spans.start_us[at], dtype=pl.Int64),
            pl.Series("window_end", spans.end_us[at], dtype=pl.Int64),
            pl.lit(kind).alias("state"),
        )

    # -- revisions --------------------------------------------------------------------------------------------------------------

    def _with_revisions(
        self, state: _KpiState, found: pl.DataFrame, revisions: list[tuple[bytes, bytes | None]]
    ) -> pl.DataFrame:
        """Revision 0 while open, 1 at closing, one more with each later change; those above 1 are kept."""
        definition = state.plan.facts.definition
        revised = found.filter(pl.col("state") == "revised")
        touched = set()
        for end, h in revised.select("window_end", "h").iter_rows():
            of = state.revisions.setdefault(end, {})
            of[h] = of.get(h, 1) + 1
            touched.add(end)
        for end in touched:
            revisions.append(
                (record_key(WINDOWS, self.partition, end, 0, definition), encode(Revisions(state.revisions[end])))
            )
        known = [(end, h, revision) for end, of in state.revisions.items() for h, revision in of.items()]
        if not known:
            return found.with_columns(
                pl.when(pl.col("state") == "open").then(0).otherwise(1).cast(pl.Int64).alias("revision")
            )
        kept = pl.DataFrame(known, schema={"window_end": pl.Int64, "h": pl.UInt64, "_kept": pl.Int64}, orient="row")
        joined = found.join(kept, on=["window_end", "h"], how="left", maintain_order="left")
        revision = (
            pl.when(pl.col("state") == "open")
            .then(0)
            .otherwise(pl.col("_kept").fill_null(1))
            .cast(pl.Int64)
            .alias("revision")
        )
        again = (
            pl.when((pl.col("state") == "closed") & pl.col("_kept").is_not_null())
            .then(pl.lit("revised"))
            .otherwise(pl.col("state"))
        )
        return joined.with_columns(revision, again.alias("state")).drop("_kept")

    # -- finishing --------------------------------------------------------------------------------------------------------------

    def _finished(self, kpi: KpiPlan, found: pl.DataFrame, watermark: int) -> pl.DataFrame:
        names = kpi.dimensions.names
        lateness = max(self.plan.catalog.sources[source].allowed_lateness_us for source in kpi.sources)
        series = found.select("h").unique()
        shown = self._directories[kpi.dimensions.id].lookup(series["h"])
        labels = series.with_columns(
            dims_texts(shown).alias("dims"), *(shown[name].alias(f"dim.{name}") for name in names)
        )
        frame = found.join(labels, on="h", how="left", maintain_order="left").with_columns(
            pl.lit(watermark, dtype=pl.Int64).alias("watermark"), (pl.col("window_end") + lateness).alias("final_after")
        )
        frame = self._with_history(kpi, frame)
        return with_targets(frame.drop("w", "bucket"), kpi.kpi)

    def _with_history(self, kpi: KpiPlan, frame: pl.DataFrame) -> pl.DataFrame:
        """Windows that begin before a column's history does say so (protocol rule 19)."""
        since = NEVER
        for term in kpi.terms:
            name = f"{term.view.id}/{term.column.id}"
            for beat in self._beats.values():
                if beat.source == term.view.source.name:
                    since = max(since, beat.since_us.get(name, NEVER))
        if since == NEVER:
            return frame
        incomplete = pl.col("window_start") <= since
        return frame.with_columns(
            pl.when(incomplete).then(pl.lit("incomplete_history")).otherwise(pl.col("reason")).alias("reason")
        )

    def _drop(self) -> list[bytes]:
        """Drop panes that no window reads any more, against the lowest floor of all sources that share a KPI with the view."""
        floors: dict[str, int] = {}
        for name, source in self.plan.catalog.sources.items():
            beats = [beat for (of, _), beat in self._beats.items() if of == name]
            whole = beats and len(beats) >= beats[0].partitions
            floors[source.name] = (
                min((beat.floor_us for beat in beats if not beat.empty), default=NEVER) if whole else NEVER
            )
        tombstones: list[bytes] = []
        for view_id, store in self._stores.items():
            readers = [kpi.sources for kpi in self.plan.kpis if any(term.view.id == view_id for term in kpi.terms)]
            floor = min(floors[source] for sources in readers for source in sources)
            if floor != NEVER:
                tombstones.extend(store.drop_below(floor - store.view.retain_us))
        for state in self._kpis:
            floor = min(floors[source] for source in state.plan.sources)
            for end in [end for end in state.revisions if end <= floor]:
                del state.revisions[end]
        return tombstones


def _changed_series(kpi: KpiPlan, changes: _Changes, term: Term) -> pl.DataFrame | None:
    """(pane, bucket, h) of the term's view in which a column of this KPI changed."""
    found = changes.get(term.view.id)
    if not found:
        return None
    used = [other.column.id for other in kpi.terms if other.view.id == term.view.id]
    together = pl.concat(found).filter(pl.any_horizontal(used)).select("pane", "bucket", "h").unique()
    return together if together.height else None


def _joined(first: Spans, rest: Spans) -> Spans:
    return Spans(
        np.concatenate([first.start_us, rest.start_us]),
        np.concatenate([first.end_us, rest.end_us]),
        np.concatenate([first.publish_us, rest.publish_us]),
    )
