"""Time zones as tables of offsets, so that thousands of instants are converted at once (protocol rule 10).

    amsterdam = zone("Europe/Amsterdam")
    amsterdam.to_local(np.array([0]))       # wall time as if it were UTC: [3_600_000_000]
    amsterdam.to_utc(np.array([0]))         # back; nonexistent = first instant after the gap, repeated = the first

The rules come from the pinned ``tzdata`` package, never from the machine. Before 1970 an offset is that of 1970
(earlier ones, such as +00:19:32, would make panes of seconds), and after 2200 that of 2200.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from engine.event_time.durations import DAY_US, HOUR_US, SECOND_US

Times = npt.NDArray[np.int64]

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_PROBE: Final = timedelta(days=28)  # no zone's yearly rule changes the clocks twice within it
_TZIF_HEADER: Final = struct.Struct(">4sc15x6I")


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """Offsets of one zone: ``offsets_us[i]`` holds before ``changes_us[i]``, the last one from the last change on."""

    name: str
    changes_us: Times  # UTC, ascending
    offsets_us: Times  # one more than changes; local = UTC + offset
    _passed_us: Times  # wall time from which a change is over: past its gap, or past the first of its repeated times

    def to_local(self, utc_us: Times) -> Times:
        """Wall-clock times, in microseconds since the local 1970-01-01T00:00."""
        return utc_us + self.offsets_us[np.searchsorted(self.changes_us, utc_us, side="right")]

    def to_utc(self, local_us: Times) -> Times:
        """Instants of wall times: of a nonexistent one the first instant after the gap, of a repeated one the first."""
        passed = np.searchsorted(self._passed_us, local_us, side="right")
        instants = local_us - self.offsets_us[passed]
        if self.changes_us.size:
            following = self.changes_us[np.minimum(passed, self.changes_us.size - 1)]
            inside = (passed < self.changes_us.size) & (instants > following)
            instants = np.where(inside, following, instants)
        return instants

    @property
    def spread_us(self) -> int:
        """By how much a span of local time may at most differ from the same span of elapsed time."""
        return int(self.offsets_us.max() - self.offsets_us.min())

    @property
    def midnight_alignment_us(self) -> int:
        """The longest pane that divides every local midnight: gcd of 1 h, the offsets and the gaps that swallow one."""
        ends = self._gaps_us()
        before = self.offsets_us[np.searchsorted(self.changes_us, ends, side="right") - 1]
        since_midnight = (ends + before) % DAY_US
        length = self.to_local(ends) - ends - before
        midnights = ends[(since_midnight == 0) | (since_midnight + length > DAY_US)]
        return math.gcd(HOUR_US, *self.offsets_us.tolist(), *midnights.tolist())

    @property
    def alignment_us(self) -> int:
        """The longest pane that divides what `to_utc` makes of full hours: gcd of 1 h, offsets and all gaps' ends."""
        return math.gcd(HOUR_US, *self.offsets_us.tolist(), *self._gaps_us().tolist())

    def _gaps_us(self) -> Times:
        return self.changes_us[np.diff(self.offsets_us) > 0]


@functools.cache
def zone_names() -> frozenset[str]:
    """The names of all time zones of the pinned package."""
    return frozenset(importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@functools.cache
def zone(name: str) -> Zone:
    """The zone of an IANA name; ValueError for any other name."""
    if name not in zone_names():
        raise ValueError(f"{name!r} is no time zone; write an IANA name, as in Europe/Amsterdam or UTC")
    file = importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    changes, first_offset = _changes(file.read_bytes())
    if changes.rules_yearly:
        with file.open("rb") as stream:
            changes.extend(ZoneInfo.from_file(stream, key=name))
    return _table(name, first_offset, changes.seconds)


class _Changes:
    """Offset changes of a zone in seconds: those listed in its file, and those that a yearly rule goes on with."""

    def __init__(self, seconds: list[tuple[int, int]], *, rules_yearly: bool) -> None:
        self.seconds = seconds  # (UTC instant, offset from then on)
        self.rules_yearly = rules_yearly

    def extend(self, rules: ZoneInfo) -> None:
        """Add the changes after the last one listed, by probing: between two probes with different offsets lies one."""
        at = max(_FIRST, _FIRST + timedelta(seconds=self.seconds[-1][0])) if self.seconds else _FIRST
        while at < _LAST:
            following = at + _PROBE
            if _offset_s(rules, at) != _offset_s(rules, following):
                low, high = int(at.timestamp()), int(following.timestamp())
                offset = _offset_s(rules, following)
                while high - low > 1:
                    middle = (low + high) // 2
                    if _offset_s(rules, _FIRST + timedelta(seconds=middle)) == offset:
                        high = middle
                    else:
                        low = middle
                self.seconds.append((high, offset))
            at = following


def _offset_s(rules: ZoneInfo, instant: datetime) -> int:
    offset = instant.astimezone(rules).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _changes(content: bytes) -> tuple[_Changes, int]:
    """Read a TZif file (RFC 9636), version 2 or higher: its changes in seconds, and the offset before the first."""
    magic, version, *counts = _TZIF_HEADER.unpack_from(content)
    if magic != b"TZif" or version < b"2":
        raise ValueError("a time zone file of tzdata is not TZif version 2 or higher")
    utc_count, std_count, leap_count, time_count, type_count, char_count = counts
    skipped = _TZIF_HEADER.size + 5 * time_count + 6 * type_count + char_count + 8 * leap_count + std_count + utc_count
    counts = list(_TZIF_HEADER.unpack_from(content, skipped)[2:])
    utc_count, std_count, leap_count, time_count, type_count, char_count = counts
    start = skipped + _TZIF_HEADER.size
    instants = struct.unpack_from(f">{time_count}q", content, start)
    kinds = content[start + 8 * time_count : start + 9 * time_count]
    types = start + 9 * time_count
    offsets = [struct.unpack_from(">i", content, types + 6 * kind)[0] for kind in range(type_count)]
    footer = content[types + 6 * type_count + char_count + 12 * leap_count + std_count + utc_count :]
    seconds = [(instant, offsets[kind]) for instant, kind in zip(instants, kinds, strict=True)]
    return _Changes(seconds, rules_yearly=b"," in footer), offsets[0]


def _table(name: str, first_offset: int, seconds: list[tuple[int, int]]) -> Zone:
    current = first_offset
    changes: list[int] = []
    offsets: list[int] = []
    for instant, offset in seconds:
        if instant > 0 and offset != current:
            changes.append(instant * SECOND_US)
            offsets.append(current * SECOND_US)
        current = offset
    offsets.append(current * SECOND_US)
    changes_us = np.array(changes, dtype=np.int64)
    offsets_us = np.array(offsets, dtype=np.int64)
    passed_us = np.maximum.accumulate(changes_us + np.maximum(offsets_us[:-1], offsets_us[1:]))
    return Zone(name, changes_us, offsets_us, passed_us)
