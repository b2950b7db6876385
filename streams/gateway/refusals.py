"""A fault in words for who sent the event: which field it is about, and what to send instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.catalog.model import Field, Source
from engine.dead_letters import Fault
from engine.decoding.cloudevents import ATTRIBUTES
from engine.decoding.faults import json_path

_MISSING: Final = re.compile(r"missing required field `(?P<name>[^`]*)`(?: - at `(?P<inside>[^`]*)`)?")
_PLACE: Final = re.compile(r"`(?P<place>\$[^`]*)`")
_INSTEAD: Final = {
    "malformed": "send JSON in UTF-8",
    "too_large": "send the event without what no KPI needs",
    "unsupported_encoding": "send JSON, uncompressed within the event",
    "cloudevent": "send a CloudEvent 1.0: specversion, id, source and type, each a text that is not empty",
    "future": "send the time at which it happened, and look at the sender's clock",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Of one event. ``field`` is None where the fault is about no declared field."""

    reason: str
    field: str | None
    detail: str


class Explaining:
    """Says what is wrong with events of one source."""

    def __init__(self, source: Source) -> None:
        self._names: dict[str, str] = {}
        self._instead: dict[str, str] = {}
        for field in source.fields.values():
            inside = field.path[0] == ATTRIBUTES and source.format == "cloudevents"
            places = [field.path[1:]] if inside else [field.path, ("data", *field.path)]
            for place in [*places, field.path]:
                self._names.setdefault(json_path(place), field.name)
            self._instead[field.name] = f"send {_where(field)} as {_form(field)}"
        if source.event_time is None:
            self._names |= {"$.time": "time", json_path((ATTRIBUTES, "time")): "time"}
            self._instead["time"] = "send the attribute time as RFC 3339, as in 2026-11-22T22:41:07Z"
        self._inner = {
            place.rpartition(".")[0]: "an object" for place in self._names if place.count(".") > 1
        }  # what fields lie in

    def refusal(self, fault: Fault) -> Refusal:
        place = _place(fault.message)
        name = self._names.get(place or "")
        if name is not None:
            instead = self._instead[name]
        elif place in self._inner:
            instead = f"send an object in {place.removeprefix('$.')}"
        elif place in (None, "$") and fault.reason == "wrong_type":
            instead = "send a JSON object"
        elif "trailing characters" in fault.message:
            instead = "send several events as an array, or one a line as application/x-ndjson"
        else:
            instead = _INSTEAD.get(fault.reason, "")
        if fault.reason == "future":
            instead = _INSTEAD["future"]
        told = fault.message if not name or name in fault.message else f"{name}: {fault.message}"
        return Refusal(fault.reason, name, f"{told}; {instead}" if instead else told)


def _place(message: str) -> str | None:
    """The JSON path that a message is about, as in ``$.customer.id``."""
    if missing := _MISSING.search(message):
        return f"{missing['inside'] or '$'}.{missing['name']}"
    found = _PLACE.search(message)
    return found["place"] if found else None


def _where(field: Field) -> str:
    path = ".".join(field.path)
    return path if path == field.name else f"{path} (the field {field.name})"


def _form(field: Field) -> str:
    kind, scale = field.type.kind, field.type.scale
    match kind:
        case "string":
            form = "text"
        case "integer":
            form = "a whole number without quotes, as in 42"
        case "number":
            form = "a number without quotes, as in 12.5"
        case "boolean":
            form = "true or false"
        case "decimal":
            form = f"a number, or text, of at most {field.type.precision} digits, {scale} of them behind the point"
        case "timestamp" if field.unit is None:
            form = "RFC 3339, as in 2026-11-22T22:41:07Z"
        case "timestamp":
            form = f"a number of {_UNITS[field.unit]} since 1970"
    return f"{form}, or leave it out" if field.optional else form


_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
