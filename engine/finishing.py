"""Rows of values in the form of `engine.values`: of all KPIs over the same dimensions together, where they are few.

A frame costs the same for one row as for a thousand, and most publications have a few rows of many KPIs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from engine.event_time.zones import Times
from engine.keyed_rows import Indexes
from engine.labels import Labels
from engine.pace.judging import Weeks, with_pace
from engine.plan import KpiPlan
from engine.series import Directory, Hashes
from engine.states import state_texts
from engine.targets import with_targets
from engine.values import PACE_COLUMNS, ValueRows

_MANY: Final = 5_000  # rows of a KPI that are better left alone
_INCOMPLETE: Final = "incomplete_history"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Values of one KPI. ``value``, ``reason`` and ``compared`` are texts."""

    h: Hashes
    start_us: Times
    end_us: Times
    value: pl.Series
    reason: pl.Series
    samples: Times
    compared: pl.Series
    progress: Times

    def __len__(self) -> int:
        return len(self.h)

    @classmethod
    def concat(cls, parts: Sequence[Evaluated]) -> Evaluated:
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.h for part in parts]),
            np.concatenate([part.start_us for part in parts]),
            np.concatenate([part.end_us for part in parts]),
            pl.concat([part.value for part in parts], rechunk=True),
            pl.concat([part.reason for part in parts], rechunk=True),
            np.concatenate([part.samples for part in parts]),
            pl.concat([part.compared for part in parts], rechunk=True),
            np.concatenate([part.progress for part in parts]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Unfinished:
    """Values of one KPI with their states and revisions. Times in microseconds; the history begins at ``since_us``."""

    plan: KpiPlan
    directory: Directory
    lateness_us: int
    watermark_us: int
    since_us: int
    rows: Evaluated
    states: Indexes
    revisions: Times
    weeks: Weeks | None = None  # behind the grains of a KPI with pacing

    def __len__(self) -> int:
        return len(self.rows)


def finished(values: Sequence[Unfinished], labels: Labels) -> list[ValueRows]:
    """With labels, the change against the compared window, and targets; in the order given."""
    found: dict[str, ValueRows] = {}
    for together in _together(values):
        frame = _frame(together, labels)
        bounds = np.cumsum([0, *map(len, together)]).tolist()
        for (first, last), one in zip(pairwise(bounds), together, strict=True):
            judged = with_targets(frame[first:last], one.plan.kpi)
            if one.weeks is not None:
                judged = with_pace(judged, one.plan.kpi, one.plan.windows.calendar, one.weeks)
            found[one.plan.kpi.name] = ValueRows(one.plan.facts, judged)
    return [found[one.plan.kpi.name] for one in values]


def _together(values: Sequence[Unfinished]) -> Iterator[list[Unfinished]]:
    few: dict[str, list[Unfinished]] = {}
    for one in values:
        if len(one) > _MANY:
            yield [one]
        else:
            few.setdefault(one.plan.dimensions.id, []).append(one)
    yield from few.values()


def _frame(values: Sequence[Unfinished], labels: Labels) -> pl.DataFrame:
    rows = Evaluated.concat([one.rows for one in values])
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
    empty = {pl.String(): none, pl.Float64(): none.cast(pl.Float64)}

    def of_each(numbers: Sequence[int]) -> Times:
        return np.repeat(np.array(numbers, dtype=np.int64), [len(one) for one in values])

    return pl.DataFrame(
        [
            pl.Series("h", rows.h),
            *labels.of(values[0].plan.dimensions, values[0].directory, rows.h),
            pl.Series("window_start", rows.start_us),
            pl.Series("window_end", rows.end_us),
            state_texts(np.concatenate([one.states for one in values])),
            pl.Series("revision", np.concatenate([one.revisions for one in values])),
            pl.Series("progress", rows.progress),
            rows.value.alias("value"),
            _reason(rows, of_each([one.since_us for one in values])).alias("reason"),
            pl.Series("samples", rows.samples),
            pl.Series("watermark", of_each([one.watermark_us for one in values])),
            *(none.alias(name) for name in ("target", "status", "status_reason")),
            rows.compared.alias("compare_value"),
            _change(rows).alias("compare_change"),
            *(empty[kind].alias(name) for name, kind in PACE_COLUMNS.items()),
            pl.Series("final_after", rows.end_us + of_each([one.lateness_us for one in values])),
        ]
    )


def _reason(rows: Evaluated, since_us: Times) -> pl.Series:
    """Of windows that begin before their history does: that it is incomplete."""
    incomplete = rows.start_us <= since_us
    if not incomplete.any():
        return rows.reason
    return pl.Series([_INCOMPLETE]).new_from_index(0, len(rows)).zip_with(pl.Series(incomplete), rows.reason)


def _change(rows: Evaluated) -> pl.Series:
    """By how much of it the value is above the compared one; null where that is no number."""
    none = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(rows))
    if rows.compared.null_count() == len(rows):
        return none
    ratio = (rows.value.cast(pl.Float64) / rows.compared.cast(pl.Float64) - 1).round(6)
    finite = np.isfinite(ratio.to_numpy())  # a null is not a number there
    return ratio if finite.all() else ratio.zip_with(pl.Series(finite), none)
