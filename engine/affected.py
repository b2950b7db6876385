"""Which windows read panes that changed, worked out once for all KPIs that look at the same panes through the same
windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.catalog.model import Offset
from engine.event_time.windows import Spans, Windows
from engine.event_time.zones import Times
from engine.plan import KpiPlan, longest_us

# The least that one unit of an offset can be, in microseconds: a day of 21 hours, months without them.
_LEAST_US = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 75_600_000_000,
    "w": 7 * 75_600_000_000,
    "month": 27 * 86_400_000_000,
    "quarter": 89 * 86_400_000_000,
    "year": 364 * 86_400_000_000,
}
_DAY_US = 86_400_000_000

Changes = Mapping[str, Sequence[pl.DataFrame]]  # view id -> frames (pane, bucket, h, <column id>: changed)


def least_us(offsets: Sequence[Offset]) -> int:
    """A lower bound of how far back these offsets lead together."""
    return sum(offset.amount * _LEAST_US[offset.unit] for offset in offsets)


def reading(
    windows: Windows, pane_us: int, panes: Times, offsets: Sequence[Offset], after_us: int, upto_us: int
) -> tuple[Spans, Times, Times]:
    """The windows that end in (after, upto] and, moved back by the offsets, read any of the ascending ``panes``.

    Answers the windows, and pairs of positions (in ``panes``, in the windows). Long stretches without panes cost
    nothing.
    """
    least = least_us(offsets)
    # A window of offsets to date may be cut short, a day's clock may be changed: a day more is looked at.
    beyond = windows.max_length_us + (sum(map(longest_us, offsets)) + _DAY_US if offsets else 0)
    starts = panes * pane_us
    breaks = np.flatnonzero(np.diff(starts) > beyond - least)
    runs = [
        windows.closing(max(after_us, first + least), min(upto_us, last + beyond))
        for first, last in zip(
            starts[np.append(0, breaks + 1)].tolist(), starts[np.append(breaks, -1)].tolist(), strict=True
        )
    ]
    spans = Spans(
        np.concatenate([run.start_us for run in runs]),
        np.concatenate([run.end_us for run in runs]),
        np.concatenate([run.publish_us for run in runs]),
    )
    at = spans
    for offset in offsets:
        at = windows.shifted(at, offset)
    first = np.searchsorted(spans.end_us, starts + least, side="right")
    count = np.searchsorted(spans.end_us, starts + beyond, side="right") - first
    pane = np.repeat(np.arange(len(panes)), count)
    window = np.arange(len(pane)) - np.repeat(np.cumsum(count) - count - first, count)
    hit = (at.start_us[window] < starts[pane] + pane_us) & (starts[pane] < at.end_us[window])
    return spans, pane[hit], window[hit]


@dataclass(frozen=True, slots=True)
class Affected:
    """Windows, and the series in them that changed: ``keys`` has w, bucket, h and a flag for each part and column.

    ``series`` (bucket, h), sorted, are all of them. A flag is named by `flag`.
    """

    spans: Spans
    keys: pl.DataFrame
    series: pl.DataFrame


def flag(part: int, column: str) -> str:
    """Name of the flag that tells whether this column changed in the part's panes; parts are numbered as
    `KpiPlan.parts`.
    """
    return f"{part}.{column}"


@dataclass(slots=True)
class AffectedWindows:
    """What was worked out since the last `forget`. ``labels``: how series are shown, by dimension set and hashes."""

    labels: dict[tuple[str, bytes], pl.DataFrame] = field(default_factory=dict)
    _known: dict[object, tuple[Affected | None, Changes]] = field(default_factory=dict)
    _together: dict[tuple[int, ...], tuple[pl.DataFrame | None, Times, object]] = field(default_factory=dict)

    def forget(self) -> None:
        self._known.clear()
        self.labels.clear()
        self._together.clear()

    def of(self, plan: KpiPlan, changes: Changes, after_us: int, upto_us: int) -> Affected | None:
        """The windows of a KPI that end in (after, upto] and read any changed pane, also as a compared window."""
        parts, compare = plan.parts, plan.kpi.compare
        frames = tuple(tuple(map(id, changes.get(view, ()))) for view, _ in parts)
        asked = (plan.kpi.window, plan.kpi.calendar, compare, tuple(parts), frames, after_us, upto_us)
        if asked not in self._known:
            # The frames are kept with the answer: while they are, their ids are theirs alone.
            self._known[asked] = (
                self._work_out(plan, changes, after_us, upto_us),
                {k: list(v) for k, v in changes.items()},
            )
        return self._known[asked][0]

    def _merged(self, frames: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame | None, Times]:
        """The changes together, and their panes, ascending."""
        asked = tuple(map(id, frames))
        if asked not in self._together:
            changed = together(frames)
            panes = np.empty(0, dtype=np.int64) if changed is None else np.unique(changed["pane"].to_numpy())
            self._together[asked] = changed, panes, list(frames)
        return self._together[asked][:2]

    def _work_out(self, plan: KpiPlan, changes: Changes, after_us: int, upto_us: int) -> Affected | None:
        pane_us = {term.view.id: term.view.pane_us for term in plan.terms}
        found: list[tuple[pl.DataFrame, Times, Spans]] = []
        for number, (view, offset) in enumerate(plan.parts):
            changed, panes = self._merged(changes.get(view, ()))
            if changed is None:
                continue
            for shift in {None, plan.kpi.compare}:
                offsets = [one for one in (offset, shift) if one is not None]
                if int(panes[0] + 1) * pane_us[view] + least_us(offsets) > upto_us:
                    continue  # every window that reads a pane ends at or after it
                spans, pane, window = reading(plan.windows, pane_us[view], panes, offsets, after_us, upto_us)
                if len(window):
                    flags = [
                        pl.col(name).alias(flag(number, name))
                        for name in changed.columns
                        if name not in ("pane", "bucket", "h")
                    ]
                    if len(window) == 1 and len(panes) == 1:
                        end = pl.lit(int(spans.end_us[window[0]]), dtype=pl.Int64).alias("end")
                        frame = changed.select(end, "bucket", "h", *flags)
                    else:
                        pairs = pl.DataFrame({"pane": panes[pane], "end": spans.end_us[window]})
                        frame = changed.join(pairs, on="pane").select("end", "bucket", "h", *flags)
                    found.append((frame, np.unique(spans.end_us[window]), spans))
        if not found:
            return None
        ends = np.unique(np.concatenate([of for _, of, _ in found]))
        keys = found[0][0] if len(found) == 1 else pl.concat([frame for frame, _, _ in found], how="diagonal")
        if len(found) > 1 or len(ends) < keys.height:
            keys = keys.group_by("end", "bucket", "h").agg(pl.all().any())
        at = pl.Series("w", np.searchsorted(ends, keys["end"].to_numpy()).astype(np.int64))
        keys = keys.drop("end").insert_column(0, at).sort("w", "bucket", "h")
        return Affected(plan.windows.ending_at(ends), keys, keys.select("bucket", "h").unique().sort("bucket", "h"))


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame | None:
    """Changes as one frame, each series of a pane once; None where there are none."""
    if not frames:
        return None
    if len(frames) == 1:
        return frames[0] if frames[0].height else None
    merged = pl.concat(frames).group_by("pane", "bucket", "h").agg(pl.all().any())
    return merged if merged.height else None
