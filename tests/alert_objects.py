"""Alerts as a worker writes them, for tests of what shows them."""

from __future__ import annotations

import msgspec

from engine.alerts.objects import alert_key, encode, raw


def alert_object(alert: str, kpi: str, **changed: object) -> dict[str, bytes]:
    """One alert by its field in Redis, with every member of an object on NAME.alerts."""
    members: dict[str, object] = {
        "alert": alert,
        "kpi": kpi,
        "dims": {},
        "state": "firing",
        "severity": "critical",
        "id": "0123456789abcdef",
        "order": [4, 7],
        "at": "2026-11-25T10:05:00Z",
        "since": "2026-11-25T09:00:00Z",
        "fired": "2026-11-25T10:00:00Z",
        "reason": "812.50 EUR is below 1,000 EUR",
        "condition": "below 1000, ends at 1050",
        "value": msgspec.Raw(b"812.50"),
        "bound": msgspec.Raw(b"1000"),
        "samples": 31,
        "window": {"start": "2026-11-25T09:00:00+01:00", "end": "2026-11-25T10:00:00+01:00"},
        "window_state": "closed",
        "unit": "EUR",
        "definition": "0123456789ab",
        "title": "Sales",
        "labels": {},
        "annotations": {},
        **changed,
    }
    told = {name: member if isinstance(member, msgspec.Raw) else raw(member) for name, member in members.items()}
    shown = {} if members["dims"] == {} else members["dims"]
    assert isinstance(shown, dict)
    dims = ",".join(f"{name}={value}" for name, value in shown.items()) or "-"
    extra = {name: told.pop(name) for name in ("muted_by", "silenced_by") if name in told}
    text = encode(told)
    if extra:  # delivery adds them behind the object
        more = b",".join(b'"%b":%b' % (name.encode(), bytes(member)) for name, member in extra.items())
        text = text[:-1] + b"," + more + b"}"
    return {alert_key(alert, kpi, dims): text}
