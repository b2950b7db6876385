"""Objectives: bounds in order, dimensions that the KPI has, pacing only where there is something to pace."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of
from engine.catalog.model import Cumulate, Kpi, Objective


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        seen: dict[tuple[object, ...], int] = {}
        for number, objective in enumerate(kpi.objectives):
            path: Path = ("kpis", name, "objectives", number)
            yield from _bounds(objective, path)
            yield from _where(draft, kpi, objective, path)
            if objective.pacing is not None and not isinstance(kpi.window, Cumulate):
                yield Finding((*path, "pacing"), "pacing is for windows of type cumulate", "remove it")
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
    if objective.op == "between":
        if objective.upper is None:
            yield Finding(path, "between without upper", "write value: LOW and upper: HIGH")
        elif objective.upper <= objective.value:
            hint = "value is the lower bound, upper the upper one"
            yield Finding((*path, "upper"), f"{objective.upper} is not above the value {objective.value}", hint)
    elif objective.upper is not None:
        yield Finding((*path, "upper"), f"{objective.op} has no upper bound", "remove it, or write op: between")


def _where(draft: Draft, kpi: Kpi, objective: Objective, path: Path) -> Iterator[Finding]:
    sources = [draft.sources[name] for name in draft.sources_of(kpi)]
    for dimension, value in objective.where.items():
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
