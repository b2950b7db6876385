"""Drivers, leads and muted_by name other KPIs that are there, and no circle of them mutes itself."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of
from engine.catalog.model import Kpi


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        for number, driver in enumerate(kpi.drivers):
            path: Path = ("kpis", name, "drivers", number)
            yield from unknown_kpi(draft, driver, path)
            if driver == name:
                yield Finding(path, "the KPI itself", "name others, whose values explain this one's")
            if driver in kpi.drivers[:number]:
                yield Finding(path, f"{driver} is there twice", "remove one of the two")
        yield from _leads(draft, kpi)
    yield from _muting(draft)


def unknown_kpi(draft: Draft, name: str, path: Path) -> Iterator[Finding]:
    known = draft.declared["kpis"]
    if name not in known and "kpis" not in draft.unread_sections:
        yield Finding(path, f'unknown kpi "{name}"', one_of(name, sorted(known), "KPIs"))


def _leads(draft: Draft, kpi: Kpi) -> Iterator[Finding]:
    if kpi.leads is None:
        return
    path: Path = ("kpis", kpi.name, "leads")
    yield from unknown_kpi(draft, kpi.leads.kpi, (*path, "kpi"))
    if kpi.leads.kpi == kpi.name:
        yield Finding((*path, "kpi"), "the KPI itself", "name the lagging KPI that it foretells")
        return
    if kpi.indicator != "leading":
        yield Finding(path, "a KPI that foretells another is leading", "write indicator: leading, or remove leads")
    other = draft.kpis.get(kpi.leads.kpi)
    if other is not None and other.indicator != "lagging":
        message = f"{other.name} is not a lagging KPI"
        yield Finding((*path, "kpi"), message, f"write indicator: lagging on {other.name}, or name another")


def _muting(draft: Draft) -> Iterator[Finding]:
    muted: dict[str, set[str]] = {}
    for name, rules in draft.rules.items():
        for number, rule in enumerate(rules):
            by = rule.read.get("muted_by")
            if by is None:
                continue
            path: Path = ("kpis", name, "alerts", number, "muted_by")
            yield from unknown_kpi(draft, by, path)
            if by == name:
                yield Finding(path, "a KPI does not mute itself", "name another, or remove it")
            elif by in draft.declared["kpis"] and not draft.rules.get(by) and by in draft.kpis:
                yield Finding(path, f"{by} has no alerts, so it mutes nothing", "give it one, or remove muted_by")
            elif (circle := _way(muted, by, name)) is not None:
                message = f"a circle: {' by '.join([name, *circle])}"
                yield Finding(path, message, "remove one of them; the cause mutes what follows from it")
            else:
                muted.setdefault(name, set()).add(by)


def _way(muted: dict[str, set[str]], start: str, end: str) -> list[str] | None:
    """From KPI to the KPI that mutes it, if that leads to the end."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop()
        if way[-1] == end:
            return way
        for following in sorted(muted.get(way[-1], set()) - seen):
            seen.add(following)
            ways.append([*way, following])
    return None
