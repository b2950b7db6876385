"""Where a view's panes lie: segments of R neighbouring panes, R about the square root of the longest window's panes.

A segment keeps the merge of its panes beside them, so a window of n panes is merged out of at most about 3 sqrt(n)
parts: a rolling 30-day window over hourly panes touches some 80 frames' worth of rows, not 720. Both merges, of each
pane over the source partitions and of the segment over its panes, are derived, never the only copy (protocol rule 10).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.keyed_rows import Keys, Mask, filtered
from engine.levels import Level, Rolling, Sums
from engine.plan import View

# A block that is in: what its rows are numbered by, where it belongs, and what it stands for.
BLOCK: Final = np.dtype(
    [
        ("number", "<i8"),
        ("part", "<i8"),
        ("pane", "<i8"),
        ("bucket", "<i8"),
        ("split", "<i8"),
        ("stamp", "<i8"),
        ("epoch", "<u8"),
    ]
)
Blocks = npt.NDArray[np.void]
_SMALL: Final = 10_000  # rows that are copied rather than left in chunks
_CHUNKS: Final = 8
SEALED: Final = -1  # the number of rows that stand for all partitions


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """Rows (number, pane, bucket, h, states) and items by column id (number, pane, bucket, h, item, k) of blocks."""

    rows: pl.DataFrame
    items: Mapping[str, pl.DataFrame]
    blocks: Blocks

    def apart(self, size: int) -> Iterator[tuple[int, Content]]:
        """By segment of ``size`` panes, in order."""
        segments = self.blocks["pane"] // size
        numbers = np.unique(segments)
        if len(numbers) == 1:
            yield int(numbers[0]), self
            return
        rows, items = _by_segment(self.rows, size), {id_: _by_segment(f, size) for id_, f in self.items.items()}
        for number in numbers.tolist():
            yield (
                number,
                Content(
                    rows.get(number, self.rows.clear()),
                    {id_: of.get(number, self.items[id_].clear()) for id_, of in items.items()},
                    self.blocks[segments == number],
                ),
            )


def _by_segment(frame: pl.DataFrame, size: int) -> dict[int, pl.DataFrame]:
    parts = frame.with_columns((pl.col("pane") // size).alias("_segment")).partition_by(
        "_segment", as_dict=True, include_key=False
    )
    return {int(number): part for (number,), part in parts.items()}


@dataclass(slots=True)
class Segment:
    """R neighbouring panes: what their blocks hold, and its merges, made when asked for."""

    rows: pl.DataFrame
    items: dict[str, pl.DataFrame]
    blocks: Blocks
    fine: Level | None = None
    coarse: Level | None = None
    stale: set[int] = field(default_factory=set)  # panes that changed since ``fine`` was made
    sealed: bool = False

    def replace(self, former: npt.NDArray[np.int64], new: Content) -> pl.DataFrame | None:
        """Put new blocks in, those with former numbers out. Answers the rows that went."""
        gone = None
        out = _among(self.rows["number"], former)
        if out.any():
            gone, self.rows = filtered(self.rows, out), filtered(self.rows, ~out)
            self.items = {id_: filtered(frame, ~_among(frame["number"], former)) for id_, frame in self.items.items()}
            self.blocks = self.blocks[~np.isin(self.blocks["number"], former)]
        self.rows = _stacked(self.rows, new.rows)
        self.items |= {
            id_: _stacked(self.items[id_], frame) if id_ in self.items else frame for id_, frame in new.items.items()
        }
        self.blocks = np.concatenate((self.blocks, new.blocks))
        self.coarse = None
        self.stale.update(new.blocks["pane"].tolist())
        return gone

    @property
    def unrolled(self) -> bool:
        return self.fine is None or bool(self.stale)

    def to_roll(self) -> Content:
        """What is not in ``fine`` yet: all of the panes that changed since."""
        if self.fine is None:
            return Content(self.rows, self.items, self.blocks)
        stale = self._stale()
        return Content(
            filtered(self.rows, _among(self.rows["pane"], stale)),
            {id_: filtered(frame, _among(frame["pane"], stale)) for id_, frame in self.items.items()},
            self.blocks[np.isin(self.blocks["pane"], stale)],
        )

    def renew(self, rolled: Level) -> None:
        """Take what became of `to_roll` into ``fine``."""
        if self.fine is not None:
            stale = self._stale()
            lasting = Level(
                filtered(self.fine.rows, ~_among(self.fine.rows["at"], stale)),
                {id_: filtered(frame, ~_among(frame["at"], stale)) for id_, frame in self.fine.items.items()},
                self.fine.stamps.take(~np.isin(self.fine.stamps.keys.columns[0], stale)),
            )
            rolled = lasting.joined_by(rolled)
        self.fine = rolled
        self.stale.clear()

    def _stale(self) -> npt.NDArray[np.int64]:
        return np.array(sorted(self.stale), dtype=np.int64)

    def seal(self) -> None:
        """Keep one row for each series of a pane, of all source partitions together. ``fine`` is up to date."""
        assert self.fine is not None
        self.rows = _sealed(self.fine.rows)
        self.items = {id_: _sealed(frame) for id_, frame in self.fine.items.items()}
        self.sealed = True

    def drop_below(self, pane: int) -> None:
        self.rows = filtered(self.rows, self.rows["pane"].to_numpy() >= pane)
        self.items = {id_: filtered(frame, frame["pane"].to_numpy() >= pane) for id_, frame in self.items.items()}
        self.blocks = self.blocks[self.blocks["pane"] >= pane]
        self.fine = self.coarse = None
        self.stale.clear()


class Segments(dict[int, Segment]):
    """All segments of a view by their number."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.size: Final = max(1, round(math.sqrt(min(view.retain_us // view.pane_us, 40_000))))
        self._rolling = Rolling(view.columns)

    def fine(self, numbers: Sequence[int]) -> Level:
        """The panes of these segments, given in order: ``at`` is the pane."""
        todo = [number for number in numbers if self[number].unrolled]
        if todo:
            content = _together([self[number].to_roll() for number in todo])
            pane, bucket = content.blocks["pane"], content.blocks["bucket"]
            rolled = self._rolling.rolled(
                _placed(content.rows),
                {id_: _placed(frame) for id_, frame in content.items.items()},
                Sums.of(Keys(pane, bucket), content.blocks["stamp"]),
                blocks=len(content.blocks),
            )
            for number, level in rolled.cut(todo, self.size).items():
                self[number].renew(level)
        return Level.concat([fine for number in numbers if (fine := self[number].fine) is not None])

    def coarse(self, numbers: Sequence[int]) -> Level:
        """These segments, given in order, each as a whole: ``at`` is the segment's number."""
        todo = [number for number in numbers if self[number].coarse is None]
        if todo:
            fine = self.fine(todo)
            at, bucket = fine.stamps.keys.columns
            rolled = self._rolling.rolled(
                _whole(fine.rows, self.size),
                {id_: _whole(frame, self.size) for id_, frame in fine.items.items()},
                Sums.of(Keys(at // self.size, bucket), fine.stamps.stamps),
                blocks=len(at),
            )
            for number, level in rolled.cut(todo, 1).items():
                self[number].coarse = level
        return Level.concat([coarse for number in numbers if (coarse := self[number].coarse) is not None])

    def seal(self, number: int) -> None:
        self.fine([number])
        self[number].seal()


def _together(parts: Sequence[Content]) -> Content:
    if len(parts) == 1:
        return parts[0]
    ids = {id_ for part in parts for id_ in part.items}
    return Content(
        pl.concat([part.rows for part in parts], how="diagonal"),
        {id_: pl.concat([part.items[id_] for part in parts if id_ in part.items], how="diagonal") for id_ in ids},
        np.concatenate([part.blocks for part in parts]),
    )


def _among(values: pl.Series, wanted: npt.NDArray[np.int64]) -> Mask:
    column = values.to_numpy()
    if len(wanted) == 1:
        one: Mask = column == wanted[0]
        return one
    return np.isin(column, wanted)


def _stacked(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    if not first.height:
        return second
    # Many publications must not leave many chunks.
    return pl.concat([first, second], how="diagonal", rechunk=first.height < _SMALL or first.n_chunks() > _CHUNKS)


def _placed(frame: pl.DataFrame) -> pl.DataFrame:
    """By place instead of by block: ``at`` is the pane."""
    kept = [column for column in frame.get_columns() if column.name not in ("number", "pane")]
    return pl.DataFrame([frame["pane"].alias("at"), *kept])


def _whole(frame: pl.DataFrame, size: int) -> pl.DataFrame:
    return frame.clone().replace_column(0, pl.Series("at", frame["at"].to_numpy() // size))


def _sealed(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of ``fine`` as those of a block that stands for all partitions."""
    number = pl.Series("number", np.full(frame.height, SEALED, dtype=np.int64))
    return pl.DataFrame([number, frame["at"].alias("pane"), *frame.get_columns()[1:]])
