"""The merge stage's store of one view: the newest block of each source partition for each pane, and windows merged out of them.

Panes lie in *segments* of R neighbouring panes, R about the square root of the panes in the longest window. A segment keeps the merge of its
panes beside them, so a window of n panes is merged out of at most about 3 sqrt(n) parts: a rolling 30-day window over hourly panes
touches some 80 frames' worth of rows, not 720. Both merges are derived, never the only copy (protocol rule 10).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.accumulating import cap_series
from engine.blocks import BlockKey, decode_blocks, stamp_of
from engine.event_time import NEVER
from engine.event_time.rollups import cover
from engine.plan import Column, View
from engine.series import Directory

Place = tuple[int, int, int, int]  # source partition, pane, bucket, split
MAX_ROWS_AT_ONCE = 4_000_000
WINDOW_KEYS = ("w", "bucket", "h")


@dataclass(slots=True)
class _Segment:
    """R neighbouring panes. ``rows`` has one row per (part, pane, bucket, h); ``fine`` and ``coarse`` are its merges, made when asked for."""

    rows: pl.DataFrame
    items: dict[str, pl.DataFrame]
    stamps: pl.DataFrame  # part, pane, bucket, split, stamp
    fine: tuple[pl.DataFrame, dict[str, pl.DataFrame]] | None = None
    coarse: tuple[pl.DataFrame, dict[str, pl.DataFrame]] | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """Windows merged: ``rows`` keyed (w, bucket, h) with state columns, ``items`` by column id, ``progress`` keyed (w, bucket)."""

    rows: pl.DataFrame
    items: Mapping[str, pl.DataFrame]
    progress: pl.DataFrame


@dataclass(slots=True)
class PaneStore:
    """All panes of one view in one partition of partials. Window bounds given to it are pane boundaries, in microseconds."""

    view: View
    directory: Directory
    _segments: dict[int, _Segment] = field(default_factory=dict)
    _stamps: dict[Place, tuple[int, bytes]] = field(default_factory=dict)
    _dropped: int = NEVER  # panes below are gone

    @property
    def panes_per_segment(self) -> int:
        return max(1, round(math.sqrt(min(self.view.retain_us // self.view.pane_us, 40_000))))

    @property
    def rows(self) -> int:
        return sum(segment.rows.height for segment in self._segments.values())

    @property
    def first_us(self) -> int | None:
        """Start of the earliest pane that holds anything."""
        if not self._segments:
            return None
        first = self._segments[min(self._segments)]
        return int(first.rows["pane"].min()) * self.view.pane_us if first.rows.height else None  # type: ignore[arg-type]  # integers

    @property
    def dropped_us(self) -> int:
        """Panes that end at or before this are gone; NEVER before any was dropped."""
        return self._dropped * self.view.pane_us if self._dropped != NEVER else NEVER

    # -- taking blocks in -------------------------------------------------------------------------------------------------------

    def take(self, blocks: Sequence[tuple[bytes, BlockKey, bytes]]) -> pl.DataFrame | None:
        """Replace blocks by those with a higher stamp; (pane, bucket, h, <column id>: changed) of the series that changed, or None."""
        newest: dict[Place, tuple[int, bytes, bytes]] = {}
        for raw, key, value in blocks:
            place = (key.partition, key.pane, key.bucket, key.split)
            stamp = stamp_of(value)
            if key.pane >= self._dropped and stamp > self._stamps.get(place, (-1, b""))[0]:
                self._stamps[place] = (stamp, raw)
                newest[place] = (stamp, raw, value)
        if not newest:
            return None
        decoded = decode_blocks([value for _, _, value in newest.values()])
        at = pl.DataFrame(
            [(index, *place, stamp) for index, (place, (stamp, _, _)) in enumerate(newest.items())],
            schema={
                "_block": pl.UInt32,
                "part": pl.Int32,
                "pane": pl.Int64,
                "bucket": pl.Int64,
                "split": pl.Int64,
                "stamp": pl.Int64,
            },
            orient="row",
        )
        known = [
            name for column in self.view.columns for name in decoded.rows.columns if name.startswith(f"{column.id}.")
        ]
        rows = decoded.rows.join(at.drop("stamp"), on="_block").select("part", "pane", "bucket", "split", "h", *known)
        items = {
            column.id: decoded.items[column.id]
            .join(at.drop("stamp"), on="_block")
            .select("part", "pane", "bucket", "split", "h", "item", "k")
            for column in self.view.sketches
            if column.id in decoded.items
        }
        self.directory.learn(decoded.dims)
        return self._replace(at.drop("_block"), rows, items)

    def _replace(self, at: pl.DataFrame, rows: pl.DataFrame, items: dict[str, pl.DataFrame]) -> pl.DataFrame:
        size = self.panes_per_segment
        changes = []
        places = ["part", "pane", "bucket", "split"]
        in_segment = (pl.col("pane") // size).alias("_segment")
        rows_by = rows.with_columns(in_segment).partition_by("_segment", as_dict=True, include_key=False)
        items_by = {
            id_: frame.with_columns(in_segment).partition_by("_segment", as_dict=True, include_key=False)
            for id_, frame in items.items()
        }
        for (number,), replaced in (
            at.with_columns(in_segment).partition_by("_segment", as_dict=True, include_key=False).items()
        ):
            new = rows_by.get((number,), rows.clear())
            new_items = {id_: frames.get((number,), items[id_].clear()) for id_, frames in items_by.items()}
            old = self._segments.get(int(number))
            if old is None:
                changes.append(self._changed(new, None))
                self._segments[int(number)] = _Segment(new, new_items, replaced)
                continue
            gone = old.rows.join(replaced, on=places, how="semi")
            changes.append(self._changed(new, gone))
            self._segments[int(number)] = _Segment(
                pl.concat([old.rows.join(replaced, on=places, how="anti"), new], how="diagonal"),
                {
                    id_: pl.concat(
                        [
                            frame
                            for frame in (_without(old.items.get(id_), replaced, places), new_items.get(id_))
                            if frame is not None
                        ]
                    )
                    for id_ in old.items.keys() | new_items.keys()
                },
                pl.concat([old.stamps.join(replaced, on=places, how="anti"), replaced]),
            )
        return pl.concat(changes).group_by("pane", "bucket", "h").agg(pl.all().any())

    def _changed(self, new: pl.DataFrame, old: pl.DataFrame | None) -> pl.DataFrame:
        """Which columns of which series differ. Counts of samples only grow, so they tell (every fold that touches a column raises its ``n``)."""
        present = [column for column in self.view.columns if column.samples in new.columns]
        keys = ["part", "pane", "bucket", "h"]
        ids = [column.id for column in self.view.columns]
        missing = [pl.lit(False).alias(column.id) for column in self.view.columns if column not in present]
        if old is None or not old.height:
            flags = [(pl.col(column.samples) > 0).alias(column.id) for column in present]
            return new.select("pane", "bucket", "h", *flags, *missing).select("pane", "bucket", "h", *ids)
        counts = [column.samples for column in present if column.samples in old.columns]
        joined = new.select(*keys, *(column.samples for column in present)).join(
            old.select(*keys, *counts), on=keys, how="full", suffix="_old", coalesce=True
        )
        flags = [
            (
                pl.col(column.samples).fill_null(0)
                != (pl.col(f"{column.samples}_old").fill_null(0) if column.samples in counts else 0)
            ).alias(column.id)
            for column in present
        ]
        changed = joined.select("pane", "bucket", "h", *flags, *missing).select("pane", "bucket", "h", *ids)
        return changed.filter(pl.any_horizontal(ids))

    # -- merging windows --------------------------------------------------------------------------------------------------------

    def windows(
        self,
        numbers: np.ndarray,
        starts_us: np.ndarray,
        ends_us: np.ndarray,
        columns: Sequence[Column],
        series: pl.DataFrame | None = None,
    ) -> Merged:
        """Merge the panes of each window. ``numbers`` names the windows in the answer; ``series`` (bucket, h) narrows it to those."""
        starts, ends = starts_us // self.view.pane_us, -(-ends_us // self.view.pane_us)
        size = self.panes_per_segment
        parts = []
        per_window = max(1, self.rows // max(1, len(self._segments)) // size)
        step = max(1, MAX_ROWS_AT_ONCE // (per_window * 3 * size))
        for first in range(0, len(numbers), step):
            chunk = slice(first, first + step)
            parts.append(self._merge(numbers[chunk], starts[chunk], ends[chunk], columns, series))
        if not parts:
            parts.append(self._merge(numbers, starts, ends, columns, series))
        sketched = [column.id for column in columns if column.aggregation.items is not None]
        return Merged(
            pl.concat([part.rows for part in parts]),
            {id_: pl.concat([part.items[id_] for part in parts]) for id_ in sketched},
            pl.concat([part.progress for part in parts]),
        )

    def _merge(
        self,
        numbers: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        columns: Sequence[Column],
        series: pl.DataFrame | None,
    ) -> Merged:
        fine, coarse = self._cover(numbers, starts, ends)
        states = [
            name for column in columns for name in (f"{column.id}.{suffix}" for suffix in column.aggregation.state)
        ]
        types = {
            name: dtype
            for column in columns
            for name, dtype in ((f"{column.id}.{s}", t) for s, t in column.aggregation.state.items())
        }
        schema = {"w": pl.Int64, "bucket": pl.Int64, "h": pl.UInt64} | types
        rows, stamps = [pl.DataFrame(schema=schema)], []
        sketches = [column for column in columns if column.aggregation.items is not None]
        items: dict[str, list[pl.DataFrame]] = {
            column.id: [
                pl.DataFrame(
                    schema={"w": pl.Int64, "bucket": pl.Int64, "h": pl.UInt64, "item": pl.Int64, "k": pl.Int64}
                )
            ]
            for column in sketches
        }
        for index, key, level in ((fine, "pane", self._fine), (coarse, "segment", self._coarse)):
            if not index.height:
                continue
            merged, merged_items, stamped = level(index[key].unique().to_list(), index)
            for frame, target in [(merged, rows)]:
                narrowed = frame if series is None else frame.join(series, on=["bucket", "h"], how="semi")
                have = [name for name in states if name in narrowed.columns]
                target.append(index.join(narrowed.select(key, "bucket", "h", *have), on=key).drop(key))
            for column in sketches:
                if column.id in merged_items:
                    part = merged_items[column.id]
                    narrowed = part if series is None else part.join(series, on=["bucket", "h"], how="semi")
                    items[column.id].append(index.join(narrowed, on=key).select("w", "bucket", "h", "item", "k"))
            stamps.append(index.join(stamped, on=key).drop(key))
        merges = [merge for column in columns for merge in column.aggregation.merge(column.id)]
        together = pl.concat(rows, how="diagonal").group_by(WINDOW_KEYS).agg(*merges)
        found = {
            column.id: column.aggregation.merge_items(pl.concat(items[column.id]), list(WINDOW_KEYS))
            for column in sketches
        }
        narrow = View(
            self.view.id, self.view.source, self.view.dimensions, self.view.pane_us, tuple(columns), self.view.retain_us
        )
        together, found = cap_series(narrow, together, found, list(WINDOW_KEYS), ["w", "bucket"])
        progress = (
            pl.concat([pl.DataFrame(schema={"w": pl.Int64, "bucket": pl.Int64, "stamp": pl.Int64}), *stamps])
            .group_by("w", "bucket")
            .agg(pl.col("stamp").sum().alias("progress"))
        )
        return Merged(together, found, progress)

    def _cover(self, numbers: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Which panes and which whole segments make each window: frames (w, pane) and (w, segment), of what exists."""
        size = self.panes_per_segment
        have = np.array(sorted(self._segments), dtype=np.int64)
        found = cover(starts, ends, (size,) if size > 1 else ())
        fine = found.level == 0
        held = np.isin(np.where(fine, found.coarse // size, found.coarse), have)
        w = numbers[found.window]
        return (
            pl.DataFrame({"w": w[fine & held], "pane": found.coarse[fine & held]}),
            pl.DataFrame({"w": w[~fine & held], "segment": found.coarse[~fine & held]}),
        )

    def _fine(
        self, panes: list[int], index: pl.DataFrame
    ) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], pl.DataFrame]:
        size = self.panes_per_segment
        numbers = sorted({pane // size for pane in panes})
        frames = [self._fine_of(self._segments[number]) for number in numbers]
        wanted = index.select("pane").unique()
        stamps = pl.concat([self._segments[number].stamps for number in numbers]).join(wanted, on="pane", how="semi")
        return (
            pl.concat([rows for rows, _ in frames], how="diagonal"),
            {
                column.id: pl.concat([items[column.id] for _, items in frames if column.id in items])
                for column in self.view.sketches
                if any(column.id in items for _, items in frames)
            },
            stamps.group_by("pane", "bucket").agg(pl.col("stamp").sum()),
        )

    def _coarse(
        self, numbers: list[int], index: pl.DataFrame
    ) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], pl.DataFrame]:
        frames = [(number, self._coarse_of(self._segments[number])) for number in sorted(numbers)]
        label = {number: pl.lit(number, dtype=pl.Int64).alias("segment") for number, _ in frames}
        return (
            pl.concat([rows.with_columns(label[number]) for number, (rows, _) in frames], how="diagonal"),
            {
                column.id: pl.concat(
                    [
                        items[column.id].with_columns(label[number])
                        for number, (_, items) in frames
                        if column.id in items
                    ]
                )
                for column in self.view.sketches
                if any(column.id in items for _, (_, items) in frames)
            },
            pl.concat(
                [
                    self._segments[number]
                    .stamps.group_by("bucket")
                    .agg(pl.col("stamp").sum())
                    .with_columns(label[number])
                    for number, _ in frames
                ]
            ),
        )

    def _fine_of(self, segment: _Segment) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
        if segment.fine is None:
            segment.fine = self._rolled(segment.rows, segment.items, ["pane", "bucket", "h"])
        return segment.fine

    def _coarse_of(self, segment: _Segment) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
        if segment.coarse is None:
            rows, items = self._fine_of(segment)
            segment.coarse = self._rolled(rows, items, ["bucket", "h"])
        return segment.coarse

    def _rolled(
        self, rows: pl.DataFrame, items: Mapping[str, pl.DataFrame], keys: list[str]
    ) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
        have = set(rows.columns)
        merges = [
            merge
            for column in self.view.columns
            if column.samples in have
            for merge in column.aggregation.merge(column.id)
        ]
        return (
            rows.group_by(keys).agg(*merges),
            {
                column.id: column.aggregation.merge_items(items[column.id].select(*keys, "item", "k"), keys)
                for column in self.view.sketches
                if column.id in items
            },
        )

    # -- letting go -------------------------------------------------------------------------------------------------------------

    def drop_below(self, time_us: int) -> list[bytes]:
        """Drop the panes that end at or before ``time_us``; the keys of their partials, to tombstone (protocol rule 9)."""
        first = time_us // self.view.pane_us
        if first <= self._dropped:
            return []
        self._dropped = first
        gone = [(place, raw) for place, (_, raw) in self._stamps.items() if place[1] < first]
        for place, _ in gone:
            del self._stamps[place]
        size = self.panes_per_segment
        for number in [number for number in self._segments if number * size < first]:
            if (number + 1) * size <= first:
                del self._segments[number]
                continue
            old = self._segments[number]
            keep = pl.col("pane") >= first
            self._segments[number] = _Segment(
                old.rows.filter(keep),
                {id_: frame.filter(keep) for id_, frame in old.items.items()},
                old.stamps.filter(keep),
            )
        return [raw for _, raw in gone]


def _without(frame: pl.DataFrame | None, replaced: pl.DataFrame, places: list[str]) -> pl.DataFrame | None:
    return None if frame is None else frame.join(replaced, on=places, how="anti")
