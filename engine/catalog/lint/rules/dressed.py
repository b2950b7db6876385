"""A KPI is more than a metric: without goal, owner and target it is one, dressed as a KPI."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule, is_metric_only

RULE = Rule("dressed", "Numbers that nobody steers by hide the few that somebody does.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        if is_metric_only(kpi):
            hint = "give it all three, or leave it to those who read the metrics"
            yield RULE.advice(("kpis", name), "a metric dressed as a KPI: no goal, no owner and no target", hint)
