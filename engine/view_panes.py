"""One view's panes of one source partition: batches are folded into rows that wait, flushes merge them into blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from engine.blocks import BlockKey, decode_blocks, encode_blocks
from engine.capping import cap_series
from engine.event_time import NEVER
from engine.plan import View
from engine.series import OTHER, Directory, buckets_of

BLOCK_KEYS = ("pane", "bucket")
SERIES_KEYS = ("pane", "bucket", "h")


class ViewPanes:
    """What is folded and durable, or about to be, and what came since the last flush.

    ``directory`` is that of the view's dimensions, shared with other views.
    """

    def __init__(self, view: View, directory: Directory) -> None:
        self.view = view
        self.written: set[tuple[int, int]] = set()  # (pane, bucket) of the blocks in the table
        self._folded = 0
        self._directory = directory
        self._dims = [f"dim.{name}" for name in view.dimensions.names]
        self._rows: pl.DataFrame | None = None
        self._items: dict[str, pl.DataFrame] = {}
        self._pending: list[pl.DataFrame] = []
        self._pending_items: dict[str, list[pl.DataFrame]] = {}
        self._ahead: pl.DataFrame | None = None  # blocks recovered with a stamp above the manifest: BLOCK_KEYS, _stamp

    def fields(self) -> Iterator[str]:
        """The fields that are read, and perhaps other names."""
        yield from self.view.dimensions.names
        for column in self.view.columns:
            for expression in (column.value, column.keep):
                if expression is not None:
                    yield from expression.meta.root_names()

    def hashes(self) -> pl.Series | None:
        """Those of the series that are there; None where there are none."""
        return None if self._rows is None else self._rows["h"]

    # -- recovery

    def restore(self, found: Sequence[tuple[BlockKey, bytes]], offset: int) -> int:
        """Take up blocks from the table. The highest of their stamps above the manifest's ``offset``; 0 if none is."""
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
            if any(name.startswith(f"{column.id}.") for column in self.view.columns)
        ]
        self._rows = decoded.rows.join(at, on="_block").select(*SERIES_KEYS, *known)
        sketches = {column.id for column in self.view.sketches}
        self._items = {
            id_: items.join(at, on="_block").select(*SERIES_KEYS, "item", "k")
            for id_, items in decoded.items.items()
            if id_ in sketches
        }
        self._directory.learn(decoded.dims)
        ahead = at.filter(pl.col("_stamp") > offset)
        if not ahead.height:
            return 0
        self._ahead = ahead.drop("_block")
        return max(map(int, ahead["_stamp"].to_list()))

    def replayed(self) -> None:
        """All that recovered blocks hold was passed over."""
        self._ahead = None

    # -- folding

    def fold(self, frame: pl.DataFrame, *, replaying: bool) -> int:
        """Fold accepted events. How many rows wait more than before."""
        view, dims = self.view, self._dims
        events = frame.with_columns(
            (pl.col("_time") // view.pane_us).alias("pane"),
            *(pl.col(name).alias(dim) for name, dim in zip(view.dimensions.names, dims, strict=True)),
        )
        if replaying and self._ahead is not None:
            events = self._without_folded(events, self._ahead)
            if not events.height:
                return 0
        folds = [
            fold for column in view.columns for fold in column.aggregation.fold(column.id, column.value, column.keep)
        ]
        rows = events.group_by([*dims, "pane"]).agg(*folds, pl.col("_offset").max().alias("_last"))
        self._pending.append(rows)
        count = rows.height
        for column in view.sketches:
            assert column.value is not None  # a sketch is of something
            items = column.aggregation.fold_items(events, [*dims, "pane"], column.value, column.keep)
            self._pending_items.setdefault(column.id, []).append(items)
            count += items.height
        return count

    def _without_folded(self, events: pl.DataFrame, ahead: pl.DataFrame) -> pl.DataFrame:
        """Without the events that a recovered block holds already: below its stamp, for that block only (protocol rule
        2).
        """
        joined = self._placed(events).join(ahead, on=BLOCK_KEYS, how="left", maintain_order="left")
        return joined.filter(pl.col("_offset") >= pl.col("_stamp").fill_null(-1)).drop("_stamp", "h", "bucket")

    def _placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """``frame`` with the series hash ``h`` and ``bucket`` of its dimension columns."""
        if not self._dims:
            return frame.with_columns(pl.lit(0, dtype=pl.UInt64).alias("h"), pl.lit(0, dtype=pl.Int64).alias("bucket"))
        named = frame.select(pl.col(dim).alias(dim.removeprefix("dim.")) for dim in self._dims)
        series = self._directory.hashes(named)
        return frame.with_columns(series.alias("h")).with_columns(
            buckets_of(pl.col("h"), self.view.dimensions.buckets).alias("bucket")
        )

    # -- flushing

    def flush(self) -> list[tuple[int, int, bytes]]:
        """The blocks that were folded into since the last flush: (pane, bucket, bytes)."""
        if not self._pending:
            return []
        view, dims = self.view, self._dims
        merges = [merge for column in view.columns for merge in column.aggregation.merge(column.id)]
        fresh = self._pending[0] if len(self._pending) == 1 else pl.concat(self._pending)
        if len(self._pending) > 1:
            fresh = fresh.group_by([*dims, "pane"]).agg(*merges, pl.col("_last").max())
        fresh = self._placed(fresh)
        touched = fresh.group_by(BLOCK_KEYS).agg(pl.col("_last").max())
        new = fresh.drop([*dims, "_last"])
        known = _of_blocks(self._rows, touched)
        merged = new if known is None else pl.concat([known, new], how="diagonal").group_by(SERIES_KEYS).agg(*merges)
        items = self._merged_items(touched)
        before = merged
        merged, items = cap_series(view.dimensions, view.columns, merged, items, list(SERIES_KEYS), list(BLOCK_KEYS))
        if merged is not before:
            self._folded += int((before["h"] != OTHER).sum()) - int((merged["h"] != OTHER).sum())
        blocks = self._encoded(merged, items, touched)
        self._rows = _replaced(self._rows, touched, merged)
        for column in view.sketches:
            self._items[column.id] = _replaced(self._items.get(column.id), touched, items[column.id])
        self._pending.clear()
        self._pending_items.clear()
        return blocks

    def _merged_items(self, touched: pl.DataFrame) -> dict[str, pl.DataFrame]:
        items: dict[str, pl.DataFrame] = {}
        for column in self.view.sketches:
            parts = [
                self._placed(part).select(*SERIES_KEYS, "item", "k") for part in self._pending_items.get(column.id, [])
            ]
            old = _of_blocks(self._items.get(column.id), touched)
            items[column.id] = column.aggregation.merge_items(
                pl.concat([*([old] if old is not None else []), *parts]), list(SERIES_KEYS)
            )
        return items

    def _encoded(
        self, merged: pl.DataFrame, items: Mapping[str, pl.DataFrame], touched: pl.DataFrame
    ) -> list[tuple[int, int, bytes]]:
        stamps = {(pane, bucket): last + 1 for pane, bucket, last in touched.select(*BLOCK_KEYS, "_last").iter_rows()}
        return encode_blocks(
            merged.sort(SERIES_KEYS),
            {id_: frame.sort([*SERIES_KEYS, "item"]) for id_, frame in items.items()},
            self._directory,
            [column.id for column in self.view.columns],
            stamps,
        )

    def take_folded(self) -> int:
        """How many series went into `OTHER` since the last call, each once for a pane and flush."""
        folded, self._folded = self._folded, 0
        return folded

    def is_final(self, pane: int, floor_us: int) -> bool:
        """Whether no event will be folded into it any more."""
        return (pane + 1) * self.view.pane_us <= floor_us

    def forget(self, floor_us: int) -> list[tuple[int, int]]:
        """Drop the panes that end at or below the floor; what of them is in the table."""
        if floor_us == NEVER:
            return []
        first = floor_us // self.view.pane_us  # panes below end at or before the floor
        if self._rows is not None:
            self._rows = self._rows.filter(pl.col("pane") >= first)
        self._items = {id_: frame.filter(pl.col("pane") >= first) for id_, frame in self._items.items()}
        final = [place for place in self.written if place[0] < first]
        self.written.difference_update(final)
        return final


def _of_blocks(frame: pl.DataFrame | None, touched: pl.DataFrame) -> pl.DataFrame | None:
    if frame is None or not frame.height:
        return None
    known = frame.join(touched, on=BLOCK_KEYS, how="semi")
    return known if known.height else None


def _replaced(frame: pl.DataFrame | None, touched: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    if frame is None or not frame.height:
        return merged
    return pl.concat([frame.join(touched, on=BLOCK_KEYS, how="anti"), merged], how="diagonal")
