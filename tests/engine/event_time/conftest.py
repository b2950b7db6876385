"""A slow second opinion on local time, one datetime at a time, and instants written as people read them."""

from __future__ import annotations

import importlib.resources
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Clock:
    """Local time of one zone by the standard library, with the rules of the pinned tzdata."""

    def __init__(self, name: str) -> None:
        with importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as stream:
            self.zone = ZoneInfo.from_file(stream, key=name)

    def wall(self, instant_us: int) -> datetime:
        """What the clock shows, without a zone."""
        return (EPOCH + timedelta(microseconds=instant_us)).astimezone(self.zone).replace(tzinfo=None)

    def offset(self, instant_us: int) -> timedelta:
        offset = (EPOCH + timedelta(microseconds=instant_us)).astimezone(self.zone).utcoffset()
        assert offset is not None
        return offset

    def at(self, wall: datetime | date | str) -> int:
        """The instant of a wall time: after the gap where it does not exist, the first where it is repeated."""
        if isinstance(wall, str):
            wall = datetime.fromisoformat(wall)
        elif not isinstance(wall, datetime):
            wall = datetime(wall.year, wall.month, wall.day)
        instant = self._instant(wall, fold=0)
        if self.wall(instant) == wall:
            return instant
        before, after = self._instant(wall, fold=1), instant
        old = self.offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if self.offset(middle) == old else (before, middle)
        return after

    def _instant(self, wall: datetime, fold: int) -> int:
        return (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) - EPOCH) // MICROSECOND

    def text(self, instant_us: int) -> str:
        """As `at` reads it, with the offset: ``2026-03-29 03:00+02:00``."""
        return (EPOCH + timedelta(microseconds=instant_us)).astimezone(self.zone).isoformat(" ", "minutes")


@pytest.fixture(scope="session")
def clock():
    """``clock("Europe/Amsterdam").at("2026-03-29 03:00")``."""
    return cache(Clock)
