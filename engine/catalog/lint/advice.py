"""A word of advice about a valid catalog, and what it weighs in the score of a goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.catalog.drafts import Path, described
from engine.catalog.model import LintRule

Severity = Literal["warning", "advice"]

# Of 100, what a KPI or a goal loses by a rule that finds something in it. The five of SMART make up the 100 of a KPI.
WEIGHTS: Final[Mapping[LintRule, int]] = {
    "specific": 20,
    "measurable": 20,
    "achievable": 20,
    "relevant": 20,
    "time_bound": 20,
    "dressed": 60,
    "doubles": 20,
    "leading": 20,
    "few": 10,
    "reviews": 10,
    "finished": 10,
    "flapping": 10,
    "runbook": 5,
    "unused": 0,
}
_WARNING_FROM: Final = 20


@dataclass(frozen=True, slots=True)
class Advice:
    """``path`` leads to what it is about, for `Loaded.locate`; ``why`` it matters in a sentence, ``hint`` a change."""

    rule: LintRule
    path: Path
    message: str
    why: str
    hint: str

    @property
    def subject(self) -> str:
        return described(self.path)[0]

    @property
    def severity(self) -> Severity:
        return "warning" if WEIGHTS[self.rule] >= _WARNING_FROM else "advice"

    def __str__(self) -> str:
        subject = f"{self.subject}: " if self.subject else ""
        return f"{subject}{self.message}; {self.hint} [{self.rule}]"
