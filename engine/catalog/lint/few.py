"""Few: a goal or a person with many KPIs has none that matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Final

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog

MOST_OF_A_GOAL: Final = 5
MOST_OF_AN_OWNER: Final = 10


def advise(catalog: Catalog, today: date) -> Iterator[Advice]:
    goals = Counter(kpi.goal for kpi in catalog.kpis.values() if kpi.goal is not None)
    for goal, count in goals.items():
        if count > MOST_OF_A_GOAL:
            hint = f"keep the {MOST_OF_A_GOAL} that decide, and the rest as metrics"
            yield Advice("few", ("goals", goal), f"{count} KPIs serve it", hint)
    owners = Counter(kpi.owner for kpi in catalog.kpis.values() if kpi.owner is not None)
    for owner, count in owners.items():
        if count > MOST_OF_AN_OWNER:
            hint = f"nobody steers by more than {MOST_OF_AN_OWNER}: hand some on, or drop them"
            yield Advice("few", (), f"owner {owner} answers for {count} KPIs", hint)
