"""Time-bound: a KPI has an objective, and a date on which somebody looks at it again."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule, is_metric_only

RULE = Rule("time_bound", "Without a target for its window and a day of review, a KPI is never met and never over.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        if is_metric_only(kpi):
            continue
        if not kpi.objectives:
            hint = "write objectives: [{op: gte, value: ...}]; without a target nobody can tell good from bad"
            yield RULE.advice(("kpis", name), "no objective", hint)
        if kpi.review is None:
            yield RULE.advice(("kpis", name), "no review", "write review: {every: 90d, last: 2026-01-31}")
