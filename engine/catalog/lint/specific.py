"""Specific: a KPI says in words what it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    for name, kpi in catalog.kpis.items():
        missing = [key for key in ("title", "description") if getattr(kpi, key) is None]
        if missing:
            hint = "say what it counts, and what it leaves out"
            yield Advice("specific", ("kpis", name), f"no {' and no '.join(missing)}", hint)
