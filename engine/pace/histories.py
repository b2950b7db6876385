"""The weeks behind a grain, read out of the panes once for each grain.

History ends at the last local midnight before which no event can count any more when the grain begins: so it is the
same whenever it is read, by whichever owner, and after a crash. Days are kept as they were read, since the next grain
looks at most of them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from engine.event_time import NEVER
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.kpis import KpiEvaluator
from engine.pace.judging import Weeks, is_paced
from engine.pace.profiles import HISTORY_DAYS, DayKinds, History, Profiles, fitted, slots_of
from engine.pace.shares import Floats
from engine.pane_store import PaneStore
from engine.plan import Column, KpiPlan
from engine.series import OTHER, Hashes

_DAYS_AT_ONCE: Final = 7
_GRAINS_KEPT: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Day:
    """What series took in the hours of one day."""

    h: Hashes
    start_us: Times
    value: Floats


@dataclass(slots=True)
class PaceHistory:
    """Of one KPI with pacing, in one partition of partials. ``settled_us``: how far behind the watermark nothing can
    change any more.
    """

    plan: KpiPlan
    evaluator: KpiEvaluator
    kinds: DayKinds
    settled_us: int
    hourly: bool
    _days: dict[int, _Day] = field(default_factory=dict)
    _known: dict[tuple[int, int], Profiles] = field(default_factory=dict)  # by grain, and the first day that is whole

    @classmethod
    def of(cls, plan: KpiPlan, stores: Mapping[str, PaneStore]) -> PaceHistory | None:
        """None for a KPI without pacing. It merges its own columns only, and nothing that is compared."""
        if not is_paced(plan.kpi):
            return None
        columns: dict[str, list[Column]] = {}
        for term in plan.terms:
            mine = columns.setdefault(term.view.id, [])
            if all(term.column.id != column.id for column in mine):
                mine.append(term.column)
        hourly = any(objective.pacing == "seasonal" for objective in plan.kpi.objectives)
        evaluator = KpiEvaluator(plan, stores, columns)
        return cls(plan, evaluator, DayKinds(plan.holidays), plan.settled_us, hourly)

    def weeks(self, starts_us: Iterable[int], since_us: int) -> Weeks:
        """The profiles of these grains. Before ``since_us`` history is missing."""
        found = {start: self._profiles(start, since_us) for start in starts_us}
        return Weeks(self.kinds, found)

    def _profiles(self, start_us: int, since_us: int) -> Profiles:
        calendar = self.plan.windows.calendar
        last = int(calendar.days_of(np.array([start_us - self.settled_us], dtype=np.int64))[0])
        days = np.arange(last - HISTORY_DAYS, last, dtype=np.int64)
        # What is gone before the first of them is not missed.
        first = 0 if since_us == NEVER else int(np.searchsorted(calendar.day_starts(days), since_us, side="right"))
        key = start_us, first
        if key not in self._known:
            while len(self._known) >= _GRAINS_KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = self._fitted(days, first)
        return self._known[key]

    def _fitted(self, days: Times, first: int) -> Profiles:
        calendar = self.plan.windows.calendar
        self._read([day for day in days.tolist() if day not in self._days])
        for day in [day for day in self._days if day < days[0] - HISTORY_DAYS]:
            del self._days[day]
        slots = slots_of(calendar, self.kinds, days, hourly=self.hourly)
        held = [self._days[day] for day in days.tolist()]
        h, series = np.unique(np.concatenate([day.h for day in held]), return_inverse=True)
        slot = np.searchsorted(slots.start_us, np.concatenate([day.start_us for day in held]))
        value = np.concatenate([day.value for day in held])
        return fitted(History(days, self.kinds.of(days), slots, h, series, slot, value, first))

    def _read(self, days: list[int]) -> None:
        calendar, evaluator = self.plan.windows.calendar, self.evaluator
        for first in range(0, len(days), _DAYS_AT_ONCE):
            part = np.array(days[first : first + _DAYS_AT_ONCE], dtype=np.int64)
            slots = slots_of(calendar, self.kinds, part, hourly=self.hourly)
            reads = evaluator.reads(Spans(slots.start_us, slots.end_us, slots.start_us), compared=False)
            gathered = evaluator.gather(reads, "all")
            keys = evaluator.keys(gathered)
            rows = evaluator.values(keys, gathered, int(slots.end_us[-1]))
            evaluator.let_go(reads, "all")
            value = rows.value.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
            kept = np.isfinite(value) & (rows.h != np.uint64(OTHER))
            of = slots.day[np.searchsorted(slots.start_us, rows.start_us)]
            for place, day in enumerate(part.tolist()):
                mine = kept & (of == place)
                self._days[day] = _Day(rows.h[mine], rows.start_us[mine], value[mine])
