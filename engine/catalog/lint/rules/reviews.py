"""A review is not overdue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.event_time.durations import DAY_US, nominal_us

RULE = Rule("reviews", "A KPI that nobody has questioned for long may steer towards what once mattered.")


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        if kpi.review is None:
            continue
        due = date.fromisoformat(kpi.review.last) + timedelta(days=-(-nominal_us(kpi.review.every) // DAY_US))
        if due < given.today:
            days = (given.today - due).days
            message = f"its review has been due since {due.isoformat()}, for {days} day{'s' if days > 1 else ''}"
            hint = "review it: is it still looked at, and does it still say what it should?"
            yield RULE.advice(("kpis", name, "review"), message, hint)
