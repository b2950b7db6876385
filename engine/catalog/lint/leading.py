"""A goal has a leading KPI: with lagging ones alone, everybody learns too late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    for goal in catalog.goals:
        indicators = {kpi.indicator for kpi in catalog.kpis.values() if kpi.goal == goal}
        if indicators == {"lagging"}:
            hint = "add one that moves before the result does, with indicator: leading"
            yield Advice("leading", ("goals", goal), "all its KPIs are lagging", hint)
