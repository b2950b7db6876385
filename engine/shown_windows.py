"""Which windows of a KPI are due, and which of their series: those that open, close or change (protocol rule 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.affected import Affected, AffectedWindows
from engine.asked_windows import Scope
from engine.changes import Changed
from engine.event_time import NEVER
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Keys, put_together
from engine.kpis import Gathered, KpiEvaluator, Reads
from engine.pane_store import PaneStore
from engine.plan import KpiPlan
from engine.series import OTHER


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """Every series of windows that close or open, and those of the window before that have nothing in it; not of the
    hidden ones, which only tell what was before.
    """

    reads: Reads
    hidden: Indexes
    scope: Scope = "all"

    def keys(self, evaluator: KpiEvaluator, gathered: Gathered) -> Keys:
        keys = evaluator.keys(gathered, succeeding=True)
        if len(self.hidden) < 2:
            return keys  # the first of all is never in
        return keys.take(~np.isin(keys.columns[0], self.hidden))


@dataclass(frozen=True, slots=True, eq=False)
class Altered:
    """The series that changed in windows that were published before; ``others``: `OTHER` of their buckets too."""

    reads: Reads
    altered: Keys
    scope: Scope
    others: bool

    def keys(self, evaluator: KpiEvaluator, gathered: Gathered) -> Keys:
        altered = self.altered
        if self.others:  # a series above the cap changes what `__other__` holds
            w, bucket, h = altered.columns
            altered = put_together([altered, Keys(w, bucket, np.full_like(h, OTHER))]).sorted_once()[0]
        return altered.take(evaluator.keys(gathered).find(altered) >= 0)


@dataclass(frozen=True, slots=True, eq=False)
class Silent:
    """Series that have nothing in the window ``after`` one that changed, which had closed before: an event that came on
    time would have shown them there, so a late one does.
    """

    reads: Reads
    altered: Keys
    after: Times
    scope: Scope

    def keys(self, evaluator: KpiEvaluator, gathered: Gathered) -> Keys:
        present = evaluator.keys(gathered)
        found = present.find(self.altered) >= 0
        _, bucket, h = self.altered.columns
        after = Keys(self.after[found], bucket[found], h[found]).sorted_once()[0]
        return after.take(present.find(after) < 0)


Due = Whole | Altered | Silent


@dataclass(slots=True)
class ShownWindows:
    """How far one KPI is published in one partition of partials. Times in microseconds; NEVER at first."""

    plan: KpiPlan
    stores: Mapping[str, PaneStore]
    evaluator: KpiEvaluator
    affected: AffectedWindows  # shared by all KPIs
    published_us: int = NEVER  # publish time up to which windows were published
    closed_us: int = NEVER  # window end up to which windows were closed
    again: bool = False  # windows that are open are to be shown once more
    _fresh: dict[str, list[Changed]] = field(default_factory=dict)  # by view; not yet looked at
    _held: dict[str, list[Changed]] = field(default_factory=dict)  # not yet shown in windows that are still open
    _next: dict[int, int] = field(default_factory=dict)

    def changed(self, view: str, changes: Changed) -> None:
        """Take note of what changed in a view, if this KPI reads it."""
        if any(term.view.id == view for term in self.plan.terms):
            self._fresh.setdefault(view, []).append(changes)

    @property
    def begun(self) -> bool:
        """Whether there is anything yet. The first windows of a KPI are those of the earliest pane it has."""
        if self.closed_us == NEVER:
            starts = [self.stores[term.view.id].first_us for term in self.plan.terms]
            known = [start for start in starts if start is not None]
            if not known:
                return False
            windows = self.plan.windows
            self.closed_us = min(known)
            self.published_us = min(known) - windows.max_length_us - windows.max_step_us
        return True

    def due(self, watermark: int, upto: int, *, open_windows: bool) -> tuple[list[Due], Silent | None]:
        """What is to be published now that the watermark and the publish time are there, and what shows series once
        more. It counts as published from here on; what is merged for it is asked for.
        """
        closed, published = self.closed_us, self.published_us
        late = self.affected.of(self.plan, self._fresh, NEVER, closed)
        silent = self._silent(late, closed)
        found = [
            self.whole(self._runs(watermark, upto if open_windows else NEVER)),
            self._altered(late, "closed"),
        ]
        for view, changes in self._fresh.items():
            self._held.setdefault(view, []).extend(changes)
        self._fresh = {}
        if open_windows:
            held, self._held = self._held, {}
            if held and not self.again:  # else all of them are shown just now
                shown = self.next_end(published)  # the end of the last window that was published
                first = self.next_end(watermark)  # of those that are open: the same for many publications
                found.append(self._altered(self.affected.of(self.plan, held, first - 1, shown), "open"))
            self.published_us, self.again = max(published, upto), False
        self.closed_us = max(closed, watermark)
        return [due for due in found if due is not None], silent

    def closed_last(self, watermark: int) -> Whole | None:
        """What was closed last: of the last window before now, and of the last ones that hold any event. Nothing of it
        has changed; without it, nobody would see a source again that was silent when its worker was restarted.
        """
        windows = self.plan.windows
        latest = max(self.stores[term.view.id].latest_us for term in self.plan.terms)
        if latest == NEVER:
            return None
        runs = [windows.closing(watermark - windows.max_step_us - 1, watermark).end_us[-1:]]
        holding = windows.containing(np.array([latest], dtype=np.int64), watermark).windows.end_us
        holding = holding[holding <= watermark][-1:]
        if len(holding):
            runs.append(windows.closing(int(holding[0]) - 1, min(windows.next_end(int(holding[0])), watermark)).end_us)
        return self.whole([run for run in runs if len(run)])

    def whole(self, runs: Sequence[Times]) -> Whole | None:
        """Every series of windows, given as the ends of runs of neighbours."""
        if not runs:
            return None
        windows = self.plan.windows
        shown = np.unique(np.concatenate(runs))
        ends = np.unique(np.concatenate([shown, windows.previous(np.array([run[0] for run in runs])).end_us]))
        reads = self.evaluator.reads(windows.ending_at(ends))
        self.evaluator.ask(reads, "all")
        return Whole(reads, np.flatnonzero(~np.isin(ends, shown)))

    def _runs(self, watermark: int, upto: int) -> list[Times]:
        """Ends of the windows that close or open now, as runs of neighbours.

        Where there was nothing for longer than anything reaches, however long, no windows are counted out.
        """
        windows = self.plan.windows
        runs = []
        if self.next_end(self.closed_us) <= watermark:
            for start, end in self._reached():
                if start < watermark and end > self.closed_us:
                    runs.append(windows.closing(max(self.closed_us, start), min(watermark, end)).end_us)
        # A window that is open has not been published for longer than a step.
        after = watermark - windows.max_step_us - 1
        if not self.again:
            after = max(after, self.published_us)
        if after < upto and self.next_end(after) <= upto:
            reach = max(self.stores[term.view.id].last_us + term.view.retain_us for term in self.plan.terms)
            opening = windows.publishable(after, min(upto, reach)).end_us
            runs.append(opening[opening > watermark])
        return [run for run in runs if len(run)]

    def next_end(self, after_us: int) -> int:
        """`Windows.next_end`, which most of the time is the one asked for before."""
        for start, end in self._next.items():
            if start <= after_us < end:
                return end
        if len(self._next) > 2:
            self._next.clear()
        self._next[after_us] = self.plan.windows.next_end(after_us)
        return self._next[after_us]

    def _reached(self) -> list[tuple[int, int]]:
        """Stretches of time outside of which no window that ends there reads anything, nor does the one before it; in
        order.
        """
        found: list[tuple[int, int]] = []
        for view in {term.view.id: term.view for term in self.plan.terms}.values():
            found += [(start, end + view.retain_us) for start, end in self.stores[view.id].spans_us]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start <= merged[-1][1]:
                first, last = merged.pop()
                merged.append((first, max(last, end)))
            else:
                merged.append((start, end))
        return merged

    @property
    def _capped(self) -> bool:
        return any(self.stores[term.view.id].capped for term in self.plan.terms)

    def _altered(self, affected: Affected | None, scope: Scope) -> Altered | None:
        """The series that changed in these windows."""
        if affected is None:
            return None
        wanted = {(self.plan.parts.index((term.view.id, term.offset)), term.column.id) for term in self.plan.terms}
        flags = [affected.flags[flag] for flag in wanted if flag in affected.flags]
        if not flags:
            return None
        changed = np.logical_or.reduce(flags)
        if not changed.any():
            return None
        keys = affected.keys if changed.all() else affected.keys.take(changed)
        reads = self.evaluator.reads(affected.spans)
        capped = self._capped
        if capped:
            scope = "all"
        self.evaluator.ask(reads, scope, None if capped else affected.series)
        return Altered(reads, keys, scope, capped)

    def _silent(self, late: Affected | None, closed_us: int) -> Silent | None:
        if late is None or not len(late.keys):
            return None
        windows = self.plan.windows
        following = windows.following(late.spans.end_us)
        ends = np.unique(np.concatenate([late.spans.end_us, following]))
        w, bucket, h = late.keys.columns
        at, after = np.searchsorted(ends, late.spans.end_us)[w], np.searchsorted(ends, following)[w]
        looked_at = (following[w] <= closed_us) & (h != OTHER)
        own = self.plan.kpi.compare is None and all(offset is None for _, offset in self.plan.parts)
        if own:  # a window that changed has something in it
            looked_at &= Keys(at, bucket, h).find(Keys(after, bucket, h)) < 0
        if not looked_at.any():
            return None
        at, after, bucket, h = at[looked_at], after[looked_at], bucket[looked_at], h[looked_at]
        used = np.unique(np.concatenate((at, after)))
        reads = self.evaluator.reads(windows.ending_at(ends[used]))
        capped = self._capped
        scope: Scope = "all" if capped else "closed"
        self.evaluator.ask(reads, scope, None if capped else Keys(bucket, h).sorted_once()[0])
        return Silent(reads, Keys(np.searchsorted(used, at), bucket, h), np.searchsorted(used, after), scope)
