"""Who is told of an alert is told what to do."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule

RULE = Rule("runbook", "Who is woken at night reads, and does not think.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        missing = [alert.name for alert in kpi.alerts if alert.runbook_url is None]
        if missing:
            hint = "write runbook_url, a page that says what to do"
            yield RULE.advice(("kpis", name, "alerts"), f"no runbook for {', '.join(missing)}", hint)
