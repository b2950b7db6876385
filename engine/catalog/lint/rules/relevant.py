"""Relevant: a KPI serves a goal and has an owner, and so has a goal."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule, is_metric_only

RULE = Rule("relevant", "What serves no goal, or is nobody's, changes no decision when it moves.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        missing = [key for key in ("goal", "owner") if getattr(kpi, key) is None]
        if missing and not is_metric_only(kpi):
            hint = "say what it serves and who answers for it, or keep it as a metric only"
            yield RULE.advice(("kpis", name), f"no {' and no '.join(missing)}", hint)
    for name, goal in given.catalog.goals.items():
        if all(kpi.goal != name for _, kpi in given.kpis):
            yield RULE.advice(("goals", name), "no KPI serves it", f"write goal: {name} on those that do")
        if goal.owner is None:
            yield RULE.advice(("goals", name), "no owner", "say who answers for it")
