"""Silences have an end, name what is there, and come again only on days that there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time

from engine.catalog.alerting import Silence
from engine.catalog.checks.objectives import dimension_findings
from engine.catalog.checks.relations import unknown_kpi
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of
from engine.catalog.records import Read
from engine.catalog.words import WEEKDAYS, countries

_NO_END = 'write until: 2026-12-27T06:00, or from: "22:00" and to: "06:00" for one that comes again'


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    yield from _calendar(draft)
    for name, (read, silence) in draft.silences.items():
        path: Path = ("silences", name)
        yield from _times(draft, read, silence, path)
        yield from _names(draft, silence, path)


def _calendar(draft: Draft) -> Iterator[Finding]:
    holidays = draft.holidays
    if holidays is not None and holidays.subdivision is not None:
        parts = countries()[holidays.country]
        if holidays.subdivision not in parts:
            message = f'the holidays of "{holidays.subdivision}" in {holidays.country} are not known'
            hint = one_of(holidays.subdivision, parts, "its parts") if parts else "remove it"
            yield Finding(("defaults", "holidays", "subdivision"), message, hint)


def _times(draft: Draft, read: Read, silence: Silence, path: Path) -> Iterator[Finding]:
    start, has_to = read.get("from"), "to" in read.values
    recurring = bool(silence.weekdays) or silence.holidays or isinstance(start, time)
    if silence.holidays and draft.holidays is None and "defaults" not in draft.unread_sections:
        yield Finding((*path, "holidays"), "there is no calendar of holidays", "write defaults: {holidays: NL}")
    if silence.holidays and silence.weekdays:
        yield Finding((*path, "holidays"), "holidays and weekdays together", "write two silences")
    if isinstance(start, time) and not has_to:
        yield Finding(path, f"from {start:%H:%M} without to", 'write to: "06:00"')
    elif has_to and not isinstance(start, time):
        yield Finding((*path, "to"), "to without a time of day in from", 'write from: "22:00", or until')
    elif isinstance(start, datetime) and recurring:
        yield Finding((*path, "from"), "a moment, in a silence that comes again", 'write from: "22:00", or remove days')
    elif recurring:
        every_day = not silence.holidays and len(set(silence.weekdays) or WEEKDAYS) == len(WEEKDAYS)
        if every_day and silence.start_minute == silence.end_minute and silence.until_us is None:
            yield Finding(path, "a silence that never ends", _NO_END)
    elif silence.until_us is None:
        yield Finding(path, "a silence without an end", _NO_END)
    elif silence.from_us is None:
        yield Finding(path, "a silence without a beginning", "write from: 2026-12-24T18:00")
    elif silence.until_us <= silence.from_us:
        message = f"ends at {read['until']:%Y-%m-%dT%H:%M}, no later than it begins"
        yield Finding((*path, "until"), message, "write a later one; until a day is until its first moment")


def _names(draft: Draft, silence: Silence, path: Path) -> Iterator[Finding]:
    for number, name in enumerate(silence.kpis):
        yield from unknown_kpi(draft, name, (*path, "kpis", number))
    if any(name not in draft.kpis for name in silence.kpis):
        return
    among = [name for name in silence.kpis or draft.kpis if name in draft.kpis]
    rules = [rule for name in silence.kpis or draft.rules for rule in draft.rules.get(name, ())]
    known = sorted({str(rule.read.get("alert")) for rule in rules if rule.read.get("alert") is not None})
    if not draft.unread_sections & {"kpis"}:
        for number, alert in enumerate(silence.alerts):
            if alert not in known:
                hint = one_of(alert, known, "alerts")
                yield Finding((*path, "alerts", number), f'unknown alert "{alert}"', hint)
    dimensions = sorted({dimension for name in among for dimension in draft.kpis[name].group_by})
    for dimension in silence.where:
        if dimension not in dimensions:
            hint = one_of(dimension, dimensions, "dimensions")
            yield Finding((*path, "where", dimension), f'no such KPI is grouped by "{dimension}"', hint)
    grouped = next((draft.kpis[name] for name in among if set(silence.where) <= set(draft.kpis[name].group_by)), None)
    if grouped is not None:
        yield from dimension_findings(draft, grouped, silence.where, path)
