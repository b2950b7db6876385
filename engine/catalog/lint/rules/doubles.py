"""No two KPIs measure the same: by what they are computed from, or by how they have moved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

import numpy as np

from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.catalog.lint.history import Floats, Seen
from engine.plan import KpiPlan, plan_catalog

RULE = Rule("doubles", "Two KPIs that always move together take two places and tell one story.")

CORRELATED: Final = 0.98
LEAST_VALUES: Final = 20  # that two series have at the same times
Series = Mapping[tuple[tuple[str, str], ...], Seen]


def advise(given: Given) -> Iterator[Advice]:
    first: dict[object, str] = {}
    same: set[tuple[str, str]] = set()
    for plan in plan_catalog(given.catalog).kpis:
        name = plan.kpi.name
        other = first.setdefault(_measured(plan), name)
        if other != name:
            same.add((other, name))
            hint = "keep one of the two, or say what tells them apart"
            yield RULE.advice(("kpis", name), f'measures the same as kpi "{other}"', hint)
    yield from _alike(given, same)


def _measured(plan: KpiPlan) -> object:
    """What affects the numbers: two names of one metric are the same, two titles of one KPI too."""
    kpi = plan.kpi
    terms = [
        (term.view.source.name, term.column.id, term.offset, term.metric.fill_nulls_with, term.metric.agg)
        for term in plan.terms
    ]
    shape = plan.derived.canonical if plan.derived is not None else None
    if shape is not None:  # by place instead of by name
        for place, term in enumerate(plan.terms):
            shape = re.sub(rf"\b{re.escape(term.metric.name)}\b", f"${place}", shape)
    return (kpi.type, tuple(terms), shape, frozenset(kpi.group_by), kpi.window, kpi.calendar)


def _alike(given: Given, same: set[tuple[str, str]]) -> Iterator[Advice]:
    """Of those with the same dimensions, each that moves as an earlier one does; compared with the first such only."""
    known = [
        (name, kpi, {tuple(sorted(seen.dims.items())): seen for seen in given.history[name]})
        for name, kpi in given.kpis
        if name in given.history
    ]
    told: set[str] = {name for _, name in same}
    for (one, first, its), (other, second, others) in combinations(known, 2):
        if other in told or frozenset(first.group_by) != frozenset(second.group_by):
            continue
        if (found := _correlation(its, others)) is not None and found > CORRELATED:
            told.add(other)
            everywhere = f" or more, for every {' and '.join(second.group_by)}" if second.group_by else ""
            message = f'moves with kpi "{one}": values and their changes correlate at {found:.3f}{everywhere}'
            yield RULE.advice(("kpis", other), message, "keep the one that is acted on, and the other as a metric")


def _correlation(one: Series, other: Series) -> float | None:
    """The least, in absolute value, over all series that both have; None where too little is known.

    Of the values and of their changes: all that grows correlates in its values alone.
    """
    found = []
    for dims in one.keys() & other.keys():
        _, mine, its = np.intersect1d(one[dims].end_us, other[dims].end_us, assume_unique=True, return_indices=True)
        if mine.size < LEAST_VALUES:
            continue
        left, right = one[dims].values[mine], other[dims].values[its]
        found.append(min(_pearson(left, right), _pearson(np.diff(left), np.diff(right))))
    return min(found) if found else None


def _pearson(left: Floats, right: Floats) -> float:
    """0 where one of the two never changes."""
    left, right = left - left.mean(), right - right.mean()
    size = float(np.sqrt((left @ left) * (right @ right)))
    return abs(float(left @ right)) / size if size > 0 else 0.0
