"""The merge stage's store of one view: the newest block of each source partition for each pane, taken in, sealed and
let go of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.blocks import BlockKey, decode_blocks, stamp_of
from engine.changes import Changed, any_of
from engine.event_time import NEVER
from engine.keyed_rows import Indexes, Keys, put_together
from engine.merged_windows import MergedWindows
from engine.plan import Column, View
from engine.segments import BLOCK, Blocks, Content, Segment, Segments
from engine.series import Directory, buckets_of

Place = tuple[int, int, int, int]  # source partition, pane, bucket, split
_PLACE = ["part", "pane", "bucket", "split"]


@dataclass(slots=True)
class _Known:
    """The newest block of a place: its stamp, its key, and the number of its rows."""

    stamp: int
    raw: bytes
    number: int


@dataclass(slots=True)
class PaneStore:
    """All panes of one view in one partition of partials."""

    view: View
    directory: Directory
    windows: MergedWindows = field(init=False)
    _segments: Segments = field(init=False)
    _known: dict[Place, _Known] = field(default_factory=dict)
    _numbered: int = 0  # blocks so far
    _dropped: int = NEVER  # panes below are gone
    # Series known when it was last looked at; whether one bucket was above its cap.
    _counted: tuple[int, bool] = (0, False)

    def __post_init__(self) -> None:
        self._segments = Segments(self.view)
        self.windows = MergedWindows(self.view, self._segments)

    @property
    def series(self) -> pl.Series:
        """The hashes of all series that hold anything, each at least once."""
        found = [segment.rows["h"].unique() for segment in self._segments.values()]
        return pl.concat(found) if found else pl.Series("h", [], dtype=pl.UInt64)

    def seen(self, columns: Sequence[Column]) -> pl.DataFrame:
        """The panes (``pane``, ``h``) in which series have events of any of these columns, each at least once."""
        counts = [column.samples for column in columns]
        found = [pl.DataFrame(schema={"pane": pl.Int64(), "h": pl.UInt64()})]
        for segment in self._segments.values():
            some = pl.any_horizontal(pl.col(name) > 0 for name in counts if name in segment.rows.columns)
            found.append(segment.rows.filter(some.fill_null(False)).select(pl.col("pane").cast(pl.Int64), "h"))
        return pl.concat(found)

    @property
    def first_us(self) -> int | None:
        """Start of the earliest pane that holds anything."""
        first = [self._segments[number].rows["pane"].min() for number in sorted(self._segments)[:2]]
        return next((int(pane) * self.view.pane_us for pane in first if isinstance(pane, int)), None)

    @property
    def spans_us(self) -> list[tuple[int, int]]:
        """Where there may be anything: bounds of runs of segments, in order."""
        length = self._segments.size * self.view.pane_us
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
        """End of the last segment that holds anything; NEVER where none does."""
        return (max(self._segments) + 1) * self._segments.size * self.view.pane_us if self._segments else NEVER

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

    def take(self, blocks: Sequence[tuple[bytes, BlockKey, bytes]]) -> tuple[Changed | None, list[bytes]]:
        """Replace blocks by those with a higher stamp, or of a newer owner with the same: it may have more columns.

        Answers the series that changed, or None, and the keys that nobody reads any more: of panes that were dropped,
        and of earlier owners.
        """
        unread = []
        newest: dict[Place, bytes] = {}
        former: dict[Place, int] = {}  # the numbers of the blocks that are replaced
        for raw, key, value in blocks:
            if key.pane < self._dropped:
                unread.append(raw)
                continue
            place = (key.partition, key.pane, key.bucket, key.split)
            stamp = stamp_of(value)
            known = self._known.get(place)
            if known is None and self._is_sealed(place):
                continue  # its partition promised that there is no more
            if known is None or (stamp, _epoch(raw)) > (known.stamp, _epoch(known.raw)):
                if known is not None:
                    if _epoch(known.raw) < _epoch(raw):
                        unread.append(known.raw)
                    if place not in newest:
                        former[place] = known.number
                self._known[place] = _Known(stamp, raw, -1)
                newest[place] = value
            elif _epoch(raw) < _epoch(known.raw):
                unread.append(raw)
        return (self._replace(newest, former) if newest else None), unread

    def _replace(self, newest: Mapping[Place, bytes], former: Mapping[Place, int]) -> Changed:
        places = [(place, self._known[place]) for place in newest]
        for number, (_, known) in enumerate(places, self._numbered):
            known.number = number
        blocks = np.array([(known.number, *place, known.stamp, _epoch(known.raw)) for place, known in places], BLOCK)
        new, block = self._decoded(list(newest.values()), blocks)
        self._numbered += len(blocks)
        # The blocks that go, in order of their numbers, and which of the new ones takes the place of each.
        follows = {number: index for index, place in enumerate(newest) if (number := former.get(place, -1)) >= 0}
        out = np.array(sorted(follows), dtype=np.int64)
        gone = []
        for number, content in new.apart(self._segments.size):
            self.windows.moved(number)
            if number not in self._segments:
                self._segments[number] = Segment(content.rows, dict(content.items), content.blocks)
            elif (rows := self._segments[number].replace(out, content)) is not None:
                gone.append(rows)
        old = pl.concat(gone, how="diagonal") if gone else None
        if old is None:
            return self._changed(new, block, None, block[:0])
        successor = np.array([follows[number] for number in out.tolist()], dtype=np.int64)
        return self._changed(new, block, old, successor[np.searchsorted(out, old["number"].to_numpy())])

    def _decoded(self, values: Sequence[bytes], blocks: Blocks) -> tuple[Content, Indexes]:
        """What blocks hold, and for each row the position of its block."""
        decoded = decode_blocks(values)
        self.directory.learn(decoded.dims)

        def placed(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
            block = frame["_block"].to_numpy()
            of = [pl.Series(name, blocks[name][block]) for name in ("number", "pane", "bucket")]
            return pl.DataFrame([*of, *(frame[name] for name in names)])

        states = [
            name for column in self.view.columns for name in decoded.rows.columns if name.startswith(f"{column.id}.")
        ]
        items = {
            column.id: placed(decoded.items[column.id], ("h", "item", "k"))
            for column in self.view.sketches
            if column.id in decoded.items
        }
        block = decoded.rows["_block"].to_numpy().astype(np.int64)
        return Content(placed(decoded.rows, ["h", *states]), items, blocks), block

    def _changed(self, new: Content, block: Indexes, old: pl.DataFrame | None, successor: Indexes) -> Changed:
        """Which columns of which series differ. Counts of samples only grow, so they tell (every fold that touches a
        column raises its ``n``). ``block``: of each new row; ``successor``: of each row that went, the block in its
        place.
        """
        keys = Keys(block, new.rows["h"].to_numpy())
        row = np.arange(len(keys), dtype=np.int64)
        if old is not None:
            both = put_together([keys, Keys(successor, old["h"].to_numpy())])
            keys, row = both.sorted_once()
        flags = {}
        for column in self.view.columns:
            name, flag = column.samples, np.zeros(len(keys), dtype=np.bool_)
            if name in new.rows.columns:
                counts = np.zeros(len(keys), dtype=np.int64)
                counts[row[: len(block)]] = _counts(new.rows[name])
                if old is not None and name in old.columns:
                    before = np.zeros(len(keys), dtype=np.int64)
                    before[row[len(block) :]] = _counts(old[name])
                    flag = counts != before
                else:
                    flag = counts != 0
            flags[column.id] = flag
        at, h = keys.columns
        changed = np.logical_or.reduce(list(flags.values()))
        of = Keys(new.blocks["pane"][at[changed]], new.blocks["bucket"][at[changed]], h[changed])
        distinct, row = of.sorted_once()
        return Changed(distinct, {id_: any_of(flag[changed], row, len(distinct)) for id_, flag in flags.items()})

    # -- letting go ----------------------------------------------------------------------------------------------------

    def _is_sealed(self, place: Place) -> bool:
        """Whether the pane was sealed with a block of this place in it."""
        segment = self._segments.get(place[1] // self._segments.size)
        if segment is None or not segment.sealed:
            return False
        at = np.ones(len(segment.blocks), dtype=np.bool_)
        for name, value in zip(_PLACE, place, strict=True):
            at &= segment.blocks[name] == value
        return bool(at.any())

    def seal_below(self, floor_us: int) -> None:
        """Keep one merged row for each series of the segments that end at or before the floor of all source partitions
        (protocol rule 9).
        """
        final = floor_us // self.view.pane_us // self._segments.size
        for number, segment in self._segments.items():
            if number < final and not segment.sealed:
                self._segments.seal(number)
                for place in segment.blocks[_PLACE].tolist():
                    self._known.pop(place, None)

    def drop_below(self, time_us: int) -> list[bytes]:
        """Drop the panes that end at or before ``time_us``; the keys of their partials, to tombstone (rule 9)."""
        first = time_us // self.view.pane_us
        if first <= self._dropped:
            return []
        self._dropped = first
        self.windows.dropped()
        gone = {place: known.raw for place, known in self._known.items() if place[1] < first}
        for place in gone:
            del self._known[place]
        size = self._segments.size
        for number in [number for number in self._segments if number * size < first]:
            segment = self._segments[number]
            if segment.sealed:
                gone |= self._sealed_keys(segment.blocks[segment.blocks["pane"] < first], gone)
            if (number + 1) * size <= first:
                del self._segments[number]
            else:
                segment.drop_below(first)
        return list(gone.values())

    def _sealed_keys(self, blocks: Blocks, known: Mapping[Place, bytes]) -> dict[Place, bytes]:
        view = self.view
        return {
            (part, pane, bucket, split): BlockKey(view.dimensions.id, view.id, part, pane, bucket, split, epoch).pack()
            for part, pane, bucket, split, epoch in blocks[[*_PLACE, "epoch"]].tolist()
            if (part, pane, bucket, split) not in known
        }


def _epoch(key: bytes) -> int:
    """The epoch that a block's key ends in."""
    return int.from_bytes(key[-8:], "big")


def _counts(samples: pl.Series) -> Indexes:
    return (samples.fill_null(0) if samples.null_count() else samples).to_numpy()
