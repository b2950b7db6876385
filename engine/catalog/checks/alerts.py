"""Alerts: recovery on the healthy side, bounds in order, conditions that have what they are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.catalog import document
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.model import Kpi


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        node = whereabouts.find(("kpis", name, "alerts"))[2]
        if not isinstance(node, document.Sequence):
            continue
        names: set[str] = set()
        for number, item in enumerate(node.items):
            path: Path = ("kpis", name, "alerts", number)
            when = item.entries.get("when") if isinstance(item, document.Mapping) else None
            if isinstance(when, document.Mapping):
                yield from _condition(kpi, when, (*path, "when"))
            alert = item.entries.get("alert") if isinstance(item, document.Mapping) else None
            if isinstance(alert, document.Scalar):
                if alert.text in names:
                    yield Finding((*path, "alert"), f"{alert.text} is there twice", "rename one of the two")
                names.add(alert.text)


def _condition(kpi: Kpi, when: document.Mapping, path: Path) -> Iterator[Finding]:
    below, above, recover = (_number(when, key) for key in ("below", "above", "recover"))
    if below is not None and recover is not None and recover < below:
        yield Finding((*path, "recover"), f"{recover} is below {below}", "an alert below a bound ends at or above it")
    if above is not None and recover is not None and recover > above:
        yield Finding((*path, "recover"), f"{recover} is above {above}", "an alert above a bound ends at or below it")
    if "change" in when.entries and kpi.compare is None:
        yield Finding((*path, "change"), "change against nothing", "write compare: {offset_window: 30d}")
    if "pace_below" in when.entries and all(objective.pacing is None for objective in kpi.objectives):
        yield Finding(
            (*path, "pace_below"), "no objective has a pacing", "write pacing: linear or seasonal on an objective"
        )


def _number(when: document.Mapping, key: str) -> Decimal | None:
    node = when.entries.get(key)
    if isinstance(node, document.Scalar) and node.kind in ("integer", "float"):
        return Decimal(node.text)
    return None
