"""Few: a goal, a person or a board with many KPIs has none that matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule

RULE = Rule("few", "Attention is short: among many numbers the one that matters is seen too late.")

MOST_OF_A_GOAL: Final = 5
MOST_OF_AN_OWNER: Final = 10
MOST_OF_A_BOARD: Final = 25  # a catalog is a board, and an overview in Grafana


def advise(given: Given) -> Iterator[Advice]:
    goals = Counter(kpi.goal for _, kpi in given.kpis if kpi.goal is not None)
    for goal, count in goals.items():
        if count > MOST_OF_A_GOAL:
            hint = f"keep the {MOST_OF_A_GOAL} that decide, and the rest as metrics"
            yield RULE.advice(("goals", goal), f"{count} KPIs serve it", hint)
    owners = Counter(kpi.owner for _, kpi in given.kpis if kpi.owner is not None)
    for owner, count in owners.items():
        if count > MOST_OF_AN_OWNER:
            hint = f"nobody steers by more than {MOST_OF_AN_OWNER}: hand some on, or drop them"
            yield RULE.advice((), f"owner {owner} answers for {count} KPIs", hint)
    if (count := len(given.catalog.kpis)) > MOST_OF_A_BOARD:
        hint = (
            f"split the catalog by who looks at it, at most {MOST_OF_A_BOARD} KPIs each: catalogs run beside each other"
        )
        yield RULE.advice((), f"{count} KPIs on one board", hint)
