"""The alerts of one KPI that are pending or firing, and what is kept and told of them.

Records are acknowledged before objects go out: after a crash nothing was told that is not kept, and what is decided
again comes out the same, under the same id and order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from engine.alerts import objects
from engine.alerts.objects import Object
from engine.alerts.states import (
    BREACH,
    INACTIVE,
    AlertState,
    Change,
    Decision,
    Patience,
    Verdict,
    advance,
    judge,
    minute_upto,
)
from engine.alerts.words import length
from engine.catalog.alerting import MINUTE_US, Alert
from engine.plan import KpiPlan
from engine.records import ALERTS, SeriesAlert, SeriesAlerts, encode, record_key

Record = tuple[bytes, bytes | None]
_SIGN: Final = 1 << 63


@dataclass(slots=True)
class Told:
    """What a publication decided: records to keep, and after them objects to tell, as (key, JSON object)."""

    records: list[Record] = field(default_factory=list)
    objects: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a publication is. ``refresh``: what is active is told again, once a minute: not while catching up."""

    watermark_us: int
    epoch: int = 0
    refresh: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What a rule looked at: the members of the object that come from it, and what there is to say about it."""

    members: Object
    said: str


@dataclass(slots=True)
class _Active:
    state: AlertState
    members: Object  # of the last look
    said: str
    raised: str  # what was said of the last breach
    sequence: int  # of the last object
    written_us: int  # what was its time


class ActiveAlerts:
    """States by series and rule, those that are inactive left out. Series are known by their hashes."""

    def __init__(self, plan: KpiPlan, rules: Sequence[Alert], id_: str, partition: int) -> None:
        self.plan = plan
        self.rules = rules
        self.id = id_
        self._partition = partition
        self._patience = [Patience.of(rule, plan.windows.max_step_us) for rule in rules]
        self._static = [objects.of_rule(rule, plan.kpi, plan.facts) for rule in rules]
        self._of: dict[int, dict[int, _Active]] = {}
        self._dims: dict[int, str] = {}
        self._kept: set[int] = set()
        self._touched: set[int] = set()
        self._gone: list[tuple[int, str, SeriesAlert]] = []  # of rules that are no longer there

    @property
    def series(self) -> Sequence[int]:
        """The series with anything that is pending or firing."""
        return list(self._of)

    def has(self, series: int, rule: int) -> bool:
        return rule in self._of.get(series, ())

    def judged_us(self, series: int, rule: int) -> int:
        """The last instant that was decided of an active alert; 0 where it is inactive."""
        active = self._of.get(series, {}).get(rule)
        return active.state.judged_us if active else 0

    def restore(self, series: int, record: SeriesAlerts) -> None:
        """Take up what was kept."""
        numbers = {rule.name: number for number, rule in enumerate(self.rules)}
        self._kept.add(series)
        self._dims[series] = record.dims
        for one in record.alerts:
            number = numbers.get(one.alert)
            if number is None:
                self._gone.append((series, record.dims, one))
                continue
            members = objects.decode(one.told)
            active = _Active(one.state, members, one.said, one.raised, one.sequence, one.written_us)
            self._of.setdefault(series, {})[number] = active

    # -- deciding ------------------------------------------------------------------------------------------------------

    def decide(
        self,
        series: int,
        dims: str,
        rule: int,
        verdict: Verdict,
        at_us: int,
        look: Callable[[], Sight],
        out: Told,
        now: Moment,
    ) -> None:
        """Take in a verdict, after the deadlines before it; told where it changes the state."""
        active = self._of.get(series, {}).get(rule)
        if active is not None and at_us < active.state.judged_us:
            return  # decided before a crash
        self._pass_deadlines(series, rule, at_us - 1, now, out)
        active = self._of.get(series, {}).get(rule)
        before = active.state if active else INACTIVE
        decision = judge(before, verdict, at_us, self._patience[rule])
        if active is None and decision.change is None:
            return
        sight = look()
        self._dims[series] = dims
        if active is None:
            active = _Active(before, {}, "", sight.said, 0, 0)
            self._of.setdefault(series, {})[rule] = active
        active.members = {**self._static[rule], **sight.members}
        active.said = sight.said
        if verdict == BREACH:
            active.raised = sight.said
        self._take(series, rule, active, decision, at_us, self._reason(rule, active, decision), now, out)

    def pass_deadlines(self, now: Moment, out: Told) -> None:
        """Everything that changes by itself up to the watermark; then what is active is told again, if it is time."""
        for series in list(self._of):
            for rule in list(self._of[series]):
                self._pass_deadlines(series, rule, now.watermark_us, now, out)
        self._end_what_is_gone(now, out)
        if now.refresh:
            self._refresh(now, out)
        for series in sorted(self._touched):
            self._keep(series, out)
        self._touched.clear()

    def _pass_deadlines(self, series: int, rule: int, upto_us: int, now: Moment, out: Told) -> None:
        while (active := self._of.get(series, {}).get(rule)) is not None:
            found = advance(active.state, self._patience[rule], upto_us)
            if found is None:
                return
            at, decision = found
            self._take(series, rule, active, decision, at, self._reason(rule, active, decision), now, out)

    def _take(
        self, series: int, rule: int, active: _Active, decision: Decision, at: int, reason: str, now: Moment, out: Told
    ) -> None:
        before, active.state = active.state, decision.state
        self._touched.add(series)
        if decision.change is not None:
            over = decision.state.phase == "inactive"
            self._tell(series, rule, active, before if over else decision.state, decision.change, at, reason, now, out)
            if over:
                del self._of[series][rule]
                if not self._of[series]:
                    del self._of[series]

    def _reason(self, rule: int, active: _Active, decision: Decision) -> str:
        patience = self._patience[rule]
        if decision.change == "firing":
            return f"{active.raised}, for {length(patience.for_us)}" if patience.for_us else active.raised
        before = active.state
        if decision.change == "resolved" and before.silent_us is not None and before.recovering_us is None:
            return f"no value for {length(patience.give_up_us)}"
        return active.said

    # -- telling -------------------------------------------------------------------------------------------------------

    def _key(self, series: int, rule: int) -> str:
        return objects.alert_key(self.rules[rule].name, self.plan.kpi.name, self._dims[series])

    def _tell(
        self,
        series: int,
        rule: int,
        active: _Active,
        state: AlertState,
        name: Change,
        at: int,
        reason: str,
        now: Moment,
        out: Told,
    ) -> None:
        key = self._key(series, rule)
        active.sequence = max(active.sequence + 1, at)
        active.written_us = at
        order = (now.epoch, active.sequence)
        members = objects.told(key, self.rules[rule], active.members, state, name, at, reason, order)
        out.objects.append((key.encode(), objects.encode(members)))

    def _refresh(self, now: Moment, out: Told) -> None:
        at = minute_upto(now.watermark_us)
        for series, rules in self._of.items():
            for rule, active in rules.items():
                if at - active.written_us >= MINUTE_US and at >= active.state.judged_us:
                    name: Change = "firing" if active.state.phase == "firing" else "pending"
                    self._tell(series, rule, active, active.state, name, at, active.said, now, out)
                    self._touched.add(series)

    def _end_what_is_gone(self, now: Moment, out: Told) -> None:
        for series, dims, one in self._gone:
            out.objects.append(ended(self.plan.kpi.name, dims, one, now.epoch))
            self._touched.add(series)
        self._gone.clear()

    # -- keeping -------------------------------------------------------------------------------------------------------

    def _keep(self, series: int, out: Told) -> None:
        key = record_key(ALERTS, self._partition, _signed(series), 0, self.id)
        rules = self._of.get(series)
        if rules:
            kept = [
                SeriesAlert(
                    self.rules[rule].name,
                    active.state,
                    msgspec.json.encode(active.members),
                    active.said,
                    active.raised,
                    active.sequence,
                    active.written_us,
                )
                for rule, active in rules.items()
            ]
            out.records.append((key, encode(SeriesAlerts(self.plan.kpi.name, self._dims[series], kept))))
            self._kept.add(series)
        elif series in self._kept:
            out.records.append((key, None))
            self._kept.discard(series)


def ended(kpi: str, dims: str, one: SeriesAlert, epoch: int) -> tuple[bytes, bytes]:
    """The last object of an alert whose rule, or whose KPI as it was defined, is no longer in the catalog."""
    at = max(one.written_us, one.state.judged_us)
    name: Change = "resolved" if one.state.phase == "firing" else "inactive"
    order = (epoch, max(one.sequence + 1, at))
    last = objects.with_state(objects.decode(one.told), objects.alert_key(one.alert, kpi, dims), one.state)
    said = "the rule, or its KPI as it was defined, is no longer in the catalog"
    key = objects.alert_key(one.alert, kpi, dims)
    return key.encode(), objects.encode(objects.ended(last, name, at, said, order))


def _signed(h: int) -> int:
    """A series' hash as the signed number that a record's key holds."""
    return h - (_SIGN << 1) if h >= _SIGN else h


def unsigned(position: int) -> int:
    """The hash that `_signed` was given."""
    return position + (_SIGN << 1) if position < 0 else position
