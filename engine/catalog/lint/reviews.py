"""A review is not overdue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog
from engine.event_time.durations import DAY_US, nominal_us


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    for name, kpi in catalog.kpis.items():
        if kpi.review is None:
            continue
        due = date.fromisoformat(kpi.review.last) + timedelta(days=-(-nominal_us(kpi.review.every) // DAY_US))
        if due < today:
            days = (today - due).days
            message = f"its review has been due since {due.isoformat()}, for {days} day{'s' if days > 1 else ''}"
            hint = "review it: is it still looked at, and does it still say what it should?"
            yield Advice("reviews", ("kpis", name, "review"), message, hint)
