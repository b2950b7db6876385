"""Time-bound: a KPI has an objective, and a date on which somebody looks at it again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    for name, kpi in catalog.kpis.items():
        if not kpi.objectives:
            hint = "write objectives: [{op: gte, value: ...}]; without a target nobody can tell good from bad"
            yield Advice("time_bound", ("kpis", name), "no objective", hint)
        if kpi.review is None:
            yield Advice("time_bound", ("kpis", name), "no review", "write review: {every: 90d, last: 2026-01-31}")
