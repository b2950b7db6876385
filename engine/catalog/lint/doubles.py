"""No two KPIs measure the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog, Kpi


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    first: dict[object, str] = {}
    for name, kpi in catalog.kpis.items():
        other = first.setdefault(_measured(catalog, kpi), name)
        if other != name:
            hint = "keep one of the two, or say what tells them apart"
            yield Advice("doubles", ("kpis", name), f'measures the same as kpi "{other}"', hint)


def _measured(catalog: Catalog, kpi: Kpi) -> object:
    """What affects the numbers: two names of one metric are the same, two titles of one KPI too."""
    metrics = tuple(_aggregate(catalog, name) for name in (kpi.metric, kpi.numerator, kpi.denominator))
    expr = " ".join(kpi.expr.split()) if kpi.expr is not None else None
    return (kpi.type, metrics, expr, frozenset(kpi.group_by), kpi.where, kpi.window, kpi.calendar)


def _aggregate(catalog: Catalog, name: str | None) -> object:
    if name is None:
        return None
    metric = catalog.metrics[name]
    parameters = (metric.percentile, metric.accuracy, metric.exact_below, metric.per, metric.fill_nulls_with)
    return (metric.source, metric.agg, metric.expr, metric.filter, *parameters)
