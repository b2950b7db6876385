"""What people and programs are told of an alert: the JSON object of `NAME.alerts`, one for each change of state.

An object is kept as a mapping of its members to their JSON texts, so that numbers keep all their digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec
import xxhash

from engine.alerts.states import AlertState, Change
from engine.alerts.words import bound_of, condition, digits
from engine.catalog.alerting import Alert
from engine.catalog.model import Kpi
from engine.values import KpiFacts

Object = dict[str, msgspec.Raw]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NULL: Final = msgspec.Raw(b"null")
# Members of a value that are members of an alert, by the name they have there.
_TAKEN: Final = {
    "dims": "dims",
    "window": "window",
    "state": "window_state",
    "value": "value",
    "target": "target",
    "samples": "samples",
    "compare": "compare",
    "pace": "pace",
    "unit": "unit",
    "status": "status",
    "definition": "definition",
}
_MEMBERS: Final = (
    "alert",
    "kpi",
    "dims",
    "state",
    "severity",
    "id",
    "order",
    "at",
    "since",
    "fired",
    "resolved",
    "recovering_since",
    "reason",
    "condition",
    "value",
    "bound",
    "target",
    "samples",
    "window",
    "window_state",
    "compare",
    "pace",
    "unit",
    "status",
    "definition",
    "title",
    "owner",
    "goal",
    "labels",
    "annotations",
    "runbook_url",
)
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def raw(value: object) -> msgspec.Raw:
    """A member's JSON text."""
    return msgspec.Raw(json.dumps(value, ensure_ascii=False).encode())


def instant(time_us: int | None) -> str | None:
    """``2026-11-22T22:41:07Z`` of a time in microseconds."""
    if time_us is None:
        return None
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def alert_key(alert: str, kpi: str, dims: str) -> str:
    """``<alert>|<kpi>|<dims>``: the key in Kafka and the field in Redis; ``dims`` in their key form."""
    return f"{alert}|{kpi}|{dims}"


def of_value(value: bytes) -> Object:
    """What an alert tells of a value, out of its JSON object."""
    members = _decode(value)
    return {mine: members.get(name, _NULL) for name, mine in _TAKEN.items()}


def of_silence(dims: Mapping[str, str | None], last_us: int, at_us: int, facts: KpiFacts) -> Object:
    """What is told of a series without events since ``last_us``: there is no value, and no window of one."""
    told: Object = dict.fromkeys(_TAKEN.values(), _NULL)
    return told | {
        "dims": raw(dict(dims)),
        "samples": raw(0),
        "window": raw({"start": instant(last_us), "end": instant(at_us)}),
        "unit": raw(facts.unit),
        "definition": raw(facts.definition),
    }


def of_rule(alert: Alert, kpi: Kpi, facts: KpiFacts) -> Object:
    """What is the same in all objects of a rule."""
    return {
        "alert": raw(alert.name),
        "kpi": raw(kpi.name),
        "severity": raw(alert.severity),
        "condition": raw(condition(alert.when)),
        "title": raw(facts.title),
        "owner": raw(facts.owner),
        "goal": raw(facts.goal),
        "labels": raw({**kpi.labels, **alert.labels}),
        "runbook_url": raw(alert.runbook_url),
    }


def told(
    key: str,
    rule: Alert,
    members: Mapping[str, msgspec.Raw],
    state: AlertState,
    name: Change,
    at_us: int,
    reason: str,
    order: tuple[int, int],
) -> Object:
    """The whole object. ``members`` come from the rule and the value; ``name`` is the state that people see."""
    bound = bound_of(rule, number(members.get("value")))
    found = with_state(members, key, state) | _at(name, at_us, reason, order)
    found["bound"] = _NULL if bound is None else msgspec.Raw(digits(bound).encode())
    found["annotations"] = raw({of: said.format_map(_fields(found)) for of, said in rule.annotations.items()})
    return found


def with_state(members: Mapping[str, msgspec.Raw], key: str, state: AlertState) -> Object:
    """With what the state says of since when; ``id`` stays the same from pending to resolved."""
    return {
        **members,
        "id": raw(xxhash.xxh3_64_hexdigest(f"{key}|{state.since_us}".encode())),
        "since": raw(instant(state.since_us)),
        "fired": raw(instant(state.fired_us)),
        "recovering_since": raw(instant(state.recovering_us)),
    }


def ended(last: Mapping[str, msgspec.Raw], name: Change, at_us: int, reason: str, order: tuple[int, int]) -> Object:
    """An object whose rule is gone: as it was last, but over."""
    return {**last, **_at(name, at_us, reason, order)}


def _at(name: Change, at_us: int, reason: str, order: tuple[int, int]) -> Object:
    return {
        "state": raw(name),
        "order": raw(order),
        "at": raw(instant(at_us)),
        "resolved": raw(instant(at_us) if name == "resolved" else None),
        "reason": raw(reason),
    }


def encode(found: Mapping[str, msgspec.Raw]) -> bytes:
    """The JSON text, members in their fixed order."""
    return msgspec.json.encode({name: found.get(name, _NULL) for name in _MEMBERS})


def decode(text: bytes) -> Object:
    return _decode(text)


def number(text: msgspec.Raw | None) -> Decimal | None:
    """The number of a JSON text; None where it is null or no number."""
    try:
        return None if text is None else Decimal(bytes(text).decode())
    except InvalidOperation:
        return None


def text(member: msgspec.Raw) -> str | None:
    """A member as people read it: a string without its quotes, a number with its digits; None where it is null."""
    shown = bytes(member).decode()
    return None if shown == "null" else str(json.loads(shown)) if shown.startswith('"') else shown


def decimal(value: object) -> Decimal:
    """A number of a frame: a text with all its digits, or a float as it is written."""
    return Decimal(str(value))


def _fields(found: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """What templates may name, as texts; ``-`` where there is none."""
    names = ("value", "target", "bound", "alert", "kpi", "title", "unit", "since", "samples", "owner")
    dims = {name: text(value) or "-" for name, value in _decode(found["dims"]).items()}
    return dims | {name: text(found.get(name, _NULL)) or "-" for name in names}
