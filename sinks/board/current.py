"""The current values of one KPI: a JSON text for each series, newest wins, and answers made of them.

Which of two values is the newer is what `sinks/redis/write.lua` says: the higher (definition sequence, window end,
progress, revision). A change does not carry its definition's sequence, so between values of one definition the rest
decides, and between two definitions the caller asks Redis.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nlargest, nsmallest
from math import isfinite
from sys import intern
from typing import Final

import msgspec

from engine.series import OTHER_TEXT
from engine.values import KpiFacts
from sinks.redis.reading import dimensions

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEQUENCE_DIGITS: Final = 20
_MOST_SELECTIONS: Final = 256


class _Window(msgspec.Struct):
    end: datetime


class _Value(msgspec.Struct):
    window: _Window
    revision: int
    progress: int
    definition: str
    value: float | None


_decode: Final = msgspec.json.Decoder(_Value).decode


@dataclass(slots=True)
class Head:
    """One series' value: its JSON, and what decides about it. ``sequence`` is None where nobody said it."""

    json: bytes
    end_us: int = 0
    progress: int = 0
    revision: int = 0
    definition: str = ""
    number: float | None = None
    sequence: int | None = None
    parts: tuple[str, ...] = ()  # dimension values as the key has them, decoded

    @property
    def order(self) -> tuple[int, int, int]:
        return self.end_us, self.progress, self.revision


def read_head(json: bytes, order: str | None = None) -> Head:
    """From a value object's JSON, and the order that its hash in Redis has, if that is known."""
    value = _decode(json)
    number = value.value if value.value is not None and isfinite(value.value) else None
    return Head(
        json,
        (value.window.end - _EPOCH) // _MICROSECOND,
        value.progress,
        value.revision,
        intern(value.definition),
        number,
        int(order[:_SEQUENCE_DIGITS]) if order else None,
    )


class CurrentValues:
    """The series of one KPI, by dims. ``version`` grows with every change, ``membership`` when series come or go."""

    def __init__(self, facts: KpiFacts) -> None:
        self.facts = facts
        self.dimensions = tuple(name for name, _ in facts.dimensions)
        self.series: dict[str, Head] = {}
        self.version = 0
        self.membership = 0
        self.loaded = False
        self._ordered: list[str] = []  # dims in the order of answers
        self._newest: tuple[int, str] = (-1, "")  # sequence and name of the newest definition
        self._selected: tuple[int, dict[tuple[tuple[str, str], ...], list[str]]] = (-1, {})

    def replace(self, found: Mapping[str, Head]) -> None:
        """These series and no others, as Redis has them."""
        self.series = {}
        self._newest = (-1, "")
        for dims, head in found.items():
            self._keep(dims, head)
        self._ordered = sorted(self.series)
        self.membership += 1
        self.version += 1
        self.loaded = True

    def put(self, dims: str, head: Head) -> None:
        """What Redis has for a series, whatever was known of it."""
        if dims not in self.series:
            insort(self._ordered, dims)
            self.membership += 1
        self._keep(dims, head)
        self.version += 1

    def apply(self, dims: str, head: Head) -> bool:
        """Take a change; an older one leaves things as they are. False where only Redis knows which is the newer."""
        held = self.series.get(dims)
        if head.definition != (held.definition if held else self._newest[1]):
            return False
        if held is None:
            self.put(dims, head)
            return True
        if head.order >= held.order:
            head.sequence = held.sequence
            head.parts = held.parts
            self.series[dims] = head
            self.version += 1
        return True

    def _keep(self, dims: str, head: Head) -> None:
        values = dimensions(dims)
        head.parts = tuple(intern(values.get(name, "")) for name in self.dimensions)
        self.series[dims] = head
        if head.sequence is not None and head.sequence > self._newest[0]:
            self._newest = (head.sequence, head.definition)

    @property
    def definition(self) -> str:
        """Of the newest definition that values are of; empty where there are none."""
        return self._newest[1]

    # --- reading ---

    def select(self, where: Mapping[str, str]) -> list[str]:
        """The dims of series with these dimension values, in order. Dimensions that the KPI has not: ValueError."""
        if not where:
            return self._ordered
        if unknown := [name for name in where if name not in self.dimensions]:
            raise ValueError(unknown[0])
        if self._selected[0] != self.membership:
            self._selected = (self.membership, {})
        key = tuple(sorted(where.items()))
        found = self._selected[1].get(key)
        if found is None:
            wanted = [(self.dimensions.index(name), value) for name, value in key]
            series = self.series
            found = [dims for dims in self._ordered if all(series[dims].parts[at] == value for at, value in wanted)]
            if len(self._selected[1]) < _MOST_SELECTIONS:
                self._selected[1][key] = found
        return found

    def has(self, dims: str, where: Iterable[tuple[str, str]]) -> bool:
        """Whether a series has these dimension values."""
        if not where:
            return True
        values = dimensions(dims)
        return all(values.get(name) == value for name, value in where)

    def page(self, where: Mapping[str, str], limit: int, after: str | None) -> tuple[list[Head], str | None]:
        """At most ``limit`` values after the series ``after``, and the series to go on after, None at the end."""
        members = self.select(where)
        start = 0 if after is None else bisect_right(members, after)
        part = members[start : start + limit]
        more = start + limit < len(members)
        return [self.series[dims] for dims in part], part[-1] if more else None

    def top(self, n: int, *, lowest: bool = False) -> list[Head]:
        """The highest (or lowest) values of the newest window, best first; the folded rest is not ranked."""
        definition = self._newest[1]
        ranked = [
            (head.end_us, head.number, dims, head)
            for dims, head in self.series.items()
            if head.definition == definition
        ]
        newest = max((end_us for end_us, *_ in ranked), default=0)
        numbered = [
            (number, dims, head)
            for end_us, number, dims, head in ranked
            if end_us == newest and number is not None and not _is_rest(head)
        ]
        pick = nsmallest if lowest else nlargest
        return [head for _, _, head in pick(n, numbered, key=lambda found: found[:2])]


def _is_rest(head: Head) -> bool:
    return bool(head.parts) and all(part == OTHER_TEXT for part in head.parts)
