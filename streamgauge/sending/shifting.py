"""Moving recorded events to the present: by whole weeks, so that weekdays and hours stay what they were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from engine.catalog.model import Source, TimeUnit

WEEK = timedelta(weeks=1)
PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class TimeField:
    """Where an event's time stands, and how it is to be read. ``unit`` is None for text."""

    path: tuple[str, ...]
    unit: TimeUnit | None
    timezone: str

    def moment(self, value: str | int) -> datetime:
        """The instant that `value` means. Raises ValueError."""
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            return read if read.tzinfo else read.replace(tzinfo=ZoneInfo(self.timezone))
        seconds, rest = divmod(value, PER_SECOND[self.unit or "s"])
        return datetime.fromtimestamp(seconds, UTC) + timedelta(
            microseconds=rest * 1_000_000 // PER_SECOND[self.unit or "s"]
        )

    def latest(self, values: Iterable[str | int]) -> datetime | None:
        """The latest of `values`; None when there is none. Raises ValueError."""
        return max((self.moment(value) for value in values), default=None)


def time_field(source: Source) -> TimeField:
    """A CloudEvents source without a field of its own takes the envelope's ``time``."""
    if source.event_time is None:
        return TimeField(("time",), None, "UTC")
    declared = source.fields[source.event_time]
    return TimeField(declared.path, declared.unit, source.timezone)


def weeks_until(last: datetime, now: datetime) -> int:
    """The fewest whole weeks after which `last` lies at or after `now`; 0 when it does already."""
    return max(0, -((last - now) // WEEK))


@dataclass(frozen=True, slots=True)
class Shift:
    """Moves event times by `weeks`. Of a text only the date changes, so its offset and digits stay as written."""

    time_field: TimeField
    weeks: int
    _dates: dict[str, str] = field(default_factory=dict)

    def text(self, written: str) -> str:
        """Raises ValueError when it does not begin with a date."""
        day = written[:10]
        moved = self._dates.get(day)
        if moved is None:
            moved = self._dates[day] = (date.fromisoformat(day) + self.weeks * WEEK).isoformat()
        return moved + written[10:]

    def number(self, written: int) -> int:
        return written + self.weeks * 7 * 86_400 * PER_SECOND[self.time_field.unit or "s"]

    def expression(self, column: str) -> pl.Expr:
        """The same for a column of texts or numbers."""
        if self.time_field.unit:
            return pl.col(column) + self.weeks * 7 * 86_400 * PER_SECOND[self.time_field.unit]
        day = pl.col(column).str.slice(0, 10).str.to_date("%Y-%m-%d") + pl.duration(weeks=self.weeks)
        return day.dt.strftime("%Y-%m-%d") + pl.col(column).str.slice(10)

    def json_text(self, event: bytes) -> bytes:
        """The same for a whole JSON object, everything else in it byte for byte. Raises ValueError."""
        return _replaced(event, self.time_field.path, self._shifted)

    def _shifted(self, raw: bytes) -> bytes:
        found = msgspec.json.decode(raw)
        if isinstance(found, str):
            return msgspec.json.encode(self.text(found))
        if isinstance(found, int) and not isinstance(found, bool):
            return msgspec.json.encode(self.number(found))
        return raw


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _replaced(event: bytes, path: tuple[str, ...], change: Any) -> bytes:
    parts = _OBJECT.decode(event)
    inside = parts.get(path[0])
    if inside is not None:
        changed = change(bytes(inside)) if len(path) == 1 else _replaced(bytes(inside), path[1:], change)
        parts[path[0]] = msgspec.Raw(changed)
    return msgspec.json.encode(parts)
