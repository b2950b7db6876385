"""Advice on a valid catalog: are its KPIs specific, measurable, achievable, relevant, time-bound, and few enough to be
looked at? Where something is meant as it is, the catalog says so with a reason: ``lint: {ignore: [{rule, reason}]}``.

`rules/` has one rule a file, each with a function ``advise(given)`` that yields advice. To add a rule, put a file with
such a function there, and its name into `model.LintRule` and `advice.WEIGHTS`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import import_module
from typing import cast

from engine.catalog.drafts import Path
from engine.catalog.lint import rules
from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given
from engine.catalog.lint.history import NO_HISTORY, History, Seen
from engine.catalog.lint.scores import scores
from engine.catalog.model import Catalog, LintIgnore

__all__ = ["NO_HISTORY", "Advice", "History", "Ignored", "Seen", "Verdict", "all_rules", "judge", "lint"]

Advise = Callable[[Given], Iterator[Advice]]


@dataclass(frozen=True, slots=True)
class Ignored:
    """Advice that the catalog does not want, and the reason that it gives."""

    advice: Advice
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``advice`` by rule, without what is ignored; ``scores`` of every goal, from 0 to 100 (`lint/scores.py`)."""

    advice: tuple[Advice, ...]
    ignored: tuple[Ignored, ...]
    scores: Mapping[str, int]


@cache
def all_rules() -> Mapping[str, Advise]:
    """Every rule, by name, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(rules.__path__))
    return {name: cast(Advise, import_module(f"{rules.__name__}.{name}").advise) for name in names}


def judge(catalog: Catalog, today: date, history: History = NO_HISTORY) -> Verdict:
    """``today`` is what reviews are measured against, and which objectives hold."""
    given = Given(catalog, today, history)
    found: list[Advice] = []
    ignored: list[Ignored] = []
    for advice in (one for advise in all_rules().values() for one in advise(given)):
        reason = _reason(catalog, advice)
        if reason is None:
            found.append(advice)
        else:
            ignored.append(Ignored(advice, reason))
    return Verdict(tuple(found), tuple(ignored), scores(catalog, found))


def lint(catalog: Catalog, today: date) -> tuple[Advice, ...]:
    """All advice that can be given without history."""
    return judge(catalog, today).advice


def _reason(catalog: Catalog, advice: Advice) -> str | None:
    """Why what the advice is about ignores its rule; None where it does not."""
    return next((one.reason for one in _ignores(catalog, advice.path) if one.rule == advice.rule), None)


def _ignores(catalog: Catalog, path: Path) -> tuple[LintIgnore, ...]:
    if not path:
        return catalog.lint.ignore
    name = str(path[1])
    match path[0]:
        case "goals":
            return catalog.goals[name].lint.ignore
        case "sources":
            return catalog.sources[name].lint.ignore
        case "metrics":
            return catalog.metrics[name].lint.ignore
        case _:
            return catalog.kpis[name].lint.ignore
