"""The alerts of one KPI in one partition of partials: from the rows of a publication to changes of state.

Rules are judged at the ends of windows, in their order, each series apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import cast

import numpy as np
import polars as pl

from engine.alerts import objects
from engine.alerts.absence import Presence, Silence
from engine.alerts.active import ActiveAlerts, Moment, Sight, Told
from engine.alerts.beginnings import Beginnings
from engine.alerts.states import BREACH, RECOVERED, Verdict, minute_upto
from engine.alerts.verdicts import (
    Codes,
    Mask,
    by_target,
    concerned,
    of_burns,
    of_scores,
    of_values,
    steps_are_judged,
    whole_grains,
)
from engine.alerts.words import anomaly_words, because, burn_words, digits, length
from engine.catalog.alerting import Alert, Anomaly, BurnRate, Change, NoData, PaceBelow
from engine.catalog.model import Cumulate, Objective
from engine.changes import Changed
from engine.event_time import NEVER
from engine.event_time.zones import Times
from engine.kpis import KpiEvaluator
from engine.lookback.lookback import Lookback
from engine.plan import KpiPlan
from engine.records import JudgedFrom, SeriesAlerts
from engine.series import OTHER, Directory, Hashes, dims_text
from engine.values import NULL, ValueRows, render


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Verdicts of a rule that needs more than the rows, one for each row, and what there is to say about a row."""

    codes: Codes
    detail: Callable[[int], str]


class _Rows:
    """The rows of windows that are closed, in order of their ends."""

    def __init__(self, rows: ValueRows) -> None:
        frame = rows.frame
        if (frame["state"] == "open").any() or (frame["h"] == OTHER).any():
            frame = frame.filter(pl.col("state") != "open", pl.col("h") != OTHER)
        ends = frame["window_end"]
        self.rows = ValueRows(rows.kpi, frame if ends.is_sorted() else frame.sort("window_end", maintain_order=True))
        self.frame = self.rows.frame
        self.h: Hashes = self.frame["h"].to_numpy()
        self.ends: Times = self.frame["window_end"].to_numpy()
        self.starts: Times = self.frame["window_start"].to_numpy()

    def __len__(self) -> int:
        return len(self.ends)

    def take(self, mask: Mask) -> _Rows:
        """The rows where the mask is true."""
        return self if mask.all() else _Rows(ValueRows(self.rows.kpi, self.frame.filter(mask)))

    def value(self, row: int) -> bytes:
        """The value's JSON object."""
        return render(ValueRows(self.rows.kpi, self.frame[row : row + 1]))[0][1]

    def dims(self, row: int) -> str:
        return str(self.frame["dims"][row])


class KpiAlerts:
    """The engine's alerts of one KPI in one partition of partials; ``id_`` is that of its publisher."""

    def __init__(self, plan: KpiPlan, id_: str, partition: int, evaluator: KpiEvaluator, directory: Directory) -> None:
        self.plan = plan
        self.id = id_
        self.rules = [alert for alert in plan.kpi.alerts if alert.evaluator == "engine"]
        self.active = ActiveAlerts(plan, self.rules, id_, partition)
        self._partition = partition
        self._directory = directory
        self._evaluator = evaluator
        self._beginnings = Beginnings(id_, partition, plan.dimensions.cap)
        self._shown: dict[int, dict[str, str | None]] = {}  # dimensions of series that were silent
        self._steps_until = self._grains_until = NEVER  # ends of the last windows that were judged
        self._silence_until = NEVER
        looks_back = any(isinstance(rule.when, Anomaly | BurnRate) for rule in self.rules)
        self._lookback = Lookback(plan, evaluator) if looks_back else None
        watched = any(isinstance(rule.when, NoData) for rule in self.rules)
        self._presence = Presence(plan.terms[0].view.pane_us) if watched else None

    # -- recovery ------------------------------------------------------------------------------------------------------

    def restore(self, series: int, record: SeriesAlerts) -> None:
        self.active.restore(series, record)

    def restore_judged(self, record: JudgedFrom) -> None:
        self._beginnings.restore(record.of)

    def restored(self, closed_us: int) -> None:
        """Go on where windows had been closed up to ``closed_us``. The stores hold their panes."""
        if closed_us == NEVER:
            return
        windows, window = self.plan.windows, self.plan.kpi.window
        next_end = np.array([windows.next_end(closed_us)], dtype=np.int64)
        self._steps_until = self._grains_until = int(windows.previous(next_end).end_us[0])
        if isinstance(window, Cumulate):
            calendar = windows.calendar
            closed = np.array([closed_us], dtype=np.int64)
            self._grains_until = int(calendar.grain_starts(window.grain, calendar.grains_of(window.grain, closed))[0])
        self._silence_until = closed_us
        if self._presence is None and len(self._beginnings):
            return
        for view in {term.view.id: term.view for term in self.plan.terms}.values():
            columns = [term.column for term in self.plan.terms if term.view.id == view.id]
            seen = self._evaluator.stores[view.id].seen(columns)
            if self._presence is not None:
                self._presence.seen(seen["pane"].to_numpy(), seen["h"].to_numpy())
            if not len(self._beginnings):  # its first rule is new: what was there before is not new with it
                earliest = seen.filter(pl.col("h") != OTHER).group_by("h").agg(pl.col("pane").min())
                self._beginnings.seen(earliest["h"].to_numpy(), (earliest["pane"].to_numpy() + 1) * view.pane_us)
        if self._presence is not None:
            self._presence.until(closed_us)

    # -- judging -------------------------------------------------------------------------------------------------------

    def changed(self, view: str, changes: Changed) -> None:
        """Take note of the series that have new events."""
        if self._presence is None:
            return
        flags = [changes.flags[term.column.id] for term in self.plan.terms if term.view.id == view]
        if flags:
            some = np.logical_or.reduce(flags)
            pane, _, h = changes.keys.columns
            self._presence.seen(pane[some], h[some])

    def ask(self, end_us: Times) -> None:
        """Say which windows will be judged, so that what their rules look back at is merged with all else."""
        if self._lookback is not None:
            self._lookback.ask(end_us[end_us >= min(self._steps_until, self._grains_until)])

    def judge(self, rows: ValueRows | None, now: Moment, out: Told) -> None:
        """Decide on the windows of a publication, and on the deadlines up to its watermark."""
        if rows is not None:
            closed = _Rows(rows)
            if len(closed):
                self._judge_rows(closed, now, out)
        if self._presence is not None and now.watermark_us != NEVER:
            self._judge_silences(self._presence, now)
        self.active.pass_deadlines(now, out)

    def _judge_rows(self, rows: _Rows, now: Moment, out: Told) -> None:
        holding = rows.frame["samples"].to_numpy() > 0
        self._beginnings.seen(rows.h[holding], rows.ends[holding])
        out.records.extend(self._beginnings.records())
        old_enough = rows.starts >= self._beginnings.starts(rows.h)
        whole = self._whole(rows.ends)
        for number, rule in enumerate(self.rules):
            if isinstance(rule.when, NoData):
                continue
            steps = steps_are_judged(rule)
            last = self._steps_until if steps else self._grains_until
            due = old_enough & (rows.ends >= last) & concerned(rule, rows.frame)
            if not steps:
                due &= whole
            if due.any():
                # What was judged before and is revised counts from now on.
                at = np.where(rows.ends > last, rows.ends, np.maximum(rows.ends, minute_upto(now.watermark_us)))
                mine = rows.take(due)
                self._walk(number, mine, at[due], self._verdicts(number, mine, now), now)
        self._steps_until = max(self._steps_until, int(rows.ends[-1]))
        if whole.any():
            self._grains_until = max(self._grains_until, int(rows.ends[whole][-1]))

    def _verdicts(self, number: int, rows: _Rows, now: Moment) -> Judged:
        rule = self.rules[number]
        if self._lookback is not None and isinstance(rule.when, Anomaly):
            scores = self._lookback.scores(rule.when, rows.h, rows.ends, rows.frame["value"], now.since_us)
            return Judged(of_scores(rule, scores, rows.frame), partial(anomaly_words, scores))
        if self._lookback is not None and isinstance(rule.when, BurnRate):
            op = self.plan.kpi.objectives[0].op
            long, short = (np.full((len(rows), len(rule.when.windows)), np.nan) for _ in range(2))
            for target, mine in by_target(rows.frame):
                objective = Objective(op, target)
                burns = self._lookback.burns(rule.when, objective, rows.h[mine], rows.ends[mine], now.since_us)
                long[mine], short[mine] = burns.long, burns.short
            return Judged(
                of_burns(rule, rule.when, long, short, rows.frame), partial(burn_words, rule.when, long, short)
            )
        return Judged(of_values(rule, rows.frame), partial(_detail, rule, rows))

    def _walk(self, number: int, rows: _Rows, at: Times, judged: Judged, now: Moment) -> None:
        """One rule over its rows, series by series. Of a series that is inactive only breaches are looked at."""
        h, breach = rows.h, judged.codes == BREACH
        wanted = np.isin(h, np.array(self.active.series, dtype=np.uint64)) | np.isin(h, h[breach])
        order = np.flatnonzero(wanted)[np.argsort(h[wanted], kind="stable")]
        bounds = [0, *(np.flatnonzero(np.diff(h[order])) + 1).tolist(), len(order)] if len(order) else []
        for first, last in pairwise(bounds):
            mine = order[first:last]
            series = int(rows.h[mine[0]])
            breaches = np.flatnonzero(judged.codes[mine] == BREACH)
            position = 0
            while position < len(mine):
                if not self.active.has(series, number):
                    after = int(np.searchsorted(breaches, position))
                    if after == len(breaches):
                        break
                    position = int(breaches[after])
                row = int(mine[position])
                position += 1
                verdict = cast(Verdict, int(judged.codes[row]))
                look = partial(self._look, number, rows, row, verdict, judged)
                self.active.decide(series, rows.dims(row), number, verdict, int(at[row]), look, now)

    def _look(self, number: int, rows: _Rows, row: int, verdict: Verdict, judged: Judged) -> Sight:
        members = objects.of_value(rows.value(row))
        value, unit = (objects.text(members[name]) for name in ("value", "unit"))
        samples = int(rows.frame["samples"][row])
        detail = str(rows.frame["reason"][row] or "") if value is None else judged.detail(row)
        return Sight(members, because(self.rules[number], verdict, value, unit, samples, detail))

    # -- series without events -----------------------------------------------------------------------------------------

    def _judge_silences(self, presence: Presence, now: Moment) -> None:
        gaps = presence.until(now.watermark_us)
        for number, rule in enumerate(self.rules):
            if isinstance(rule.when, NoData):
                for silence in presence.silences(rule.when, gaps, self._silence_until, now.watermark_us):
                    if silence.verdict == RECOVERED and not self.active.has(silence.series, number):
                        continue
                    dims = self._dims(silence.series)
                    if all((dims[name] or NULL) == value for name, value in rule.where.items()):
                        shown = dims_text(list(dims), list(dims.values()))
                        look = partial(self._look_at_silence, silence, rule.when, dims)
                        self.active.decide(silence.series, shown, number, silence.verdict, silence.at_us, look, now)
        self._silence_until = max(self._silence_until, now.watermark_us)

    def _look_at_silence(self, silence: Silence, rule: NoData, dims: Mapping[str, str | None]) -> Sight:
        since = objects.instant(silence.last_us)
        said = f"no event since {since}"
        if silence.verdict == RECOVERED:
            heard = silence.at_us < silence.last_us + rule.expected_us
            said = (
                "there are events again" if heard else f"{said}, not expected any more after {length(rule.expected_us)}"
            )
        return Sight(objects.of_silence(dims, silence.last_us, silence.at_us, self.plan.facts), said)

    def _dims(self, series: int) -> dict[str, str | None]:
        if series not in self._shown:
            shown = self._directory.lookup(pl.Series("h", [series], dtype=pl.UInt64))
            self._shown[series] = {name: shown[name][0] for name in shown.columns}
        return self._shown[series]

    def _whole(self, ends: Times) -> Mask:
        return whole_grains(self.plan.kpi.window, self.plan.kpi.calendar, ends)


def _detail(rule: Alert, rows: _Rows, row: int) -> str:
    """What the verdict of a rule on this row came from, beside the value."""
    match rule.when:
        case Change(_, relative):
            if relative:
                return digits(objects.decimal(rows.frame["compare_change"][row]))
            value, before = (objects.decimal(rows.frame[name][row]) for name in ("value", "compare_value"))
            return digits(value - before)
        case PaceBelow():
            return str(rows.frame["pace_reason"][row])
        case _:
            return ""
