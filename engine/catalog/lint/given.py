"""What a rule looks at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from engine.catalog.drafts import Path
from engine.catalog.lint.advice import Advice
from engine.catalog.lint.history import History
from engine.catalog.model import Catalog, Kpi, LintRule


@dataclass(frozen=True, slots=True)
class Given:
    """A checked catalog, the day it is judged on, and what its KPIs were as far as that is known."""

    catalog: Catalog
    today: date
    history: History

    @property
    def kpis(self) -> Iterable[tuple[str, Kpi]]:
        return self.catalog.kpis.items()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's name, and why what it finds matters: one sentence."""

    name: LintRule
    why: str

    def advice(self, path: Path, message: str, hint: str) -> Advice:
        return Advice(self.name, path, message, self.why, hint)


def is_metric_only(kpi: Kpi) -> bool:
    """Nobody answers for it, it serves nothing and aims at nothing."""
    return kpi.goal is None and kpi.owner is None and not kpi.objectives
