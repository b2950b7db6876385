"""Relevant: a KPI serves a goal and has an owner; otherwise it is only a metric."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    for name, kpi in catalog.kpis.items():
        missing = [key for key in ("goal", "owner") if getattr(kpi, key) is None]
        if missing:
            hint = "say what it serves and who answers for it, or keep it as a metric only"
            yield Advice("relevant", ("kpis", name), f"no {' and no '.join(missing)}", hint)
    for name, goal in catalog.goals.items():
        if all(kpi.goal != name for kpi in catalog.kpis.values()):
            yield Advice("relevant", ("goals", name), "no KPI serves it", f"write goal: {name} on those that do")
        if goal.owner is None:
            yield Advice("relevant", ("goals", name), "no owner", "say who answers for it")
