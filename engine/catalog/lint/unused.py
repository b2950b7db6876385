"""What is declared is used: a source is read (and checked, event by event) even where no KPI needs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog
from engine.expressions import compile_derived


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    metrics: set[str] = set()
    for kpi in catalog.kpis.values():
        metrics.update(name for name in (kpi.metric, kpi.numerator, kpi.denominator) if name is not None)
        if kpi.expr is not None:
            metrics.update(name for name, _ in compile_derived(kpi.expr).terms)
    for name in catalog.metrics:
        if name not in metrics:
            yield Advice("unused", ("metrics", name), "no KPI uses it", "remove it, or declare a KPI")
    sources = {catalog.metrics[name].source for name in metrics}
    for name in catalog.sources:
        if name not in sources:
            yield Advice("unused", ("sources", name), "no KPI reads it", "remove it, or declare a KPI")
