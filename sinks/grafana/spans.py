"""What time a dashboard shows when it is opened: as much as its KPI's window takes, between six hours and a month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.catalog.model import Cumulate, Hop, Kpi, Tumble
from engine.event_time.durations import nominal_us

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_DAYS: Final = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


@dataclass(frozen=True, slots=True)
class Span:
    """``points``: how many Grafana asks for, where it would ask for so few that the newest is long ago."""

    begin: str
    refresh: str
    points: int | None = None


SHORT: Final = Span("now-6h", "10s")
_TWO_DAYS: Final = Span("now-2d", "1m", 1_440)  # one every two minutes
_WEEK: Final = Span("now-7d", "1m", 2_016)  # five
_MONTH: Final = Span("now-30d", "1m", 2_880)  # fifteen


def span(kpi: Kpi) -> Span:
    length = _window_us(kpi)
    if length <= 6 * _HOUR_US:
        return SHORT
    if length <= _DAY_US:
        return _TWO_DAYS
    return _WEEK if length <= 7 * _DAY_US else _MONTH


def _window_us(kpi: Kpi) -> int:
    """The nominal length of its windows."""
    match kpi.window:
        case Hop(size=size) | Tumble(size=size) if size is not None:
            return nominal_us(size)
        case Cumulate(grain=grain) | Tumble(grain=grain) if grain is not None:
            return _DAYS[grain] * _DAY_US
    raise AssertionError(kpi.window)
