"""From the objects of `NAME.alerts` to firings, and which of them would have paged somebody.

As delivery has it: what is muted or silenced when it fires pages nobody until that ends, and then only if it still
fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Final

import msgspec

from engine.alerts.muting import Muting, alert_key
from engine.alerts.silences import silenced_by
from engine.catalog.alerting import MINUTE_US, Severity
from engine.catalog.model import Catalog

_LOOK_AGAIN_US: Final = 15 * MINUTE_US  # while a silence holds something back: when it may have ended
_END_OF_TIME: Final = 1 << 62


class _Object(msgspec.Struct):
    """What is read of an object."""

    alert: str
    kpi: str
    dims: dict[str, msgspec.Raw]
    state: str
    severity: Severity
    at: datetime
    reason: str
    value: Decimal | None = None
    bound: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One object: an alert as `engine.alerts.muting` judges it. ``at_us``: event time."""

    alert: str
    kpi: str
    dims: Mapping[str, str | None]
    state: str
    severity: Severity
    value: Decimal | None
    bound: Decimal | None
    at_us: int
    reason: str


@dataclass(slots=True)
class Firing:
    """From firing to resolved; ``ended_us`` and ``paged_us`` are None where that did not happen."""

    change: Change
    key: str
    ended_us: int | None = None
    paged_us: int | None = None
    muted_by: str | None = None  # what held it back at first
    silenced_by: str | None = None

    @property
    def fired_us(self) -> int:
        return self.change.at_us


def changes_of(objects: Iterable[bytes]) -> list[Change]:
    """In the order of event time; those of one instant as they were told."""
    decoder = msgspec.json.Decoder(_Object)
    found = []
    for raw in objects:
        one = decoder.decode(raw)
        dims = {name: _text(value) for name, value in one.dims.items()}
        at_us = round(one.at.timestamp() * 1_000_000)
        found.append(Change(one.alert, one.kpi, dims, one.state, one.severity, one.value, one.bound, at_us, one.reason))
    found.sort(key=lambda change: change.at_us)
    return found


def firings(changes: Sequence[Change], catalog: Catalog, until_us: int) -> list[Firing]:
    """All firings in the order in which they began, each with whether and when it paged; looked at until then."""
    found = _Firings(catalog)
    for at_us, together in groupby(changes, key=lambda change: change.at_us):
        found.pass_time(at_us)
        found.take(list(together), at_us)
    found.pass_time(until_us)
    return found.all


@dataclass(slots=True)
class _Firings:
    catalog: Catalog
    all: list[Firing] = field(default_factory=list)
    active: dict[str, Firing] = field(default_factory=dict)
    held: dict[str, Firing] = field(default_factory=dict)  # fire, and have paged nobody yet
    look_us: int = _END_OF_TIME

    def take(self, changes: Iterable[Change], at_us: int) -> None:
        """What changed at one instant counts together: delivery waits a moment for it."""
        for change in changes:
            key = alert_key(change)
            if change.state == "firing" and key not in self.active:
                firing = Firing(change, key)
                self.all.append(firing)
                self.active[key] = self.held[key] = firing
            elif change.state in ("resolved", "inactive") and key in self.active:
                self.active.pop(key).ended_us = at_us
                self.held.pop(key, None)
        self._page(at_us)

    def pass_time(self, until_us: int) -> None:
        """Silences that end before the next change."""
        while self.look_us < until_us:
            self._page(self.look_us)

    def _page(self, at_us: int) -> None:
        if not self.held:
            self.look_us = _END_OF_TIME
            return
        muting = Muting((firing.change for firing in self.active.values()), self.catalog)
        silenced = False
        for key, firing in list(self.held.items()):
            by = silenced_by(firing.change, self.catalog.silences, at_us, self.catalog.holidays)
            over = muting.of(firing.change)
            if by is None and over is None:
                firing.paged_us = at_us
                del self.held[key]
            elif firing.muted_by is None and firing.silenced_by is None:
                firing.muted_by, firing.silenced_by = over, by
            silenced |= by is not None
        self.look_us = at_us // _LOOK_AGAIN_US * _LOOK_AGAIN_US + _LOOK_AGAIN_US if silenced else _END_OF_TIME


def _text(value: msgspec.Raw) -> str | None:
    shown = bytes(value)
    if shown == b"null":
        return None
    return msgspec.json.decode(shown, type=str) if shown.startswith(b'"') else shown.decode()
