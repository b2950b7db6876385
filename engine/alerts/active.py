"""The alerts of one KPI that are pending or firing, and what is kept and told of them.

Records are acknowledged before objects go out, and hold them: after a crash nothing was told that is not kept, what may
not have been told is told (again), and what is decided again comes out the same, under the same id. So the record of a
series where nothing is active any more stays for one publication longer.
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
from engine.event_time import NEVER
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
    """When a publication is; the history begins at ``since_us``. ``refresh``: what is active is told again, once a
    minute: not while catching up.
    """

    watermark_us: int
    epoch: int = 0
    since_us: int = NEVER
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
        self._touched: set[int] = set()
        self._over: set[int] = set()  # series whose records are of no use once what they hold was told
        self._gone: list[tuple[int, SeriesAlert]] = []  # of rules that are no longer there
        self._told: dict[int, list[tuple[str, bytes]]] = {}  # in this publication
        self._again: list[tuple[str, bytes]] = []
        self._judged: dict[int, dict[int, int]] = {}  # of what became inactive: what was decided before is over

    @property
    def series(self) -> Sequence[int]:
        """The series with anything that is pending or firing."""
        return list(self._of)

    def has(self, series: int, rule: int) -> bool:
        return rule in self._of.get(series, ())

    def restore(self, series: int, record: SeriesAlerts) -> None:
        """Take up what was kept."""
        numbers = {rule.name: number for number, rule in enumerate(self.rules)}
        self._dims[series] = record.dims
        self._again.extend(record.untold)
        if not record.alerts:
            self._over.add(series)
        for alert, judged_us in record.judged_us.items():
            if alert in numbers:
                self._judged.setdefault(series, {})[numbers[alert]] = judged_us
        for one in record.alerts:
            number = numbers.get(one.alert)
            if number is None:
                self._gone.append((series, one))
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
        now: Moment,
    ) -> None:
        """Take in a verdict, after the deadlines before it; told where it changes the state."""
        active = self._of.get(series, {}).get(rule)
        over_us = self._judged.get(series, {}).get(rule, NEVER)
        if at_us <= over_us or (active is not None and at_us < active.state.judged_us):
            return  # decided before a crash
        self._pass_deadlines(series, rule, at_us - 1, now)
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
        said = self._raised(rule, active) if decision.change == "firing" else active.said
        self._take(series, rule, active, decision, at_us, said, now)

    def pass_deadlines(self, now: Moment, out: Told) -> None:
        """Everything that changes by itself up to the watermark; then what is active is told again, if it is time."""
        for series in list(self._of):
            for rule in list(self._of[series]):
                self._pass_deadlines(series, rule, now.watermark_us, now)
        self._end_what_is_gone(now)
        if now.refresh:
            self._refresh(now)
        for series in sorted(self._over - self._touched):
            out.records.append((self._record_key(series), None))
        self._over.clear()
        out.objects.extend((key.encode(), text) for key, text in self._again)
        self._again.clear()
        for series in sorted(self._touched):
            self._keep(series, out)
        self._touched.clear()
        self._told.clear()
        self._judged.clear()

    def _pass_deadlines(self, series: int, rule: int, upto_us: int, now: Moment) -> None:
        while (active := self._of.get(series, {}).get(rule)) is not None:
            found = advance(active.state, self._patience[rule], upto_us)
            if found is None:
                return
            at, decision = found
            self._take(series, rule, active, decision, at, self._passed(rule, active, decision), now)

    def _take(
        self, series: int, rule: int, active: _Active, decision: Decision, at: int, reason: str, now: Moment
    ) -> None:
        before, active.state = active.state, decision.state
        self._touched.add(series)
        if decision.change is not None:
            over = decision.state.phase == "inactive"
            self._tell(series, rule, active, before if over else decision.state, decision.change, at, reason, now)
            if over:
                self._judged.setdefault(series, {})[rule] = at
                del self._of[series][rule]
                if not self._of[series]:
                    del self._of[series]

    def _passed(self, rule: int, active: _Active, decision: Decision) -> str:
        """What a deadline was about."""
        if decision.change == "firing":
            return self._raised(rule, active)
        silent = active.state.recovering_us is None
        return f"no value for {length(self._patience[rule].give_up_us)}" if silent else active.said

    def _raised(self, rule: int, active: _Active) -> str:
        for_us = self._patience[rule].for_us
        return f"{active.raised}, for {length(for_us)}" if for_us else active.raised

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
    ) -> None:
        key = self._key(series, rule)
        active.sequence = max(active.sequence + 1, at)
        active.written_us = at
        order = (now.epoch, active.sequence)
        members = objects.told(key, self.rules[rule], active.members, state, name, at, reason, order)
        self._told.setdefault(series, []).append((key, objects.encode(members)))

    def _refresh(self, now: Moment) -> None:
        at = minute_upto(now.watermark_us)
        for series, rules in self._of.items():
            for rule, active in rules.items():
                if at - active.written_us >= MINUTE_US and at >= active.state.judged_us:
                    firing = active.state.phase == "firing"
                    said = self._raised(rule, active) if firing and active.said == active.raised else active.said
                    name: Change = "firing" if firing else "pending"
                    self._tell(series, rule, active, active.state, name, at, said, now)
                    self._touched.add(series)

    def _end_what_is_gone(self, now: Moment) -> None:
        for series, one in self._gone:
            self._told.setdefault(series, []).append(ended(self.plan.kpi.name, self._dims[series], one, now.epoch))
            self._touched.add(series)
        self._gone.clear()

    # -- keeping -------------------------------------------------------------------------------------------------------

    def _keep(self, series: int, out: Told) -> None:
        told = self._told.get(series, [])
        out.objects.extend((key.encode(), text) for key, text in told)
        rules = self._of.get(series, {})
        over = self._judged.get(series, {})
        judged = {self.rules[rule].name: at for rule, at in over.items() if rule not in rules}
        if rules or told:
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
            record = SeriesAlerts(self.plan.kpi.name, self._dims[series], kept, told, judged)
            out.records.append((self._record_key(series), encode(record)))
        if not rules:
            self._over.add(series)

    def _record_key(self, series: int) -> bytes:
        return record_key(ALERTS, self._partition, _signed(series), 0, self.id)


def ended(kpi: str, dims: str, one: SeriesAlert, epoch: int) -> tuple[str, bytes]:
    """The last object of an alert whose rule, or whose KPI as it was defined, is no longer in the catalog."""
    at = max(one.written_us, one.state.judged_us)
    name: Change = "resolved" if one.state.phase == "firing" else "inactive"
    order = (epoch, max(one.sequence + 1, at))
    last = objects.with_state(objects.decode(one.told), objects.alert_key(one.alert, kpi, dims), one.state)
    said = "the rule, or its KPI as it was defined, is no longer in the catalog"
    key = objects.alert_key(one.alert, kpi, dims)
    return key, objects.encode(objects.ended(last, name, at, said, order))


def _signed(h: int) -> int:
    """A series' hash as the signed number that a record's key holds."""
    return h - (_SIGN << 1) if h >= _SIGN else h


def unsigned(position: int) -> int:
    """The hash that `_signed` was given."""
    return position + (_SIGN << 1) if position < 0 else position
