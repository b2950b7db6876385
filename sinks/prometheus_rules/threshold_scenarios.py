"""What promtool plays through an alert of the catalog: breach, recovery, too few samples, and no data.

Values lie as close to the bounds as nine digits can be, so that a bound that moves is seen, and minutes are those at
which `for` and `keep_firing_for` are over, and the ones before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.catalog.alerting import MINUTE_US
from engine.series import OTHER_TEXT
from sinks import names
from sinks.prometheus_rules.annotations import Seen
from sinks.prometheus_rules.rules import equal, selector
from sinks.prometheus_rules.scenarios import GONE, Firing, Look, Scenario, missing, steady
from sinks.prometheus_rules.thresholds import PrometheusAlert

_QUIET: Final = 3  # minutes before anything happens
_SILENT: Final = 30
_DIGITS: Final = 8
_ELSEWHERE: Final = "elsewhere"
_TARGET: Final = Decimal(42)


@dataclass(frozen=True, slots=True)
class _Edge:
    """One of the bounds. ``beyond`` is in breach, ``bound`` not; ``between`` has not recovered, ``recovered`` has."""

    name: str
    beyond: Decimal
    bound: Decimal
    between: Decimal | None
    recovered: Decimal


@dataclass(frozen=True)
class _Play:
    alert: PrometheusAlert
    job: str

    def scenarios(self) -> Iterator[Scenario]:
        for edge in _edges(self.alert):
            yield self._breach_and_recovery(edge)
        [edge, *_] = _edges(self.alert)
        yield self._no_data(edge)
        if self.alert.rule.min_sample:
            yield self._few_samples(edge)

    @property
    def _for(self) -> int:
        return _minutes(self.alert.rule.for_us)

    @property
    def _keep(self) -> int:
        return _minutes(self.alert.rule.keep_firing_for_us)

    def _breach_and_recovery(self, edge: _Edge) -> Scenario:
        wait, keep = self._for, self._keep
        breach = _QUIET + wait + 2
        between = breach + wait + 2
        recovery = between + (keep + 2 if edge.between is not None else 0)
        values = [(edge.recovered, _QUIET), (edge.bound, wait + 2), (edge.beyond, wait + 2)]
        values += [(edge.between, keep + 2)] if edge.between is not None else []
        values += [(edge.recovered, keep + 2)]
        end = recovery + keep + 2
        last = edge.beyond if edge.between is None else edge.between
        looks = [self._look(_QUIET - 1), self._look(breach - 1)]
        if wait:
            looks.append(self._look(breach + wait - 1))
        looks.append(self._look(breach + wait, edge.beyond, since=breach if wait else None))
        if edge.between is not None:
            looks.append(self._look(recovery - 1, last, since=breach))
        if keep:
            looks.append(self._look(recovery + keep - 1, last, since=breach))
        looks.append(self._look(recovery + keep))
        series = self._series(" ".join(steady(value, minutes) for value, minutes in values), end)
        for dims in self._unconcerned():
            series |= self._of(dims, steady(edge.beyond, end), end)
        return Scenario(f"{self._name}: {edge.name}, and recovery", series, looks)

    def _no_data(self, edge: _Edge) -> Scenario:
        breach, wait = self._for + 3, self._for
        gone = breach + wait + 2
        series = self._series(f"{missing(breach)} {steady(edge.beyond, wait + 2)} {GONE}", gone, ends=True)
        looks = [self._look(breach - 1), self._look(gone + _SILENT, edge.beyond, since=breach, samples=False)]
        return Scenario(f"{self._name}: no data is no breach and no recovery", series, looks)

    def _few_samples(self, edge: _Edge) -> Scenario:
        enough, wait = self.alert.rule.min_sample, self._for
        breach = wait + 2
        fewer = breach + wait + 2
        end = fewer + self._keep + 5
        series = self._of(
            self._dims,
            f"{steady(edge.beyond, fewer)} {steady(edge.recovered, end - fewer)}",
            end,
            samples=f"{steady(enough - 1, breach)} {steady(enough, fewer - breach)} {steady(enough - 1, end - fewer)}",
        )
        looks = [
            self._look(breach - 1),
            self._look(fewer - 1, edge.beyond, since=breach),
            self._look(end - 1, edge.beyond, since=breach, samples=enough - 1),
        ]
        return Scenario(f"{self._name}: too few samples say nothing", series, looks)

    @property
    def _name(self) -> str:
        return f"{self.alert.rule.name} of {self.alert.plan.kpi.name}"

    @property
    def _dims(self) -> dict[str, str]:
        return {name: self.alert.rule.where.get(name, f"some-{name}") for name in self.alert.dimensions}

    def _unconcerned(self) -> Iterator[dict[str, str]]:
        """Series that the alert is not about."""
        if self.alert.dimensions and self.alert.dimensions[0] not in self.alert.rule.where:
            yield dict.fromkeys(self.alert.dimensions, OTHER_TEXT)
        for name, value in self.alert.rule.where.items():
            yield self._dims | {name: f"{value}-{_ELSEWHERE}"}

    @property
    def _enough(self) -> int:
        return max(1, self.alert.rule.min_sample)

    @property
    def _tells_target(self) -> bool:
        return any("{target}" in text for text in self.alert.texts.values())

    def _series(self, values: str, minutes: int, *, ends: bool = False) -> dict[str, str]:
        samples = f"{steady(self._enough, minutes)} {GONE}" if ends else steady(self._enough, minutes)
        return self._of(self._dims, values, minutes, samples)

    def _of(self, dims: dict[str, str], values: str, minutes: int, samples: str | None = None) -> dict[str, str]:
        labels = equal(job=self.job, instance="worker-1", kpi=self.alert.plan.kpi.name, **dims)
        found = {
            selector(names.KPI_VALUE, labels): values,
            selector(names.KPI_SAMPLES, labels): samples or steady(self._enough, minutes),
        }
        if self._tells_target:
            found[selector(names.KPI_TARGET, labels)] = steady(_TARGET, minutes + _SILENT + 1)
        return found

    def _look(
        self, minute: int, value: Decimal | None = None, *, since: int | None = None, samples: int | bool = True
    ) -> Look:
        """``value``: what the alert fires with; None where it does not. ``samples``: False where there are none."""
        rule = self.alert.rule
        if value is None:
            return Look(minute, rule.name)
        count = self._enough if samples is True else samples or None
        target = _TARGET if self._tells_target else None
        seen = Seen(value, self._dims, count, target, since)
        annotations = {name: self.alert.annotation.filled(text, seen) for name, text in self.alert.texts.items()}
        if rule.runbook_url:
            annotations["runbook_url"] = rule.runbook_url
        labels = {names.CATALOG_LABEL: self.alert.catalog.name, names.KPI_LABEL: self.alert.plan.kpi.name, **self._dims}
        return Look(minute, rule.name, [Firing(labels | self.alert.plain_labels, annotations)])


def threshold_scenarios(alert: PrometheusAlert, job: str) -> list[Scenario]:
    return list(_Play(alert, job).scenarios())


def _edges(alert: PrometheusAlert) -> list[_Edge]:
    found = []
    if alert.bounds.lower is not None and alert.lowest is not None:
        found.append(_edge("below", alert.bounds.lower, alert.lowest, -1))
    if alert.bounds.upper is not None and alert.highest is not None:
        found.append(_edge("above", alert.bounds.upper, alert.highest, 1))
    return found


def _edge(name: str, bound: Decimal, recover: Decimal, way: int) -> _Edge:
    between = recover + way * _least(recover)
    inside = between > bound if way < 0 else between < bound
    return _Edge(name, bound + way * _least(bound), bound, between if inside else None, recover)


def _least(number: Decimal) -> Decimal:
    """How much its ninth digit is worth."""
    return Decimal(1).scaleb(number.adjusted() - _DIGITS if number else -_DIGITS - 1)


def _minutes(us: int) -> int:
    return -(-us // MINUTE_US)
