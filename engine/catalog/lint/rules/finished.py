"""An alert of a grain to date that looks only when the grain is over."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.alerting import Change, Threshold
from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.catalog.model import Cumulate

RULE = Rule("finished", "What is told when the month is over can no longer be helped.")
LONG = ("week", "month", "quarter", "year")


def advise(given: Given) -> Iterator[Advice]:
    """An info may say how a grain ended, and a day ends soon."""
    for name, kpi in given.kpis:
        if not isinstance(kpi.window, Cumulate) or kpi.window.grain not in LONG:
            continue
        for number, alert in enumerate(kpi.alerts):
            if isinstance(alert.when, Threshold | Change) and alert.evaluate == "closed" and alert.severity != "info":
                message = f"{alert.name} judges the finished {kpi.window.grain} only"
                hint = "add evaluate: open, or use pace_below; or write severity: info"
                yield RULE.advice(("kpis", name, "alerts", number), message, hint)
