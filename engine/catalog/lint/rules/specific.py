"""Specific: a KPI says in words what it is."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule

RULE = Rule("specific", "Two people who read a name differently argue about numbers that are both right.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        missing = [key for key in ("title", "description") if getattr(kpi, key) is None]
        if missing:
            hint = "say what it counts, and what it leaves out"
            yield RULE.advice(("kpis", name), f"no {' and no '.join(missing)}", hint)
