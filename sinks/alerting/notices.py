"""Alerts as they come from `NAME.alerts`, with the members that delivery looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import unquote

import msgspec

from engine.catalog.alerting import Severity
from engine.values import NULL

State = Literal["pending", "firing", "resolved", "inactive"]
_SECOND_US: Final = 1_000_000


class NotAnAlert(Exception):
    """A record of `NAME.alerts` that no version of this program writes."""


class _Window(msgspec.Struct, frozen=True):
    start: str | None = None
    end: str | None = None


class _Members(msgspec.Struct, frozen=True, kw_only=True):
    alert: str
    kpi: str
    state: State
    severity: Severity
    id: str
    order: tuple[int, int]
    at: datetime
    since: datetime | None = None
    fired: datetime | None = None
    resolved: datetime | None = None
    reason: str | None = None
    condition: str | None = None
    value: Decimal | None = None
    bound: Decimal | None = None
    target: Decimal | None = None
    samples: int | None = None
    window: _Window | None = None
    window_state: str | None = None
    status: str | None = None
    unit: str | None = None
    title: str | None = None
    owner: str | None = None
    goal: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    runbook_url: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One object: ``key`` and ``text`` as in Kafka; ``dims`` with texts as the key has them, None for null.

    Times are microseconds since the epoch.
    """

    key: str
    text: bytes
    dims: Mapping[str, str | None]
    members: _Members

    @property
    def alert(self) -> str:
        return self.members.alert

    @property
    def kpi(self) -> str:
        return self.members.kpi

    @property
    def state(self) -> State:
        return self.members.state

    @property
    def severity(self) -> Severity:
        return self.members.severity

    @property
    def value(self) -> Decimal | None:
        return self.members.value

    @property
    def bound(self) -> Decimal | None:
        return self.members.bound

    @property
    def id(self) -> str:
        """Of one incident: the same from pending to resolved."""
        return self.members.id

    @property
    def order(self) -> tuple[int, int]:
        """Of two objects of a key the higher one is newer."""
        return self.members.order

    @property
    def dims_text(self) -> str:
        return self.key.rsplit("|", 1)[-1]

    @property
    def at_us(self) -> int:
        return us(self.members.at)

    @property
    def fired_us(self) -> int | None:
        return None if self.members.fired is None else us(self.members.fired)

    @property
    def resolved_us(self) -> int | None:
        return None if self.members.resolved is None else us(self.members.resolved)

    def ended(self, at_us: int, reason: str) -> Notice:
        """The same, but over, where no newer object says so."""
        told: dict[str, Any] = msgspec.json.decode(self.text, type=dict[str, msgspec.Raw])
        told |= {"state": "resolved", "resolved": rfc3339(at_us), "reason": reason}
        return notice(self.key, msgspec.json.encode(told))


_decode: Final = msgspec.json.Decoder(_Members).decode


def notice(key: str, text: bytes) -> Notice:
    """Raises NotAnAlert."""
    try:
        return Notice(key, text, dimensions(key.rsplit("|", 1)[-1]), _decode(text))
    except msgspec.DecodeError as error:
        raise NotAnAlert(f"an alert under {key!r} in a form that this program does not know: {error}") from error


def dimensions(dims: str) -> dict[str, str | None]:
    """``region=EU,store=12`` as a mapping, decoded; empty for ``-``."""
    if dims == "-":
        return {}
    pairs = (pair.partition("=") for pair in dims.split(","))
    return {name: None if value == NULL else unquote(value) for name, _, value in pairs}


def us(at: datetime) -> int:
    return round((at - datetime.fromtimestamp(0, UTC)).total_seconds() * _SECOND_US)


def rfc3339(time_us: int) -> str:
    """``2026-11-22T22:41:07Z``, with milliseconds where there are any."""
    at = datetime.fromtimestamp(time_us // _SECOND_US, UTC)
    milliseconds = time_us % _SECOND_US // 1000
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{milliseconds:03}" if milliseconds else "") + "Z"
