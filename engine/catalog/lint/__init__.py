"""Advice on a valid catalog: are its KPIs specific, measurable, relevant, time-bound, and few enough to be looked at?

One rule a file, each a function ``advise(catalog, today)`` that yields advice. To add a rule, put a file with such a
function here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from importlib import import_module
from typing import cast

from engine.catalog.lint.advice import Advice
from engine.catalog.model import Catalog

__all__ = ["Advice", "lint", "rules"]

Rule = Callable[[Catalog, date], Iterator[Advice]]


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule of this package, in the order of their names."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "advice")
    return tuple(cast(Rule, import_module(f"{__name__}.{name}").advise) for name in modules)


def lint(catalog: Catalog, today: date) -> tuple[Advice, ...]:
    """All advice, by rule. ``today`` is what reviews are measured against."""
    return tuple(advice for rule in rules() for advice in rule(catalog, today))
