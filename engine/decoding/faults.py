"""What a decoder's exception says about an event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from engine.dead_letters import Fault

_SHOWN: Final = 200
REFUSALS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
"""What decoding bytes may raise: TypeError is the answer to None, all else lies in the bytes."""

T = TypeVar("T")


def fault_of(error: Exception, event_time: str | None = None) -> Fault:
    """The fault behind one of `REFUSALS`. ``event_time`` is the JSON path of the event's time, as in ``$.meta.at``."""
    text = shortened(str(error))
    if isinstance(error, msgspec.ValidationError):
        if event_time is not None and text.endswith(f"`{event_time}`"):
            return Fault("event_time", text)
        if "missing required field" in text:
            missing = text.split("`")
            inside = missing[3] if len(missing) > 4 else "$"
            return Fault("event_time" if f"{inside}.{missing[1]}" == event_time else "missing_field", text)
        if "got `null` - at" in text:
            return Fault("missing_field", text)
        if "out of range" in text or "Expected `int` >=" in text or "Expected `int` <=" in text:
            return Fault("out_of_range", text)
        return Fault("wrong_type", text)
    if isinstance(error, UnicodeDecodeError):
        return Fault("malformed", f"not UTF-8: {error.reason}")
    if isinstance(error, RecursionError):
        return Fault("malformed", "nested too deeply")
    if isinstance(error, TypeError):
        return Fault("tombstone", "the value is null")
    return Fault("malformed", text)


def shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def json_path(path: Sequence[str]) -> str:
    """A path as msgspec writes it in its messages."""
    return ".".join(("$", *path))


def decode_each(
    decoder: msgspec.json.Decoder[T], values: Sequence[Any], blank: T
) -> tuple[list[T], dict[int, Exception]]:
    """Decode every value by itself; those that cannot be are ``blank``, with the exception by index."""
    rows: list[T] = []
    errors: dict[int, Exception] = {}
    left: Iterator[Any] = iter(values)
    while True:
        try:
            # A list keeps what it was extended by before an exception, and the iterator goes on behind the culprit.
            rows.extend(map(decoder.decode, left))
            return rows, errors
        except REFUSALS as error:
            errors[len(rows)] = error
            rows.append(blank)
