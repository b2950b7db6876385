"""What is declared is used."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.expressions import compile_derived

RULE = Rule("unused", "What no KPI needs is checked, event by event, or explained to every reader, for nothing.")


def advise(given: Given) -> Iterator[Advice]:
    catalog = given.catalog
    metrics: set[str] = set()
    for _, kpi in given.kpis:
        metrics.update(name for name in (kpi.metric, kpi.numerator, kpi.denominator) if name is not None)
        if kpi.expr is not None:
            metrics.update(name for name, _ in compile_derived(kpi.expr).terms)
    for name in catalog.metrics:
        if name not in metrics:
            yield RULE.advice(("metrics", name), "no KPI uses it", "remove it, or declare a KPI")
    sources = {catalog.metrics[name].source for name in metrics}
    for name in catalog.sources:
        if name not in sources:
            yield RULE.advice(("sources", name), "no KPI reads it", "remove it, or declare a KPI")
