"""A goal has a leading KPI, and what is said to foretell another KPI has done so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.catalog.lint.history import Floats, Seen
from engine.event_time.durations import DAY_US

RULE = Rule("leading", "Lagging KPIs tell of a failure when it can no longer be helped.")

LEAST_VALUES: Final = 20
FORETOLD: Final = 0.3  # below, the one says next to nothing of the other


def advise(given: Given) -> Iterator[Advice]:
    for goal in given.catalog.goals:
        indicators = {kpi.indicator for _, kpi in given.kpis if kpi.goal == goal}
        if indicators == {"lagging"}:
            hint = "add one that moves before the result does, with indicator: leading"
            yield RULE.advice(("goals", goal), "all its KPIs are lagging", hint)
    for name, kpi in given.kpis:
        if kpi.leads is None:
            continue
        followed = {_dims(seen): seen for seen in given.history.get(kpi.leads.kpi, ())}
        found = [
            _correlation(seen, followed[_dims(seen)], kpi.leads.by_us)
            for seen in given.history.get(name, ())
            if _dims(seen) in followed
        ]
        known = [one for one in found if one is not None]
        if known and max(known) < FORETOLD:
            days = f"{kpi.leads.by_us / DAY_US:g} days"
            message = f'does not foretell kpi "{kpi.leads.kpi}": {days} apart they correlate at {max(known):.2f}'
            yield RULE.advice(("kpis", name, "leads"), message, "try another by, or name another KPI")


def _dims(seen: Seen) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(seen.dims.items()))


def _correlation(one: Seen, other: Seen, by_us: int) -> float | None:
    """In absolute value, of each value with what had been seen of the leading one that long before.

    None where too little is known.
    """
    place = np.searchsorted(one.end_us, other.end_us - by_us, side="right") - 1
    near = (place >= 0) & (other.end_us - by_us - one.end_us[place] <= DAY_US)
    if int(near.sum()) < LEAST_VALUES:
        return None
    return _pearson(one.values[place[near]], other.values[near])


def _pearson(left: Floats, right: Floats) -> float:
    """0 where one of the two never changes."""
    left, right = left - left.mean(), right - right.mean()
    size = float(np.sqrt((left @ left) * (right @ right)))
    return abs(float(left @ right)) / size if size > 0 else 0.0
