"""Windows merged out of panes. All KPIs that look at a view say first what they will read, so that it is merged in one
go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from engine.asked_windows import KEYS, Ask, AskedWindows, AskKey, Merged, Scope
from engine.capping import cap_series
from engine.event_time.rollups import cover
from engine.event_time.zones import Times
from engine.keyed_rows import Keys, Mask, put_together, sorted_by, stretches
from engine.levels import Level, Sums, in_order, narrowed
from engine.plan import Column, View
from engine.segments import Segments
from engine.series import OTHER

_ITEMS: Final = {"w": pl.Int64(), "bucket": pl.Int64(), "h": pl.UInt64(), "item": pl.Int64(), "k": pl.Int64()}
_ROWS_AT_ONCE: Final = 4_000_000
_ROWS_TOGETHER: Final = 300_000  # beyond, KPIs are merged apart: each has columns of its own
_ROWS_STANDING: Final = 300_000  # beyond, what stands still is not kept merged
_FEW_READERS: Final = 4  # of a segment that changes all the time: its panes are read one by one


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """Open windows, and those they are compared with, merged for all series, but for the segments where events come.

    ``whole`` are those that read none of these segments, ``moving`` the others.
    """

    asked: tuple[AskKey, ...]
    without: frozenset[int]
    whole: Mapping[AskKey, Merged]
    moving: AskedWindows | None
    merged: Merged | None


@dataclass(slots=True)
class MergedWindows:
    """The windows of one view in one partition of partials that were asked for since the last publication."""

    view: View
    segments: Segments
    _asked: dict[Scope, dict[AskKey, Ask]] = field(default_factory=dict)
    _series: dict[Scope, list[Keys]] = field(default_factory=dict)
    _found: dict[tuple[Scope, AskKey], Merged] = field(default_factory=dict)
    _standing: _Standing | None = None
    _asked_before: tuple[AskKey, ...] = ()  # of open windows
    _moved: set[int] = field(default_factory=set)  # segments that changed since the last publication

    # -- what is asked -------------------------------------------------------------------------------------------------

    def ask(self, ask: Ask, scope: Scope, series: Keys | None = None) -> None:
        """Say that `of` will be called. ``series`` (bucket, h) are those that it must hold at least; None: all."""
        self._asked.setdefault(scope, {})[ask.key] = ask
        if series is not None:
            self._series.setdefault(scope, []).append(series)

    def of(self, ask: Ask, scope: Scope) -> Merged:
        """``w`` is the window's position. KPIs over the same windows get the same answer."""
        key = ask.key
        if (scope, key) not in self._found:
            self._asked.setdefault(scope, {})[key] = ask
            self._merge_scope(scope)
        return self._found[scope, key]

    def let_go(self, ask: Ask, scope: Scope) -> None:
        """Whoever asks for it once more in this publication has it merged anew."""
        self._found.pop((scope, ask.key), None)

    def merge_asked(self) -> None:
        for scope in list(self._asked):
            self._merge_scope(scope)

    def moved(self, segment: int) -> None:
        """A segment changed."""
        self._moved.add(segment)

    def forget(self) -> None:
        """Merge anew what is asked for from here on: panes may have changed."""
        for kept in (self._asked, self._series, self._found):
            kept.clear()

    def dropped(self) -> None:
        """Panes are gone."""
        self._standing = None

    # -- merging -------------------------------------------------------------------------------------------------------

    def _merge_scope(self, scope: Scope) -> None:
        asks = [ask for key, ask in self._asked.pop(scope).items() if (scope, key) not in self._found]
        series = None if scope == "all" else put_together(self._series[scope]).sorted_once()[0]
        if series is None and self._estimate(sum(len(ask.starts_us) for ask in asks)) > _ROWS_TOGETHER:
            groups = [[ask] for ask in asks]
        else:
            groups = [asks] if asks else []
        for group in groups:
            self._merge_group(group, scope, series)

    def _estimate(self, windows: int) -> int:
        """About how many rows so many windows are merged out of."""
        size = self.segments.size
        held = sum(segment.rows.height for segment in self.segments.values())
        return max(1, held // max(1, len(self.segments)) // size) * 3 * size * windows

    def _merge_group(self, asks: Sequence[Ask], scope: Scope, series: Keys | None) -> None:
        """The windows of several asks as one, then apart again."""
        standing = self._standing_for(asks) if scope == "open" else None
        if standing is None:
            windows = AskedWindows.of(asks, self.view.pane_us)
            merged = self._in_parts(windows) if series is None else self._merge(windows, series, None)
            found = dict(windows.apart(merged))
        else:
            found = dict(standing.whole)
            if standing.moving is not None:
                found.update(
                    standing.moving.apart(self._merge(standing.moving, series, standing.merged, only=standing.without))
                )
        self._found.update({(scope, key): merged for key, merged in found.items()})

    def _in_parts(self, windows: AskedWindows) -> Merged:
        """All series, of some windows at a time."""
        step = max(1, _ROWS_AT_ONCE // self._estimate(1))
        parts = [
            self._merge(windows.part(slice(first, first + step)), None, None)
            for first in range(0, max(1, len(windows.numbers)), step)
        ]
        if len(parts) == 1:
            return parts[0]
        return Merged(
            pl.concat([part.rows for part in parts]),
            {id_: pl.concat([part.items[id_] for part in parts]) for id_ in parts[0].items},
            Sums(
                put_together([part.progress.keys for part in parts]),
                np.concatenate([part.progress.stamps for part in parts]),
            ),
            np.concatenate([part.folded for part in parts]),
        )

    def _standing_for(self, asks: Sequence[Ask]) -> _Standing | None:
        """What of these windows stands still, where the same were asked for before."""
        asked = tuple(ask.key for ask in asks)
        known, moved = self._standing, frozenset(self._moved)
        self._moved.clear()
        again, self._asked_before = asked == self._asked_before, asked
        if known is not None and known.asked == asked:
            if moved <= known.without:
                return known
            moved |= known.without
        self._standing = None
        if again and self._estimate(sum(len(ask.starts_us) for ask in asks)) <= _ROWS_STANDING:
            self._standing = self._stand(asks, asked, moved | {max(self.segments, default=0)})
        return self._standing

    def _stand(self, asks: Sequence[Ask], asked: tuple[AskKey, ...], without: frozenset[int]) -> _Standing:
        span = self.segments.size * self.view.pane_us
        starts = np.array(sorted(without), dtype=np.int64)[:, None] * span
        by_motion: dict[bool, list[Ask]] = {}
        for ask in asks:
            moves = bool(((ask.starts_us < starts + span) & (starts < ask.ends_us)).any())
            by_motion.setdefault(moves, []).append(ask)
        still, moving = (
            AskedWindows.of(by_motion[moves], self.view.pane_us) if moves in by_motion else None
            for moves in (False, True)
        )
        return _Standing(
            asked,
            without,
            {} if still is None else dict(still.apart(self._merge(still, None, None))),
            moving,
            None if moving is None else self._merge(moving, None, None, without=without),
        )

    def _merge(
        self,
        windows: AskedWindows,
        series: Keys | None,
        standing: Merged | None,
        *,
        without: frozenset[int] = frozenset(),
        only: frozenset[int] | None = None,
    ) -> Merged:
        """Of all segments but those ``without``, or of what stands still and these ``only``."""
        states = {
            f"{column.id}.{suffix}": dtype
            for column in windows.columns
            for suffix, dtype in column.aggregation.state.items()
        }
        sketches = [column for column in windows.columns if column.aggregation.items is not None]
        rows: list[pl.DataFrame] = []
        items: dict[str, list[pl.DataFrame]] = {column.id: [] for column in sketches}
        sums: list[tuple[Keys, Times]] = []
        reading: list[Times] = []  # the window of each place that is read
        if standing is not None:
            rows.append(narrowed(standing.rows, series))
            for id_, found in items.items():
                found.append(narrowed(standing.items[id_], series))
            sums.append((standing.progress.keys, standing.progress.stamps))
        for w, at, level in self._levels(windows, without, only):
            reading.append(w)
            rows.append(level.read(w, at, states, series))
            sums.append(level.read_stamps(w, at))
            for column in sketches:
                of = np.isin(w, windows.wanted[column.id])
                read = level.read_items(column.id, w[of], at[of], series)
                if read is not None:
                    items[column.id].append(read)
        once = standing is None and _distinct(reading)
        merged = self._merged_rows(rows, states, windows.columns, once=once)
        sketched = {
            column.id: in_order(self._merged_items(items[column.id], column, once=once), "w") for column in sketches
        }
        folded = np.zeros(len(windows.numbers), dtype=np.int64)
        if series is None:
            capped, sketched = cap_series(
                self.view.dimensions, windows.columns, merged, sketched, list(KEYS), ["w", "bucket"]
            )
            if capped is not merged:
                folded = _shown(merged, windows) - _shown(capped, windows)
                merged = sorted_by(capped, KEYS)
                sketched = {id_: in_order(frame, "w") for id_, frame in sketched.items()}
        return Merged(merged, sketched, _added_up(sums), folded)

    def _merged_rows(
        self, parts: Sequence[pl.DataFrame], states: Mapping[str, pl.DataType], columns: Sequence[Column], *, once: bool
    ) -> pl.DataFrame:
        """Rows of the same window and series merged into one, in order. ``once``: there are no two of the same."""
        parts = [part for part in parts if part.height]
        if not parts or any(name not in parts[0].columns for name in states):
            empty = pl.DataFrame(schema={"w": pl.Int64(), "bucket": pl.Int64(), "h": pl.UInt64(), **states})
            parts = [empty, *parts]
        rows = pl.concat(parts, how="diagonal") if len(parts) > 1 else parts[0]
        if not once or any(column.null_count() for column in rows.get_columns()):
            rows = rows.group_by(KEYS).agg(*self._merges(columns))
        return sorted_by(rows, KEYS)

    def _merged_items(self, parts: Sequence[pl.DataFrame], column: Column, *, once: bool) -> pl.DataFrame:
        parts = [part for part in parts if part.height]
        if not parts:
            return pl.DataFrame(schema=_ITEMS)
        items = pl.concat(parts, how="diagonal") if len(parts) > 1 else parts[0]
        return items if once else column.aggregation.merge_items(items, list(KEYS))

    def _merges(self, columns: Sequence[Column]) -> list[pl.Expr]:
        return [merge for column in columns for merge in column.aggregation.merge(column.id)]

    def _levels(
        self, windows: AskedWindows, without: frozenset[int], only: frozenset[int] | None
    ) -> Iterator[tuple[Times, Times, Level]]:
        """The panes and whole segments that make the windows up: pairs of a window and a place, in order of windows,
        and where the places are.
        """
        size = self.segments.size
        numbers = (self.segments.keys() & only) if only is not None else (self.segments.keys() - without)
        have = np.array(sorted(numbers), dtype=np.int64)
        found = cover(windows.starts, windows.ends, (size,) if size > 1 else ())
        w, whole = windows.numbers[found.window], found.level == 1
        segment = np.where(whole, found.coarse, found.coarse // size)
        held = np.isin(segment, have)
        w, whole, segment, at = w[held], whole[held], segment[held], found.coarse[held]
        by_pane = whole & self._read_by_pane(segment, whole, only is not None)
        if by_pane.any():
            pane, pair = stretches(at[by_pane] * size, np.full(int(by_pane.sum()), size, dtype=np.int64))
            rest = ~by_pane
            w = np.concatenate((w[rest], w[by_pane][pair]))
            segment = np.concatenate((segment[rest], segment[by_pane][pair]))
            at, whole = np.concatenate((at[rest], pane)), np.concatenate((whole[rest], np.zeros(len(pane), np.bool_)))
        for of, levels_of in ((~whole, self.segments.fine), (whole, self.segments.coarse)):
            if of.any():
                yield w[of], at[of], levels_of(np.unique(segment[of]).tolist())

    def _read_by_pane(self, segment: Times, whole: Mask, changing: bool) -> Mask:
        """Segments are not merged as a whole for a few windows only, and not anew after every event."""
        numbers, readers = np.unique(segment[whole], return_counts=True)
        apart = [
            number
            for number, count in zip(numbers.tolist(), readers.tolist(), strict=True)
            if self.segments[number].coarse is None and (changing or count <= _FEW_READERS)
        ]
        return np.isin(segment, apart)


def _added_up(sums: Sequence[tuple[Keys, Times]]) -> Sums:
    if not sums:
        none = np.empty(0, dtype=np.int64)
        return Sums(Keys(none, none), none)
    return Sums.of(put_together([keys for keys, _ in sums]), np.concatenate([stamps for _, stamps in sums]))


def _shown(rows: pl.DataFrame, windows: AskedWindows) -> Times:
    """How many series of their own each window has."""
    w = rows["w"].filter(rows["h"] != OTHER).to_numpy() - windows.numbers[0]
    return np.bincount(w, minlength=len(windows.numbers))


def _distinct(windows: Sequence[Times]) -> bool:
    together = np.concatenate(windows) if windows else np.empty(0, dtype=np.int64)
    return len(np.unique(together)) == len(together)
