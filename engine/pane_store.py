"""The merge stage's store of one view: the newest block of each source partition for each pane, and windows merged out
of them.

Panes lie in *segments* of R neighbouring panes, R about the square root of the panes in the longest window. A segment
keeps the merge of its panes beside them, so a window of n panes is merged out of at most about 3 sqrt(n) parts: a
rolling 30-day window over hourly panes touches some 80 frames' worth of rows, not 720. Both merges are derived, never
the only copy (protocol rule 10).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.blocks import BlockKey, decode_blocks, stamp_of
from engine.capping import cap_series
from engine.event_time import NEVER
from engine.event_time.rollups import cover
from engine.event_time.zones import Times
from engine.plan import Column, View
from engine.series import Directory, buckets_of

Place = tuple[int, int, int, int]  # source partition, pane, bucket, split
_PLACE = ("part", "pane", "bucket", "split")
MAX_ROWS_AT_ONCE = 4_000_000
WINDOW_KEYS = ("w", "bucket", "h")
_WINDOW_ITEMS = {"w": pl.Int64, "bucket": pl.Int64, "h": pl.UInt64, "item": pl.Int64, "k": pl.Int64}


@dataclass(frozen=True, slots=True)
class _Level:
    """Panes, or whole segments, merged over source partitions: ``rows`` keyed (at, bucket, h), ``stamps`` (at, bucket,
    stamp: their sum).
    """

    rows: pl.DataFrame
    items: Mapping[str, pl.DataFrame]
    stamps: pl.DataFrame

    @classmethod
    def concat(cls, levels: Sequence[_Level]) -> _Level:
        if len(levels) == 1:
            return levels[0]
        ids = {id_ for level in levels for id_ in level.items}
        return cls(
            pl.concat([level.rows for level in levels], how="diagonal"),
            {id_: pl.concat([level.items[id_] for level in levels if id_ in level.items]) for id_ in ids},
            pl.concat([level.stamps for level in levels]),
        )

    def cut(self, numbers: Sequence[int], number: pl.Expr) -> dict[int, _Level]:
        """Apart again by segment; ``number`` is computed from ``at``."""
        if len(numbers) == 1:
            return {numbers[0]: self}
        rows, stamps = _apart(self.rows, number), _apart(self.stamps, number)
        items = {id_: _apart(frame, number) for id_, frame in self.items.items()}
        return {
            n: _Level(
                rows.get(n, self.rows.clear()),
                {id_: frames.get(n, self.items[id_].clear()) for id_, frames in items.items()},
                stamps.get(n, self.stamps.clear()),
            )
            for n in numbers
        }


@dataclass(slots=True)
class _Segment:
    """R neighbouring panes. ``rows`` has one row per (part, pane, bucket, h); ``fine`` and ``coarse`` are its merges,
    made when asked for.
    """

    rows: pl.DataFrame
    items: dict[str, pl.DataFrame]
    stamps: pl.DataFrame  # part, pane, bucket, split, stamp, epoch
    fine: _Level | None = None
    coarse: _Level | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """Windows merged: ``rows`` keyed (w, bucket, h) with state columns, ``items`` by column id, ``progress`` keyed (w,
    bucket).
    """

    rows: pl.DataFrame
    items: Mapping[str, pl.DataFrame]
    progress: pl.DataFrame


@dataclass(slots=True)
class PaneStore:
    """All panes of one view in one partition of partials. Window bounds given to it are pane boundaries, in
    microseconds.
    """

    view: View
    directory: Directory
    _segments: dict[int, _Segment] = field(default_factory=dict)
    _stamps: dict[Place, tuple[int, bytes]] = field(default_factory=dict)
    _dropped: int = NEVER  # panes below are gone
    _sealed: set[int] = field(default_factory=set)  # segments that were sealed
    # Series known when it was last looked at; whether one bucket was above its cap.
    _counted: tuple[int, bool] = (0, False)
    _merged: dict[tuple[bytes, bytes, tuple[str, ...], bytes], Merged] = field(default_factory=dict)

    @property
    def panes_per_segment(self) -> int:
        return max(1, round(math.sqrt(min(self.view.retain_us // self.view.pane_us, 40_000))))

    @property
    def rows(self) -> int:
        return sum(segment.rows.height for segment in self._segments.values())

    @property
    def series(self) -> pl.Series:
        """The hashes of all series that hold anything, each at least once."""
        found = [segment.rows["h"].unique() for segment in self._segments.values()]
        return pl.concat(found) if found else pl.Series("h", [], dtype=pl.UInt64)

    @property
    def first_us(self) -> int | None:
        """Start of the earliest pane that holds anything."""
        first = [self._segments[number].rows["pane"].min() for number in sorted(self._segments)[:2]]
        return next((int(pane) * self.view.pane_us for pane in first if isinstance(pane, int)), None)

    @property
    def spans_us(self) -> list[tuple[int, int]]:
        """Where there may be anything: bounds of runs of segments, in order."""
        length = self.panes_per_segment * self.view.pane_us
        runs: list[tuple[int, int]] = []
        for number in sorted(self._segments):
            start = number * length
            if runs and runs[-1][1] == start:
                start = runs.pop()[0]
            runs.append((start, (number + 1) * length))
        return runs

    @property
    def latest_us(self) -> int:
        """Start of the latest pane that holds anything; NEVER where none does."""
        latest = self._segments[max(self._segments)].rows["pane"].max() if self._segments else None
        return int(latest) * self.view.pane_us if isinstance(latest, int) else NEVER

    @property
    def last_us(self) -> int:
        """End of the latest pane that holds anything; NEVER where none does."""
        return (max(self._segments) + 1) * self.panes_per_segment * self.view.pane_us if self._segments else NEVER

    @property
    def capped(self) -> bool:
        """Whether any bucket has more series than it may show; then every series must be merged to know which are
        shown.
        """
        known = len(self.directory)
        if self._counted[0] != known:
            buckets = buckets_of(pl.col("h"), self.view.dimensions.buckets)
            fullest = (
                self.directory.frame.select(buckets.value_counts().struct.field("count").max()).item() if known else 0
            )
            self._counted = (known, (fullest or 0) > self.view.dimensions.series_per_bucket)
        return self._counted[1]

    @property
    def dropped_us(self) -> int:
        """Panes that end at or before this are gone; NEVER before any was dropped."""
        return self._dropped * self.view.pane_us if self._dropped != NEVER else NEVER

    # -- taking blocks in ----------------------------------------------------------------------------------------------

    def take(self, blocks: Sequence[tuple[bytes, BlockKey, bytes]]) -> tuple[pl.DataFrame | None, list[bytes]]:
        """Replace blocks by those with a higher stamp, or of a newer owner with the same: it may have more columns.

        Answers (pane, bucket, h, <column id>: changed) of the series that changed, or None, and the keys that nobody
        reads any more: of panes that were dropped, and of earlier owners.
        """
        unread = []
        newest: dict[Place, tuple[int, bytes, bytes]] = {}
        for raw, key, value in blocks:
            if key.pane < self._dropped:
                unread.append(raw)
                continue
            place = (key.partition, key.pane, key.bucket, key.split)
            stamp = stamp_of(value)
            known = self._stamps.get(place)
            if known is None and self._is_sealed(place):
                continue  # its partition promised that there is no more
            if known is None or (stamp, _epoch(raw)) > (known[0], _epoch(known[1])):
                if known is not None and _epoch(known[1]) < _epoch(raw):
                    unread.append(known[1])
                self._stamps[place] = (stamp, raw)
                newest[place] = (stamp, raw, value)
            elif _epoch(raw) < _epoch(known[1]):
                unread.append(raw)
        if not newest:
            return None, unread
        decoded = decode_blocks([value for _, _, value in newest.values()])
        at = pl.DataFrame(
            [(index, *place, stamp, _epoch(raw)) for index, (place, (stamp, raw, _)) in enumerate(newest.items())],
            schema={
                "_block": pl.UInt32,
                "part": pl.Int32,
                "pane": pl.Int64,
                "bucket": pl.Int64,
                "split": pl.Int64,
                "stamp": pl.Int64,
                "epoch": pl.UInt64,
            },
            orient="row",
        )
        kept = [
            name for column in self.view.columns for name in decoded.rows.columns if name.startswith(f"{column.id}.")
        ]
        rows = decoded.rows.join(at.drop("stamp", "epoch"), on="_block").select(
            "part", "pane", "bucket", "split", "h", *kept
        )
        items = {
            column.id: decoded.items[column.id]
            .join(at.drop("stamp", "epoch"), on="_block")
            .select("part", "pane", "bucket", "split", "h", "item", "k")
            for column in self.view.sketches
            if column.id in decoded.items
        }
        self.directory.learn(decoded.dims)
        return self._replace(at.drop("_block"), rows, items), unread

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
        """Which columns of which series differ. Counts of samples only grow, so they tell (every fold that touches a
        column raises its ``n``).
        """
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

    # -- merging windows -----------------------------------------------------------------------------------------------

    def windows(
        self, starts_us: Times, ends_us: Times, columns: Sequence[Column], series: pl.DataFrame | None = None
    ) -> Merged:
        """Merge the panes of each window; ``w`` is the window's position. ``series`` (bucket, h), sorted, narrows it to
        those.

        KPIs over the same windows ask for the same thing one after the other, so the answers are kept until
        `forget_merged`.
        """
        narrowed = b"" if series is None else series["h"].to_numpy().tobytes()
        asked = (starts_us.tobytes(), ends_us.tobytes(), tuple(column.id for column in columns), narrowed)
        if asked not in self._merged:
            self._merged[asked] = self._windows(starts_us, ends_us, columns, series)
        return self._merged[asked]

    def merge_ahead(self, asked: Sequence[tuple[Times, Times, Sequence[Column]]], series: pl.DataFrame) -> None:
        """Merge what `windows` will be asked for these series, (starts, ends, columns), in one go."""
        narrowed = series["h"].to_numpy().tobytes()
        todo: dict[tuple[bytes, bytes, tuple[str, ...], bytes], tuple[Times, Times, Sequence[Column]]] = {}
        for starts, ends, columns in asked:
            key = (starts.tobytes(), ends.tobytes(), tuple(column.id for column in columns), narrowed)
            if key not in self._merged:
                todo[key] = starts, ends, columns
        if len(todo) < 2:
            return
        first = np.cumsum([0, *(len(starts) for starts, _, _ in todo.values())]).tolist()
        used: dict[str, Column] = {}
        wanted: dict[str, list[int]] = {}  # windows for which a sketch is asked
        for at, (starts, _, columns) in zip(first, todo.values(), strict=False):
            for column in columns:
                used[column.id] = column
                wanted.setdefault(column.id, []).extend(range(at, at + len(starts)))
        merged = self._merge(
            np.arange(first[-1], dtype=np.int64),
            np.concatenate([starts for starts, _, _ in todo.values()]) // self.view.pane_us,
            -(-np.concatenate([ends for _, ends, _ in todo.values()]) // self.view.pane_us),
            list(used.values()),
            series,
            wanted,
        )
        rows, progress = _Cut(merged.rows), _Cut(merged.progress)
        items = {id_: _Cut(frame) for id_, frame in merged.items.items()}
        for (key, (_, _, columns)), start, end in zip(todo.items(), first[:-1], first[1:], strict=True):
            self._merged[key] = Merged(
                rows.part(start, end),
                {column.id: items[column.id].part(start, end) for column in columns if column.id in items},
                progress.part(start, end),
            )

    def forget_merged(self) -> None:
        """Windows may have changed: merge them anew when they are next asked for."""
        self._merged.clear()

    def _windows(
        self, starts_us: Times, ends_us: Times, columns: Sequence[Column], series: pl.DataFrame | None
    ) -> Merged:
        starts, ends = starts_us // self.view.pane_us, -(-ends_us // self.view.pane_us)
        size = self.panes_per_segment
        per_window = max(1, self.rows // max(1, len(self._segments)) // size)
        step = max(1, MAX_ROWS_AT_ONCE // (per_window * 3 * size))
        numbers = np.arange(len(starts), dtype=np.int64)
        parts = [
            self._merge(
                numbers[first : first + step], starts[first : first + step], ends[first : first + step], columns, series
            )
            for first in range(0, max(1, len(numbers)), step)
        ]
        return Merged(
            pl.concat([part.rows for part in parts]),
            {id_: pl.concat([part.items[id_] for part in parts]) for id_ in parts[0].items},
            pl.concat([part.progress for part in parts]),
        )

    def _merge(
        self,
        numbers: Times,
        starts: Times,
        ends: Times,
        columns: Sequence[Column],
        series: pl.DataFrame | None,
        wanted: Mapping[str, Sequence[int]] | None = None,
    ) -> Merged:
        states = {
            f"{column.id}.{suffix}": dtype for column in columns for suffix, dtype in column.aggregation.state.items()
        }
        sketches = [column for column in columns if column.aggregation.items is not None]
        rows = [pl.DataFrame(schema={"w": pl.Int64(), "bucket": pl.Int64(), "h": pl.UInt64(), **states}).lazy()]
        stamps = [pl.DataFrame(schema={"w": pl.Int64, "bucket": pl.Int64, "stamp": pl.Int64}).lazy()]
        items = {column.id: [pl.DataFrame(schema=_WINDOW_ITEMS).lazy()] for column in sketches}
        for index, level in self._levels(numbers, starts, ends):
            at = index.lazy()
            have = [name for name in states if name in level.rows.columns]
            rows.append(at.join(_narrowed(level.rows.select("at", "bucket", "h", *have), series), on="at").drop("at"))
            stamps.append(at.join(level.stamps.lazy(), on="at").drop("at"))
            for column in sketches:
                if column.id in level.items:
                    of = at if wanted is None else index.filter(pl.col("w").is_in(wanted[column.id])).lazy()
                    joined = of.join(_narrowed(level.items[column.id], series), on="at")
                    items[column.id].append(joined.select("w", "bucket", "h", "item", "k"))
        merges = [merge for column in columns for merge in column.aggregation.merge(column.id)]
        merged, progress, *found = pl.collect_all(
            [
                pl.concat(rows, how="diagonal").group_by(WINDOW_KEYS).agg(*merges),
                pl.concat(stamps).group_by("w", "bucket").agg(pl.col("stamp").sum().alias("progress")),
                *(pl.concat(items[column.id]) for column in sketches),
            ]
        )
        sketched = {
            column.id: column.aggregation.merge_items(frame, list(WINDOW_KEYS))
            for column, frame in zip(sketches, found, strict=True)
        }
        merged, sketched = cap_series(
            self.view.dimensions, columns, merged, sketched, list(WINDOW_KEYS), ["w", "bucket"]
        )
        return Merged(merged, sketched, progress)

    def _levels(self, numbers: Times, starts: Times, ends: Times) -> Iterator[tuple[pl.DataFrame, _Level]]:
        """The panes and whole segments that make the windows up: (w, at) and what is there."""
        size = self.panes_per_segment
        have = np.array(sorted(self._segments), dtype=np.int64)
        found = cover(starts, ends, (size,) if size > 1 else ())
        w = numbers[found.window]
        for number, segments, levels_of in ((0, found.coarse // size, self._fine), (1, found.coarse, self._coarse)):
            held = (found.level == number) & np.isin(segments, have)
            if held.any():
                levels = levels_of(np.unique(segments[held]).tolist())
                yield pl.DataFrame({"w": w[held], "at": found.coarse[held]}), _Level.concat(levels)

    def _fine(self, numbers: Sequence[int]) -> list[_Level]:
        """The panes of segments, merged over source partitions: ``at`` is the pane."""
        missing = [number for number in numbers if self._segments[number].fine is None]
        if missing:
            whole = [self._segments[number] for number in missing]
            at = {"pane": "at"}
            rolled = self._rolled(
                pl.concat([segment.rows for segment in whole], how="diagonal").rename(at),
                {
                    column.id: pl.concat([s.items[column.id] for s in whole if column.id in s.items]).rename(at)
                    for column in self.view.sketches
                    if any(column.id in segment.items for segment in whole)
                },
                pl.concat([segment.stamps for segment in whole]).rename(at),
            )
            for number, level in rolled.cut(missing, pl.col("at") // self.panes_per_segment).items():
                self._segments[number].fine = level
        return [fine for number in numbers if (fine := self._segments[number].fine) is not None]

    def _coarse(self, numbers: Sequence[int]) -> list[_Level]:
        """Whole segments: ``at`` is the segment."""
        missing = [number for number in numbers if self._segments[number].coarse is None]
        if missing:
            fine = _Level.concat(self._fine(missing))
            at = (pl.col("at") // self.panes_per_segment).alias("at")
            rolled = self._rolled(
                fine.rows.with_columns(at),
                {id_: frame.with_columns(at) for id_, frame in fine.items.items()},
                fine.stamps.with_columns(at),
            )
            for number, level in rolled.cut(missing, pl.col("at")).items():
                self._segments[number].coarse = level
        return [coarse for number in numbers if (coarse := self._segments[number].coarse) is not None]

    def _rolled(self, rows: pl.DataFrame, items: Mapping[str, pl.DataFrame], stamps: pl.DataFrame) -> _Level:
        """Rows of the same place and series merged into one."""
        keys = ["at", "bucket", "h"]
        have = set(rows.columns)
        present = [column for column in self.view.columns if column.samples in have]
        merges = [merge for column in present for merge in column.aggregation.merge(column.id)]
        merged, stamped = pl.collect_all(
            [rows.lazy().group_by(keys).agg(*merges), stamps.lazy().group_by("at", "bucket").agg(pl.col("stamp").sum())]
        )
        return _Level(
            merged,
            {
                column.id: column.aggregation.merge_items(items[column.id].select(*keys, "item", "k"), keys)
                for column in self.view.sketches
                if column.id in items
            },
            stamped,
        )

    # -- letting go ----------------------------------------------------------------------------------------------------

    def _is_sealed(self, place: Place) -> bool:
        """Whether the pane was sealed with a block of this place in it."""
        number = place[1] // self.panes_per_segment
        if number not in self._sealed:
            return False
        at = dict(zip(_PLACE, place, strict=True))
        return not self._segments[number].stamps.filter(**at).is_empty()

    def seal_below(self, floor_us: int) -> None:
        """Keep one merged row for each series of the segments that end at or before the floor of all source partitions
        (protocol rule 9).
        """
        size = self.panes_per_segment
        final = floor_us // self.view.pane_us // size
        for number in [number for number in self._segments if number < final and number not in self._sealed]:
            fine, segment = self._fine([number])[0], self._segments[number]
            whole = [pl.lit(-1, dtype=pl.Int32).alias("part"), pl.lit(0, dtype=pl.Int64).alias("split")]
            segment.rows = fine.rows.rename({"at": "pane"}).with_columns(whole).select(segment.rows.columns)
            segment.items = {
                id_: frame.rename({"at": "pane"}).with_columns(whole).select(segment.items[id_].columns)
                for id_, frame in fine.items.items()
            }
            for place in segment.stamps.select(_PLACE).iter_rows():
                self._stamps.pop(place, None)
            self._sealed.add(number)

    def drop_below(self, time_us: int) -> list[bytes]:
        """Drop the panes that end at or before ``time_us``; the keys of their partials, to tombstone (rule 9)."""
        first = time_us // self.view.pane_us
        if first <= self._dropped:
            return []
        self._dropped = first
        gone = {place: raw for place, (_, raw) in self._stamps.items() if place[1] < first}
        for place in gone:
            del self._stamps[place]
        size = self.panes_per_segment
        for number in [number for number in self._segments if number * size < first]:
            old = self._segments[number]
            if number in self._sealed:
                gone |= self._sealed_keys(old.stamps.filter(pl.col("pane") < first), gone)
            if (number + 1) * size <= first:
                del self._segments[number]
                self._sealed.discard(number)
                continue
            keep = pl.col("pane") >= first
            self._segments[number] = _Segment(
                old.rows.filter(keep),
                {id_: frame.filter(keep) for id_, frame in old.items.items()},
                old.stamps.filter(keep),
            )
        return list(gone.values())

    def _sealed_keys(self, stamps: pl.DataFrame, known: Mapping[Place, bytes]) -> dict[Place, bytes]:
        view = self.view
        return {
            (part, pane, bucket, split): BlockKey(view.dimensions.id, view.id, part, pane, bucket, split, epoch).pack()
            for part, pane, bucket, split, epoch in stamps.select(*_PLACE, "epoch").iter_rows()
            if (part, pane, bucket, split) not in known
        }


class _Cut:
    """A frame to be cut by window."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame.sort("w")
        self._w = self._frame["w"].to_numpy()

    def part(self, start: int, end: int) -> pl.DataFrame:
        """The rows of windows [start, end), which are numbered from 0 then."""
        first, last = np.searchsorted(self._w, [start, end]).tolist()
        part = self._frame[first:last]
        return part.with_columns(pl.col("w") - start) if start and part.height else part


def _epoch(key: bytes) -> int:
    """The epoch that a block's key ends in."""
    return int.from_bytes(key[-8:], "big")


def _without(frame: pl.DataFrame | None, replaced: pl.DataFrame, places: list[str]) -> pl.DataFrame | None:
    return None if frame is None else frame.join(replaced, on=places, how="anti")


def _narrowed(frame: pl.DataFrame, series: pl.DataFrame | None) -> pl.LazyFrame:
    return frame.lazy() if series is None else frame.lazy().join(series.lazy(), on=["bucket", "h"], how="semi")


def _apart(frame: pl.DataFrame, number: pl.Expr) -> dict[int, pl.DataFrame]:
    numbered = frame.with_columns(number.alias("_number"))
    parts = numbered.partition_by("_number", as_dict=True, include_key=False)
    return {int(key): part for (key,), part in parts.items()}
