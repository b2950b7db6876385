"""Objectives: bounds in order, dimensions that the KPI has, shares of something, pacing of what adds up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from engine.catalog.building import own
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of
from engine.catalog.model import Cumulate, Kpi, Objective
from engine.expressions import only_adds

ADDING: Final = ("sum", "count")
DISTINCT: Final = "count_distinct"  # only grows within a grain, as a sum of what is new does


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        seen: dict[tuple[object, ...], int] = {}
        for number, objective in enumerate(kpi.objectives):
            path: Path = ("kpis", name, "objectives", number)
            yield from _bounds(objective, path)
            yield from dimension_findings(draft, kpi, objective.where, path)
            if objective.share is not None:
                yield from _share(kpi, objective, path)
            if objective.pacing is not None:
                yield from _pacing(draft, kpi, (*path, "pacing"))
            if objective.quiet_until is not None and objective.pacing is None:
                yield Finding(
                    (*path, "quiet_until"),
                    "quiet_until without pacing",
                    "write pacing: linear or seasonal, or remove it",
                )
            key = (tuple(sorted(objective.where.items())), objective.valid_from)
            first = seen.setdefault(key, number)
            if first != number:
                message = f"the same series and the same valid_from as objective {first + 1}"
                yield Finding(path, message, "give them different valid_from or where, or remove one")


def _bounds(objective: Objective, path: Path) -> Iterator[Finding]:
    if objective.share is not None:
        if objective.upper is not None:
            yield Finding((*path, "upper"), "the upper bound is the same share of the KPI's own", "remove it")
        return
    if objective.op == "between":
        if objective.upper is None:
            yield Finding(path, "between without upper", "write value: LOW and upper: HIGH")
        elif objective.upper <= objective.value:
            hint = "value is the lower bound, upper the upper one"
            yield Finding((*path, "upper"), f"{objective.upper} is not above the value {objective.value}", hint)
    elif objective.upper is not None:
        yield Finding((*path, "upper"), f"{objective.op} has no upper bound", "remove it, or write op: between")


def _share(kpi: Kpi, objective: Objective, path: Path) -> Iterator[Finding]:
    bases = own(kpi.objectives)
    if not objective.where:
        yield Finding((*path, "share"), "a share without where", "write where: {...}, or value for the KPI's own")
    elif not bases:
        message = "a share of nothing: no objective of the KPI is without where"
        yield Finding((*path, "share"), message, f"write {{op: {objective.op}, value: ...}} before it, or value here")
    for op in dict.fromkeys(base.op for base in bases if base.op != objective.op):
        yield Finding((*path, "op"), f"a share of the KPI's own objective, which is {op}", f"write op: {op}")


def _pacing(draft: Draft, kpi: Kpi, path: Path) -> Iterator[Finding]:
    if not isinstance(kpi.window, Cumulate):
        yield Finding(path, "pacing is for windows of type cumulate", "remove it")
        return
    reason = "a part of the grain is not a part of such a value"
    if kpi.type == "ratio":
        yield Finding(path, f"a ratio does not add up: {reason}", "remove it")
    elif kpi.expr is not None and not only_adds(kpi.expr):
        message = f"{kpi.expr} does more than add and subtract: {reason}"
        yield Finding(path, message, "remove it, or pace a KPI of the sums")
    names = [name for _, name in draft.metrics_of(kpi)] if kpi.expr is None else [n for n, _ in draft.terms(kpi.expr)]
    for name in dict.fromkeys(names if kpi.type != "ratio" else ()):
        metric = draft.metrics.get(name)
        if metric is not None and metric.agg not in ADDING and (kpi.expr is not None or metric.agg != DISTINCT):
            message = f"the {metric.agg} of {name} does not add up: {reason}"
            yield Finding(path, message, "pace a sum or a count, or remove it")


def dimension_findings(draft: Draft, kpi: Kpi, where: Mapping[str, str], path: Path) -> Iterator[Finding]:
    """What is wrong with the dimensions and values of a ``where`` below the path."""
    sources = [draft.sources[name] for name in draft.sources_of(kpi)]
    for dimension, value in where.items():
        here = (*path, "where", dimension)
        if dimension not in kpi.group_by:
            hint = (
                one_of(dimension, kpi.group_by, "its dimensions") if kpi.group_by else "write group_by, or remove where"
            )
            yield Finding(here, f'the KPI is not grouped by "{dimension}"', hint)
            continue
        kinds = {source.fields[dimension].type.kind for source in sources if dimension in source.fields}
        if "integer" in kinds and not re.fullmatch(r"-?(0|[1-9][0-9]*)", value):
            yield Finding(here, f'{dimension} is an integer, "{value}" is not', "write its digits")
        if "boolean" in kinds and value not in ("true", "false"):
            yield Finding(here, f'{dimension} is a boolean, "{value}" is not', "write true or false")
