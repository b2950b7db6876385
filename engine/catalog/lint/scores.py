"""How good the KPIs of a goal are, as a number from 0 to 100.

A KPI begins with 100 and loses the weight of every rule that finds something in it, once a rule; a goal has the mean of
its KPIs, rounded down, less the weight of every rule that finds something in the goal itself. Neither goes below 0, and
a goal that no KPI serves has 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.catalog.lint.advice import WEIGHTS, Advice
from engine.catalog.model import Catalog


def scores(catalog: Catalog, advice: Iterable[Advice]) -> dict[str, int]:
    """By goal. Advice that the catalog ignores does not count: it is not to be given here."""
    found = {(one.path[:2], one.rule) for one in advice}
    lost: dict[tuple[str | int, ...], int] = {}
    for path, rule in found:
        lost[path] = lost.get(path, 0) + WEIGHTS[rule]

    def left(section: str, name: str, whole: int = 100) -> int:
        return max(0, whole - lost.get((section, name), 0))

    by_goal = {goal: [name for name, kpi in catalog.kpis.items() if kpi.goal == goal] for goal in catalog.goals}
    return {
        goal: left("goals", goal, sum(left("kpis", name) for name in names) // len(names)) if names else 0
        for goal, names in by_goal.items()
    }
