"""A goal has a leading KPI."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule

RULE = Rule("leading", "Lagging KPIs tell of a failure when it can no longer be helped.")


def advise(given: Given) -> Iterator[Advice]:
    for goal in given.catalog.goals:
        indicators = {kpi.indicator for _, kpi in given.kpis if kpi.goal == goal}
        if indicators == {"lagging"}:
            hint = "add one that moves before the result does, with indicator: leading"
            yield RULE.advice(("goals", goal), "all its KPIs are lagging", hint)
