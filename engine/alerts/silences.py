"""When alerts are recorded and nobody is told: the silences of the catalog, and those made by command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import numpy as np

from engine.alerts.muting import Judged
from engine.catalog.alerting import Holidays, Silence, Weekday
from engine.catalog.model import Calendar
from engine.event_time.calendars import LocalCalendar
from engine.event_time.durations import DAY_US, MINUTE_US
from engine.event_time.holidays import is_holiday

WEEKDAYS: Final[tuple[Weekday, ...]] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_EPOCH: Final = date(1970, 1, 1)


def silenced_by(alert: Judged, silences: Iterable[Silence], at_us: int, holidays: Holidays | None = None) -> str | None:
    """The name of the first silence that covers this alert at this time; None where none does.

    ``holidays``: those of the catalog, for silences that go by them.
    """
    return next((each.name for each in silences if matches(each, alert) and is_on(each, at_us, holidays)), None)


def matches(silence: Silence, alert: Judged) -> bool:
    """Whether it is meant for such an alert, whenever that may be."""
    return (
        (not silence.kpis or alert.kpi in silence.kpis)
        and (not silence.alerts or alert.alert in silence.alerts)
        and all(alert.dims.get(name) == value for name, value in silence.where.items())
    )


def is_on(silence: Silence, at_us: int, holidays: Holidays | None = None) -> bool:
    """Whether it covers the time, ends not included.

    Recurring ones go by local time: an end at or before the start is on the next day, and weekday or holiday are those
    of the day on which it starts. A time that the clocks skip is the first one after, one that comes twice the first.
    """
    if silence.from_us is not None and at_us < silence.from_us:
        return False
    if silence.until_us is not None and at_us >= silence.until_us:
        return False
    if not _recurs(silence):
        return True
    calendar = LocalCalendar(Calendar(timezone=silence.timezone))
    today = int(calendar.days_of(np.array([at_us]))[0])
    return any(
        _is_meant(silence, day, holidays) and start <= at_us < end
        for day in (today - 1, today)
        for start, end in (_span_us(silence, day, calendar),)
    )


def _recurs(silence: Silence) -> bool:
    return bool(silence.weekdays or silence.holidays or silence.start_minute is not None)


def _is_meant(silence: Silence, day: int, holidays: Holidays | None) -> bool:
    if not (silence.weekdays or silence.holidays):
        return True
    local = _EPOCH + timedelta(days=day)
    if silence.holidays and holidays is not None and is_holiday(holidays, local):
        return True
    return WEEKDAYS[local.weekday()] in silence.weekdays


def _span_us(silence: Silence, day: int, calendar: LocalCalendar) -> tuple[int, int]:
    """From when to when it lasts, if it starts on this day (since 1970); without times, the whole day."""
    start, end = silence.start_minute or 0, silence.end_minute or 0
    days = np.array([day, day + (end <= start)])
    found = calendar.zone.to_utc(days * DAY_US + np.array([start, end]) * MINUTE_US)
    return int(found[0]), int(found[1])
