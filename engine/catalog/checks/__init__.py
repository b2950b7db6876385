"""What a catalog must hold beyond its form. One rule a file, each a function that yields findings.

To add a rule, put a file with a function ``check(draft, whereabouts)`` here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import cast

from engine.catalog.drafts import Draft, Finding, Whereabouts

Check = Callable[[Draft, Whereabouts], Iterator[Finding]]


@cache
def rules() -> tuple[Check, ...]:
    """Every rule of this package, in the order of their names."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(cast(Check, import_module(f"{__name__}.{name}").check) for name in modules)


def all_findings(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for rule in rules():
        yield from rule(draft, whereabouts)
