"""From what was read to the model's values. Nothing is judged here but what a value cannot be built without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from engine.catalog import building_alerts
from engine.catalog.drafts import Draft, Rule
from engine.catalog.kinds import INVALID
from engine.catalog.model import (
    Calendar,
    Cumulate,
    Field,
    FieldType,
    Goal,
    Hop,
    Kpi,
    Lint,
    LintIgnore,
    Metric,
    Objective,
    Review,
    Source,
    Tumble,
    Watermark,
    Window,
)
from engine.catalog.records import Read
from engine.catalog.words import MONTHS, WEEKDAYS

HOUR_US: Final = 3_600_000_000
DEFAULT_LATENESS_US: Final = 24 * HOUR_US
LEAST_SEAL_US: Final = 24 * HOUR_US


def calendar_of(defaults: Read | None) -> Calendar:
    values = defaults.values if defaults is not None else {}
    return Calendar(
        timezone=values.get("timezone", "UTC"),
        week_start=WEEKDAYS.index(values.get("week_start", "monday")),
        fiscal_year_start=MONTHS.index(values.get("fiscal_year_start", "january")) + 1,
    )


def lint(read: Read | None) -> Lint:
    """What stands under the key ``lint`` of a thing, as far as it can be read."""
    ignores = read.get("ignore", ()) if read is not None else ()
    return Lint(tuple(LintIgnore(one["rule"], one["reason"]) for one in ignores if one.complete))


def goal(name: str, read: Read) -> Goal | None:
    if not read.complete:
        return None
    return Goal(name, read["title"], read.get("owner"), read.get("description"), lint(read.get("lint")))


def source(name: str, read: Read, draft: Draft, default_lateness_us: int) -> Source | None:
    """``dedupe`` without a length covers what it must: the watermark's delay and the lateness (protocol rule 5)."""
    fields: dict[str, Field] = {}
    unread = draft.unread_fields.setdefault(name, set())
    for field_name, declared in (read.get("fields") or {}).items():
        built = None if declared is INVALID else _field(field_name, declared)
        if built is None:
            unread.add(field_name)
        else:
            fields[field_name] = built
    if not read.complete:
        return None
    lateness_us: int = read.get("allowed_lateness", default_lateness_us)
    watermark = _watermark(read.get("watermark"), lateness_us)
    dedupe_us: int | None = read.get("dedupe")
    if dedupe_us is None and read.get("identity") is not None:
        dedupe_us = max(lateness_us + watermark.delay_us, 1_000_000)
    return Source(
        name=name,
        topic=read["topic"],
        format=read.get("format", "json"),
        timezone=read.get("timezone", draft.calendar.timezone),
        event_time=read.get("event_time"),
        identity=read.get("identity"),
        dedupe_us=dedupe_us,
        watermark=watermark,
        allowed_lateness_us=lateness_us,
        fields=fields,
        lint=lint(read.get("lint")),
    )


def _field(name: str, declared: Any) -> Field | None:
    if isinstance(declared, Read):
        if not declared.complete:
            return None
        type_, optional = declared["type"]
        path = tuple(declared.get("path", name).split("."))
        return Field(name, type_, path, optional, declared.get("unit"), declared.get("max_values", 1000))
    kind: FieldType
    kind, optional = declared
    return Field(name, kind, (name,), optional)


def _watermark(read: Read | None, lateness_us: int) -> Watermark:
    values = read.values if read is not None else {}
    return Watermark(
        delay_us=values.get("delay", 0),
        idle_after_us=values.get("idle_after", 60_000_000),
        max_future_us=values.get("max_future", HOUR_US),
        seal_idle_after_us=values.get("seal_idle_after", max(LEAST_SEAL_US, lateness_us)),
    )


def metric(name: str, read: Read) -> Metric | None:
    if not read.complete:
        return None
    return Metric(name=name, **{**read.values, "lint": lint(read.get("lint"))})


def _window(read: Read) -> Window | None:
    if not read.complete:
        return None
    match read["type"]:
        case "tumble":
            return Tumble(read.get("size"), read.get("grain"))
        case "hop":
            return Hop(read["size"], read["slide"])
        case _:
            return Cumulate(read["grain_to_date"], read["step"])


def _objective(read: Read) -> Objective | None:
    """The value of one with a share is that of the KPI's own, which `settled` puts there."""
    return Objective(**{"value": Decimal(0), **read.values}) if read.complete else None


def settled(kpi: Kpi) -> Kpi:
    """With each share of the KPI's own objective as a value: one for each that the KPI's own has in its time.

    Places stay as they were written; what is added follows them.
    """
    if all(objective.share is None for objective in kpi.objectives):
        return kpi
    placed: list[Objective] = []
    added: list[Objective] = []
    for objective in kpi.objectives:
        first, *more = _shares(objective, kpi.objectives) if objective.share is not None else [objective]
        placed.append(first)
        added += more
    return replace(kpi, objectives=(*placed, *added))


def own(objectives: tuple[Objective, ...]) -> list[Objective]:
    """The KPI's own objectives, those without ``where``, in the order in which they come to hold."""
    found = [objective for objective in objectives if not objective.where and objective.share is None]
    return sorted(found, key=lambda objective: objective.valid_from or "")


def _shares(objective: Objective, objectives: tuple[Objective, ...]) -> list[Objective]:
    """From its own day on, or from the first of the KPI's own on; until another one of the same series holds."""
    since = objective.valid_from or ""
    later = [other.valid_from or "" for other in objectives if other.where == objective.where]
    ends = min((day for day in later if day > since), default="9999")
    bases = own(objectives)
    held = max((base.valid_from or "" for base in bases if (base.valid_from or "") <= since), default=since)
    share = objective.share
    assert share is not None
    return [
        replace(
            objective,
            value=share * base.value,
            upper=None if base.upper is None else share * base.upper,
            valid_from=max(base.valid_from or "", since) or None,
        )
        for base in bases
        if held <= (base.valid_from or "") < ends
    ] or [objective]


def _review(read: Read | None) -> Review | None:
    return Review(read["every"], read["last"]) if read is not None and read.complete else None


def rules(read: Read) -> Iterator[Rule]:
    """The alerts of a KPI, at the places they were written at."""
    for one in read.get("alerts", ()):
        yield Rule(one, building_alerts.alert(one))


def kpi(name: str, read: Read, draft: Draft) -> Kpi | None:
    """A KPI whose window cannot be built is none."""
    if not read.complete:
        return None
    window = _window(read["window"])
    if window is None:
        return None
    base = draft.calendar
    compare = read.get("compare")
    objectives = [_objective(item) for item in read.get("objectives", ())]
    plain = ("metric", "numerator", "denominator", "expr", "where", "unit", "title", "description", "goal", "owner")
    more = ("category", "indicator", "favorable", "labels", "max_series", "expires")
    return Kpi(
        name=name,
        type=read.get("type", "simple"),
        window=window,
        calendar=Calendar(read.get("timezone", base.timezone), base.week_start, base.fiscal_year_start),
        group_by=tuple(read.get("group_by", ())),
        compare=compare.get("offset_window") if compare is not None else None,
        review=_review(read.get("review")),
        # All or none, so that a finding's position is that in the text.
        objectives=() if None in objectives else tuple(objective for objective in objectives if objective is not None),
        alerts=tuple(rule.alert for rule in draft.rules.get(name, ()) if rule.alert is not None),
        drivers=tuple(read.get("drivers", ())),
        leads=building_alerts.leads(read.get("leads")),
        lint=lint(read.get("lint")),
        **{key: read[key] for key in (*plain, *more) if key in read.values},
    )
