"""From what was read of alerts, silences and holidays to the model's values, as `engine.catalog.building` does it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np

from engine.catalog.alerting import (
    Alert,
    Anomaly,
    BurnRate,
    BurnWindow,
    Change,
    Condition,
    Holidays,
    Leads,
    NoData,
    PaceBelow,
    Severity,
    Silence,
    Threshold,
)
from engine.catalog.kinds import INVALID, Figure
from engine.catalog.model import Duration
from engine.catalog.records import Read
from engine.catalog.vocabulary.alerts import when
from engine.event_time.durations import DAY_US, HOUR_US, MINUTE_US, nominal_us
from engine.event_time.zones import zone

_EPOCH: Final = datetime(1970, 1, 1)
_WORKBOOK: Final = {
    "critical": (
        BurnWindow(HOUR_US, 5 * MINUTE_US, Decimal("14.4")),
        BurnWindow(6 * HOUR_US, 30 * MINUTE_US, Decimal(6)),
    ),
    "warning": (
        BurnWindow(DAY_US, 2 * HOUR_US, Decimal(3)),
        BurnWindow(3 * DAY_US, 6 * HOUR_US, Decimal(1)),
    ),
}


def alert(read: Read) -> Alert | None:
    """None of what cannot be read whole; what is wrong in it beyond its form is for the checks to say."""
    if not read.complete or not read["when"].complete:
        return None
    severity: Severity = read.get("severity", "warning")
    condition = _condition(read["when"], severity)
    if condition is None:
        return None
    evaluator = read.get("evaluator", "engine")
    return Alert(
        name=read["alert"],
        when=condition,
        severity=severity,
        for_us=_length(read.get("for")),
        keep_firing_for_us=_length(read.get("keep_firing_for")),
        min_sample=read.get("min_sample", 0),
        evaluate=read.get("evaluate", "open" if evaluator == "prometheus" else "closed"),
        evaluator=evaluator,
        labels=_texts(read.get("labels")),
        annotations=_texts(read.get("annotations")),
        runbook_url=read.get("runbook_url"),
        where=_texts(read.get("where")),
        muted_by=read.get("muted_by"),
    )


def _length(duration: Duration | None) -> int:
    return 0 if duration is None else nominal_us(duration)


def _texts(given: dict[str, Any] | None) -> dict[str, str]:
    return {name: value for name, value in (given or {}).items() if value is not INVALID}


def _condition(read: Read, severity: Severity) -> Condition | None:
    word = next(word for word in when.one_of if word in read.values)
    given, recover = read[word], read.get("recover")
    match word:
        case "below":
            return Threshold(lower=given, recover_lower=_one(recover))
        case "above":
            return Threshold(upper=given, recover_upper=_one(recover))
        case "outside":
            low, high = _two(recover)
            return Threshold(given[0], given[1], low, high)
        case "pace_below":
            ended = _one(recover)
            return PaceBelow(given, given if ended is None else ended)
        case "change":
            return _change(given) if given.complete else None
        case "anomaly":
            return _anomaly(given)
        case "no_data":
            return _no_data(given)
        case _:
            return _burn_rate(given, severity)


def _one(recover: Figure | list[Figure] | None) -> Decimal | None:
    return recover.value if isinstance(recover, Figure) else None


def _two(recover: Figure | list[Figure] | None) -> tuple[Decimal | None, Decimal | None]:
    return (recover[0].value, recover[1].value) if isinstance(recover, list) else (None, None)


def _change(read: Read) -> Change:
    below, above, recover = read.get("below"), read.get("above"), read.get("recover")
    low, high = _two(recover)
    if below is not None and above is None:
        low = _one(recover)
    elif above is not None and below is None:
        high = _one(recover)
    bounds = Threshold(
        lower=None if below is None else below.value,
        upper=None if above is None else above.value,
        recover_lower=low,
        recover_upper=high,
    )
    return Change(bounds, read.get("by", "relative") == "relative")


def _anomaly(given: Decimal | Read) -> Anomaly | None:
    if isinstance(given, Decimal):
        return Anomaly(given, given)
    if not given.complete:
        return None
    score: Decimal = given["score"]
    weeks: int = given.get("weeks", 8)
    return Anomaly(
        score, given.get("recover", score), weeks, given.get("at_least", min(4, weeks)), given.get("direction", "both")
    )


def _no_data(given: Duration | Read) -> NoData | None:
    if isinstance(given, Duration):
        return NoData(nominal_us(given))
    if not given.complete:
        return None
    after_us, expected = nominal_us(given["after"]), given.get("expected")
    return NoData(after_us) if expected is None else NoData(after_us, nominal_us(expected))


def _burn_rate(given: str | list[Read], severity: Severity) -> BurnRate | None:
    """``default``: table 5-8 of The Site Reliability Workbook; an info is as a warning."""
    if isinstance(given, str):
        return BurnRate(_WORKBOOK["critical" if severity == "critical" else "warning"])
    if not all(one.complete for one in given):
        return None
    return BurnRate(tuple(BurnWindow(nominal_us(one["long"]), nominal_us(one["short"]), one["rate"]) for one in given))


def silence(name: str, read: Read, timezone: str) -> Silence | None:
    """Times are local to its own time zone, else to the catalog's."""
    if not read.complete:
        return None
    timezone = read.get("timezone", timezone)
    start, until = read.get("from"), read.get("until")
    return Silence(
        name=name,
        comment=read["comment"],
        kpis=tuple(read.get("kpis", ())),
        alerts=tuple(read.get("alerts", ())),
        where=_texts(read.get("where")),
        from_us=_instant_us(start, timezone) if isinstance(start, datetime) else None,
        until_us=None if until is None else _instant_us(until, timezone),
        weekdays=tuple(read.get("weekdays", ())),
        holidays=read.get("holidays", False),
        start_minute=_minute(start) if isinstance(start, time) else None,
        end_minute=_minute(read["to"]) if "to" in read.values else None,
        timezone=timezone,
    )


def _instant_us(local: datetime, timezone: str) -> int:
    """Of a time that the clocks skip the first after it, of one that comes twice the first."""
    local_us = np.array([(local - _EPOCH) // timedelta(microseconds=1)], dtype=np.int64)
    return int(zone(timezone).to_utc(local_us)[0])


def _minute(clock: time) -> int:
    return 60 * clock.hour + clock.minute


def holidays(given: str | Read | None) -> Holidays | None:
    if isinstance(given, str):
        return Holidays(given)
    return Holidays(given["country"], given.get("subdivision")) if given is not None and given.complete else None


def leads(read: Read | None) -> Leads | None:
    return Leads(read["kpi"], nominal_us(read["by"])) if read is not None and read.complete else None
