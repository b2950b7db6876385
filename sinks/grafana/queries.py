"""PromQL over the metrics of workers.

A series that moves is shown by two workers for the length of a scrape, with the same value or an older one: `max`
without what tells workers apart, never `sum`. A KPI without a value now has no series, so where a panel must show that
it is missing, `or vector(NaN)` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from engine.values import OTHER
from sinks import names

JOB: Final = "job"
TOP: Final = "top"
OF_JOB: Final = f'{JOB}=~"${JOB}"'


def dimension_variable(dimension: str) -> str:
    """The variable that picks values of a dimension; a dimension may have the name of a variable of ours."""
    return f"dim_{dimension}"


def selector(metric: str, *matchers: str) -> str:
    return f"{metric}{{{','.join([OF_JOB, *matchers])}}}"


def of_kpis(kpis: Iterable[str]) -> str:
    found = sorted(kpis)
    return f'{names.KPI_LABEL}="{found[0]}"' if len(found) == 1 else f'{names.KPI_LABEL}=~"{"|".join(found)}"'


def chosen(dimensions: Sequence[str]) -> list[str]:
    """Matchers of what is picked of each dimension."""
    return [f'{name}=~"${dimension_variable(name)}"' for name in dimensions]


def without_rest(dimensions: Sequence[str]) -> list[str]:
    """A matcher that leaves out what was folded together beyond the cap."""
    return [f'{dimensions[0]}!="{OTHER}"'] if dimensions else []


def current(metric: str, *matchers: str) -> str:
    """Each series once, whichever workers show it."""
    return f"max without (instance, pod, job) ({selector(metric, *matchers)})"


def or_missing(expr: str) -> str:
    """One number, NaN where there is none: `expr` must have no labels."""
    return f"{expr} or vector(NaN)"


def or_zero(expr: str) -> str:
    return f"{expr} or vector(0)"


def first_at_end(pick: str, expr: str) -> str:
    """The series of a range query that `pick` (topk, bottomk) finds at its end, so that none comes and goes on the way.

    `expr` has one selector, which closes with the last brace.
    """
    head, _, rest = expr.rpartition("}")
    return f"{pick}(${TOP}, {head}}} @ end(){rest})"


def pace(metric: str, by: str, *matchers: str) -> str:
    """How fast a counter grows that every worker has of its own, all workers together."""
    return f"sum by ({by}) (rate({selector(metric, *matchers)}[$__rate_interval]))"
