"""Measurable: a value has a unit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog, Kpi


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    for name, kpi in catalog.kpis.items():
        if unit_of(catalog, kpi) is None:
            hint = "write unit: EUR, ratio, orders, ... on the KPI or its metric"
            yield Advice("measurable", ("kpis", name), "no unit", hint)


def unit_of(catalog: Catalog, kpi: Kpi) -> str | None:
    """The KPI's unit, or that of the one metric it shows."""
    if kpi.unit is None and kpi.metric is not None:
        return catalog.metrics[kpi.metric].unit
    return kpi.unit
