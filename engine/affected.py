"""Which windows read panes that changed, worked out once for all KPIs that look at the same panes through the same
windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.catalog.model import Offset
from engine.changes import Changed, any_of, together
from engine.event_time.windows import Spans, Windows
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Keys, Mask, put_together, stretches
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
_READ_KEPT = 256

Changes = Mapping[str, Sequence[Changed]]  # by view id
Flag = tuple[int, str]  # the number of a part in `KpiPlan.parts`, and a column's id


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
    window, pane = stretches(first, count)
    hit = (at.start_us[window] < starts[pane] + pane_us) & (starts[pane] < at.end_us[window])
    return spans, pane[hit], window[hit]


@dataclass(frozen=True, slots=True, eq=False)
class Affected:
    """Windows, and the series in them that changed: ``keys`` (w, bucket, h) in order, ``flags`` which columns of which
    part did. ``series`` (bucket, h), in order, are all of them.
    """

    spans: Spans
    keys: Keys
    flags: Mapping[Flag, Mask]
    series: Keys


@dataclass(slots=True)
class AffectedWindows:
    """What was worked out since the last `forget`, and which windows read which panes: mostly the same as before."""

    _known: dict[object, tuple[Affected | None, Changes]] = field(default_factory=dict)
    _together: dict[tuple[int, ...], tuple[Changed | None, Times, object]] = field(default_factory=dict)
    _read: dict[object, tuple[Spans, Times, Times]] = field(default_factory=dict)  # kept for longer

    def forget(self) -> None:
        self._known.clear()
        self._together.clear()

    def of(self, plan: KpiPlan, changes: Changes, after_us: int, upto_us: int) -> Affected | None:
        """The windows of a KPI that end in (after, upto] and read any changed pane, also as a compared window."""
        parts, compare = plan.parts, plan.kpi.compare
        frames = tuple(tuple(map(id, changes.get(view, ()))) for view, _ in parts)
        asked = (plan.kpi.window, plan.kpi.calendar, compare, parts, frames, after_us, upto_us)
        if asked not in self._known:
            # The changes are kept with the answer: while they are, their ids are theirs alone.
            self._known[asked] = (
                self._work_out(plan, changes, after_us, upto_us),
                {k: list(v) for k, v in changes.items()},
            )
        return self._known[asked][0]

    def _merged(self, changes: Sequence[Changed]) -> tuple[Changed | None, Times]:
        """The changes together, and their panes, ascending."""
        asked = tuple(map(id, changes))
        if asked not in self._together:
            changed = together(changes)
            panes = np.empty(0, dtype=np.int64) if changed is None else np.unique(changed.keys.columns[0])
            self._together[asked] = changed, panes, list(changes)
        return self._together[asked][:2]

    def _reading(
        self, plan: KpiPlan, pane_us: int, panes: Times, offsets: Sequence[Offset], after_us: int, upto_us: int
    ) -> tuple[Spans, Times, Times]:
        asked = (plan.kpi.window, plan.kpi.calendar, tuple(offsets), pane_us, panes.tobytes(), after_us, upto_us)
        if asked not in self._read:
            if len(self._read) >= _READ_KEPT:
                self._read.clear()
            self._read[asked] = reading(plan.windows, pane_us, panes, offsets, after_us, upto_us)
        return self._read[asked]

    def _work_out(self, plan: KpiPlan, changes: Changes, after_us: int, upto_us: int) -> Affected | None:
        pane_us = {term.view.id: term.view.pane_us for term in plan.terms}
        found: list[tuple[int, Changed, Indexes, Times]] = []  # part, changes, positions of those, ends of windows
        for number, (view, offset) in enumerate(plan.parts):
            changed, panes = self._merged(changes.get(view, ()))
            if changed is None:
                continue
            for shift in {None, plan.kpi.compare}:
                offsets = [one for one in (offset, shift) if one is not None]
                if int(panes[0] + 1) * pane_us[view] + least_us(offsets) > upto_us:
                    continue  # every window that reads a pane ends at or after it
                spans, pane, window = self._reading(plan, pane_us[view], panes, offsets, after_us, upto_us)
                if len(window):
                    first = np.searchsorted(changed.keys.columns[0], panes[pane])
                    count = np.searchsorted(changed.keys.columns[0], panes[pane], side="right") - first
                    at, pair = stretches(first, count)
                    found.append((number, changed, at, spans.end_us[window[pair]]))
        if not found:
            return None
        ends = np.unique(np.concatenate([of for _, _, _, of in found]))
        parts = []
        for _, changed, at, of in found:
            _, bucket, h = changed.keys.columns
            parts.append(Keys(np.searchsorted(ends, of), bucket[at], h[at]))
        keys, row = put_together(parts).sorted_once()
        flags: dict[Flag, Mask] = {}
        first_row = 0
        for number, changed, at, _ in found:
            mine = row[first_row : first_row + len(at)]
            first_row += len(at)
            for id_, flag in changed.flags.items():
                here = any_of(flag[at], mine, len(keys))
                flags[number, id_] = flags[number, id_] | here if (number, id_) in flags else here
        series = Keys(*keys.columns[1:]).sorted_once()[0]
        return Affected(plan.windows.ending_at(ends), keys, flags, series)
