"""Achievable: the objective lies within what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

import numpy as np

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.catalog.lint.history import Floats, Seen, by_grain
from engine.catalog.lint.rules.measurable import unit_of
from engine.catalog.model import Kpi, Objective
from engine.event_time.calendars import LocalCalendar

RULE = Rule("achievable", "A target that was never met is soon one that nobody looks at.")

# Fewer values say nothing of what can be reached.
LEAST_VALUES: Final = 10
LEAST_GRAINS: Final = 3  # whole days, weeks, months, ...


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        held: dict[int, list[Seen]] = {}
        for seen in given.history.get(name, ()):
            if (position := _objective_of(kpi, seen, given.today)) is not None:
                held.setdefault(position, []).append(seen.whole(kpi))
        unit = unit_of(given.catalog, kpi)
        for position, series in sorted(held.items()):
            objective, known = kpi.objectives[position], [one for one in series if len(one)]
            if sum(map(len, known)) < _least(kpi):
                continue
            if told := _never_met(objective, known, unit, LocalCalendar(kpi.calendar)):
                hint = "aim at what can be reached, or say with valid_from when it is to hold"
                yield RULE.advice(("kpis", name, "objectives", position), told, hint)


def _least(kpi: Kpi) -> int:
    return LEAST_GRAINS if by_grain(kpi) else LEAST_VALUES


def _objective_of(kpi: Kpi, seen: Seen, today: date) -> int | None:
    """Position of the objective that the series is held to today: see `engine.targets`."""
    applying = [
        (len(objective.where), objective.valid_from or "", position)
        for position, objective in enumerate(kpi.objectives)
        if (objective.valid_from or "") <= today.isoformat()
        and all(seen.dims.get(name) == value for name, value in objective.where.items())
    ]
    return max(applying)[2] if applying else None


def _never_met(objective: Objective, series: list[Seen], unit: str | None, calendar: LocalCalendar) -> str | None:
    """What there is to say where none of the values met the objective."""
    values = np.concatenate([one.values for one in series])
    missed = _missed_by(objective, values)
    if (missed == 0).any():
        return None
    best = float(values[np.argmin(missed)])
    first = calendar.days_of(np.array([min(int(one.end_us[0]) for one in series)]))[0].astype("datetime64[D]")
    shown = f"the best of {values.size:,} values since {first} is {_amount(best, unit)}"
    return f"{_aim(objective, unit)} was never met: {shown}"


def _missed_by(objective: Objective, values: Floats) -> Floats:
    """How far each value is from the objective; 0 where it is met."""
    lower = -np.inf if objective.op == "lte" else float(objective.value)
    upper = float(objective.value) if objective.op == "lte" else np.inf
    if objective.op == "between" and objective.upper is not None:
        upper = float(objective.upper)
    found: Floats = np.maximum(np.maximum(lower - values, values - upper), 0)
    return found


def _aim(objective: Objective, unit: str | None) -> str:
    where = "".join(f", {name} {value}," for name, value in objective.where.items())
    bound = _amount(float(objective.value), unit)
    if objective.upper is not None:
        return f"its target of {bound} to {_amount(float(objective.upper), unit)}{where}"
    return f"its target of at {'least' if objective.op == 'gte' else 'most'} {bound}{where}"


def _amount(value: float, unit: str | None) -> str:
    if unit == "ratio":
        return f"{value * 100:.4g} %"
    shown = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    return f"{shown} {unit}" if unit else shown
