"""What a KPI is grouped by: few fields of countable types, in every source it reads, under names free in Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.catalog.checks.fields import DIMENSION_KINDS
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of
from engine.catalog.model import Kpi
from engine.catalog.vocabulary import MAX_DIMENSIONS

_OF_ALERTS: Final = frozenset({"catalog", "severity", "alertname", "alertstate"})
RESERVED: Final = frozenset({"kpi", "job", "instance", "pod", "le", "quantile"}) | _OF_ALERTS


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        path: Path = ("kpis", name, "group_by")
        if len(kpi.group_by) > MAX_DIMENSIONS:
            yield Finding(path, f"{len(kpi.group_by)} dimensions", f"group by at most {MAX_DIMENSIONS}")
        for number, dimension in enumerate(kpi.group_by):
            yield from _dimension(draft, kpi, dimension, (*path, number))
            if dimension in kpi.group_by[:number]:
                yield Finding((*path, number), f"{dimension} is there twice", "remove one of the two")


def _dimension(draft: Draft, kpi: Kpi, dimension: str, path: Path) -> Iterator[Finding]:
    if dimension in RESERVED or dimension.startswith("__"):
        hint = "declare the field under another name, with path: " + dimension
        who = "alerts have by themselves" if dimension in _OF_ALERTS else "Prometheus or this program uses itself"
        yield Finding(path, f'"{dimension}" is a label name that {who}', hint)
    kinds: dict[str, str] = {}
    for source_name in draft.sources_of(kpi):
        source = draft.sources[source_name]
        field = source.fields.get(dimension)
        if field is None:
            if dimension not in draft.unread_fields[source_name]:
                hint = one_of(dimension, tuple(source.fields), "fields")
                yield Finding(path, f'source "{source_name}", which the KPI reads, has no field "{dimension}"', hint)
            continue
        kinds[field.type.kind] = source_name
        if field.type.kind not in DIMENSION_KINDS:
            hint = f"a dimension is a field of type {', '.join(DIMENSION_KINDS[:-1])} or {DIMENSION_KINDS[-1]}"
            yield Finding(path, f"{dimension} is a {field.type}", hint)
    if len(kinds) > 1:
        types = " and ".join(f"{kind} in {source}" for kind, source in kinds.items())
        yield Finding(path, f"{dimension} is {types}", "declare it with one type")
