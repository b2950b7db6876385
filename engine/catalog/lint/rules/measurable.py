"""Measurable: a value has a unit."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.catalog.model import Catalog, Kpi

RULE = Rule("measurable", "A number without a unit cannot be compared with anything, not even with its target.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        if unit_of(given.catalog, kpi) is None:
            hint = "write unit: EUR, ratio, orders, ... on the KPI or its metric"
            yield RULE.advice(("kpis", name), "no unit", hint)


def unit_of(catalog: Catalog, kpi: Kpi) -> str | None:
    """The KPI's unit, or that of the one metric it shows."""
    if kpi.unit is None and kpi.metric is not None:
        return catalog.metrics[kpi.metric].unit
    return kpi.unit
