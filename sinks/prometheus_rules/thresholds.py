"""Alerts with ``evaluator: prometheus``: a threshold, its recovery value and its silences as PromQL.

The expression gives a series that is in breach; or that fires and has not come to the recovery value yet; or that fires
and has no value now that says anything, for as long as the engine would wait for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

from engine.alerts.states import LEAST_PATIENCE_US
from engine.alerts.words import condition, digits, length
from engine.catalog.alerting import Alert, Threshold
from engine.catalog.model import Catalog, Hop, Window
from engine.event_time.durations import nominal_us
from engine.plan import KpiPlan, plan_catalog
from engine.series import OTHER_TEXT
from sinks import names
from sinks.prometheus_rules.annotations import Annotation
from sinks.prometheus_rules.rules import Alerting, Recording, equal, literal, selector

# Labels that alerts have by themselves.
_TAKEN: Final = frozenset({"alertname", "alertstate", "severity", names.CATALOG_LABEL})
_SHARE: Final = 10  # of a rolling window, at most one in so many may be missing while it is open


@dataclass(frozen=True)
class PrometheusAlert:
    catalog: Catalog
    plan: KpiPlan
    rule: Alert
    bounds: Threshold

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self.plan.kpi.group_by

    @cached_property
    def annotation(self) -> Annotation:
        return Annotation(self.catalog.name, self.plan, self.rule.name, self.bounds)

    @property
    def texts(self) -> dict[str, str]:
        """Annotations as in the catalog, with a summary where it has none."""
        where = ", ".join(f"{name} {{{name}}}" for name in self.dimensions)
        said = condition(self.bounds).replace("{", "{{").replace("}", "}}")
        return {"summary": f"{{title}}{f' ({where})' if where else ''} is {{value}}: {said}", **self.rule.annotations}

    @property
    def plain_labels(self) -> dict[str, str]:
        """As the engine gives to alerts; dimensions and ``catalog`` come with the series."""
        kpi = self.plan.kpi
        facts = {"owner": self.plan.facts.owner, "goal": self.plan.facts.goal}
        own = {**kpi.labels, **self.rule.labels, **facts}
        taken = {*self.dimensions, *_TAKEN, names.KPI_LABEL}
        return {"severity": self.rule.severity} | {k: text for k, text in own.items() if text and k not in taken}

    @property
    def lowest(self) -> Decimal | None:
        """What ends it from below."""
        return self.bounds.lower if self.bounds.recover_lower is None else self.bounds.recover_lower

    @property
    def highest(self) -> Decimal | None:
        return self.bounds.upper if self.bounds.recover_upper is None else self.bounds.recover_upper

    @property
    def patience_us(self) -> int:
        return max(LEAST_PATIENCE_US, 2 * self.plan.windows.max_step_us)

    def alerting(self) -> Alerting:
        annotations = {name: self.annotation.template(text) for name, text in self.texts.items()}
        if self.rule.runbook_url:
            annotations["runbook_url"] = literal(self.rule.runbook_url)
        labels = {name: literal(text) for name, text in self.plain_labels.items()}
        return Alerting(
            self.rule.name, self._expr(), labels, annotations, self.rule.for_us, self.rule.keep_firing_for_us
        )

    def recording(self) -> Recording:
        """The values it was judged by while it fired: the last of them stands in while there is none."""
        expr = f"{self._judged()} and on ({self._series}) {self._alerts(firing=False)}"
        return Recording(names.RECORDED_FIRING, expr, {"alertname": self.rule.name})

    def _expr(self) -> str:
        bounds, firing = self.bounds, f"and on ({self._series}) {self._alerts()}"
        parts = list(self._beyond(bounds.lower, bounds.upper))
        if (self.lowest, self.highest) != (bounds.lower, bounds.upper):
            parts += [f"{part} {firing}" for part in self._beyond(self.lowest, self.highest)]
        kept = selector(names.RECORDED_FIRING, [*self._matchers, *equal(alertname=self.rule.name)])
        last = f"max without (alertname) (last_over_time({kept}[{length(self.patience_us)}]))"
        return "\nor\n".join([*parts, f"{last} {firing} unless on ({self._series}) ({self._judged()})"])

    def _beyond(self, lower: Decimal | None, upper: Decimal | None) -> Iterator[str]:
        if lower is not None:
            yield self._judged(f" < {digits(lower)}")
        if upper is not None:
            yield self._judged(f" > {digits(upper)}")

    def _judged(self, held: str = "") -> str:
        """Its values that say something: null has no series, and fewer samples say nothing."""
        value = selector(names.recorded(names.KPI_VALUE), self._matchers) + held
        if not self.rule.min_sample:
            return value
        return f"{value} and {selector(names.recorded(names.KPI_SAMPLES), self._matchers)} >= {self.rule.min_sample}"

    def _alerts(self, *, firing: bool = True) -> str:
        state = {"alertstate": "firing"} if firing else {}
        return selector("ALERTS", equal(alertname=self.rule.name, **state, **self._identity))

    @property
    def _identity(self) -> dict[str, str]:
        return {names.CATALOG_LABEL: self.catalog.name, names.KPI_LABEL: self.plan.kpi.name}

    @property
    def _matchers(self) -> list[str]:
        found = equal(**self._identity, **self.rule.where)
        if self.dimensions and self.dimensions[0] not in self.rule.where:
            found.append(f'{self.dimensions[0]}!="{OTHER_TEXT}"')  # the folded rest is no series
        return found

    @property
    def _series(self) -> str:
        return ", ".join([*self._identity, *self.dimensions])


def prometheus_alerts(catalog: Catalog) -> list[PrometheusAlert]:
    return [
        PrometheusAlert(catalog, plan, rule, rule.when)
        for plan in plan_catalog(catalog).kpis
        for rule in plan.kpi.alerts
        if rule.evaluator == "prometheus" and isinstance(rule.when, Threshold)
    ]


def refusals(catalog: Catalog) -> list[str]:
    """What Prometheus cannot judge, and what to write instead; one sentence for each such alert."""
    return [
        f'kpi "{kpi.name}": alert "{rule.name}": {why}'
        for kpi in catalog.kpis.values()
        for rule in kpi.alerts
        if rule.evaluator == "prometheus" and (why := _why_not(kpi.window))
    ]


def _why_not(window: Window) -> str | None:
    """Prometheus sees the newest value alone, of a window that is still filling; what else it cannot judge, the catalog
    refuses.
    """
    if isinstance(window, Hop) and nominal_us(window.slide) * _SHARE > nominal_us(window.size):
        return f"Prometheus sees a window that lacks up to {window.slide} of its {window.size}; write evaluator: engine"
    return None
