"""Reads a catalog known to be valid without the engine's loader, so that the answers do not depend on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

from ruamel.yaml import YAML

from engine.catalog.model import (
    Calendar,
    Catalog,
    Cumulate,
    Duration,
    Field,
    FieldType,
    Goal,
    Hop,
    Kpi,
    Metric,
    Offset,
    OffsetUnit,
    Source,
    Tumble,
    Watermark,
    Window,
)

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_WORDS = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w"}
_UNIT_US = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}


def read_catalog(text: str) -> Catalog:
    """The catalog that ``text`` (one YAML document) declares."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    defaults = document.get("defaults") or {}
    calendar = Calendar(
        defaults.get("timezone", "UTC"),
        _WEEKDAYS.index(str(defaults.get("week_start", "monday")).lower()),
        _MONTHS.index(str(defaults.get("fiscal_year_start", "january")).lower()) + 1,
    )
    lateness = _us(defaults.get("allowed_lateness", "24h"))
    return Catalog(
        name=document["name"],
        calendar=calendar,
        goals={
            name: Goal(name, goal["title"], goal.get("owner")) for name, goal in (document.get("goals") or {}).items()
        },
        sources={name: _source(name, given, calendar, lateness) for name, given in document["sources"].items()},
        metrics={name: _metric(name, given) for name, given in document["metrics"].items()},
        kpis={name: _kpi(name, given, calendar) for name, given in document["kpis"].items()},
        text=text,
    )


def _source(name: str, given: Mapping[str, Any], calendar: Calendar, lateness: int) -> Source:
    marks = given.get("watermark") or {}
    lateness = _us(given.get("allowed_lateness", f"{lateness}us"))
    return Source(
        name=name,
        topic=given["topic"],
        format=given.get("format", "json"),
        timezone=given.get("timezone", calendar.timezone),
        event_time=given.get("event_time"),
        identity=given.get("identity"),
        dedupe_us=_us(given["dedupe"]) if "dedupe" in given else None,
        watermark=Watermark(
            _us(marks.get("delay", "0s")),
            _us(marks.get("idle_after", "1m")),
            _us(marks.get("max_future", "1h")),
            max(_us("24h"), lateness),
        ),
        allowed_lateness_us=lateness,
        fields={field: _field(field, declared) for field, declared in given["fields"].items()},
    )


def _field(name: str, declared: str | Mapping[str, Any]) -> Field:
    given: Mapping[str, Any] = {"type": declared} if isinstance(declared, str) else declared
    text = str(given["type"])
    optional = text.endswith("?")
    sized = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", text.rstrip("?"))
    kind = FieldType("decimal", int(sized[1]), int(sized[2])) if sized else FieldType(text.rstrip("?"))  # type: ignore[arg-type]
    return Field(
        name,
        kind,
        tuple(str(given.get("path", name)).split(".")),
        optional,
        given.get("unit"),
        int(given.get("max_values", 1000)),
    )


def _metric(name: str, given: Mapping[str, Any]) -> Metric:
    def number(key: str) -> Decimal | None:
        return None if given.get(key) is None else Decimal(str(given[key]))

    accuracy = str(given["accuracy"]) if "accuracy" in given else None
    share = None if accuracy is None else Decimal(accuracy.rstrip("% ")) / (100 if accuracy.endswith("%") else 1)
    return Metric(
        name=name,
        source=given["source"],
        agg=given["agg"],
        expr=None if given.get("expr") is None else str(given["expr"]),
        filter=given.get("filter"),
        unit=given.get("unit"),
        fill_nulls_with=number("fill_nulls_with"),
        percentile=number("percentile"),
        accuracy=share,
        exact_below=int(given.get("exact_below", 10_000)),
        per=given.get("per", "second"),
    )


def _kpi(name: str, given: Mapping[str, Any], calendar: Calendar) -> Kpi:
    compare = given.get("compare")
    return Kpi(
        name=name,
        type=given.get("type", "simple"),
        window=_window(given["window"]),
        calendar=Calendar(given.get("timezone", calendar.timezone), calendar.week_start, calendar.fiscal_year_start),
        metric=given.get("metric"),
        numerator=given.get("numerator"),
        denominator=given.get("denominator"),
        expr=given.get("expr"),
        group_by=tuple(given.get("group_by") or ()),
        where=given.get("where"),
        compare=_offset(compare["offset_window"]) if compare else None,
        unit=given.get("unit"),
    )


def _window(given: Mapping[str, Any]) -> Window:
    timezone_free = {key: value for key, value in given.items() if key != "timezone"}
    match timezone_free:
        case {"type": "tumble", "size": size}:
            return Tumble(size=_duration(size))
        case {"type": "tumble", "grain": grain}:
            return Tumble(grain=grain)
        case {"type": "hop", "size": size, "slide": slide}:
            return Hop(_duration(size), _duration(slide))
        case {"type": "cumulate", "grain_to_date": grain, "step": step}:
            return Cumulate(grain, _duration(step))
    raise ValueError(f"not a window: {given}")


def _duration(text: str) -> Duration:
    amount, unit = _split(text)
    return Duration(amount, unit)  # type: ignore[arg-type]


def _offset(text: str) -> Offset:
    amount, unit = _split(text)
    unit = _WORDS.get(unit.rstrip("s"), unit.rstrip("s")) if len(unit) > 1 else unit
    assert unit in get_args(OffsetUnit)
    return Offset(amount, unit)  # type: ignore[arg-type]


def _us(text: str) -> int:
    amount, unit = _split(text)
    return amount * _UNIT_US[unit]


def _split(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"\s*(\d+)\s*([a-z]+)\s*", str(text))
    if match is None:
        raise ValueError(f"not a length of time: {text!r}")
    return int(match[1]), match[2]
