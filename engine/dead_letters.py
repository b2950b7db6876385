"""Why an event is refused: a fixed list of reasons, and the refusal itself.

Duplicates are no dead letters: they are counted and forgotten. Everything else that is not folded is kept, with one
of these reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Reason = Literal[
    "tombstone",  # the record's value is null
    "too_large",  # more bytes than an event may have
    "unsupported_encoding",  # a header or the envelope names an encoding that is not read here
    "malformed",  # not JSON, not UTF-8, or nested too deeply
    "cloudevent",  # JSON, but not a CloudEvent 1.0 where the source promises one
    "wrong_type",  # a field has another type than declared, or the event is no object
    "missing_field",  # a required field is missing or null
    "out_of_range",  # a number beyond what its declared type holds exactly
    "event_time",  # the event's time is missing or cannot be read
    "future",  # the event's time is more than max_future after its Kafka timestamp
    "late",  # the event's time is more than allowed_lateness behind the partition's watermark
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

Stage = Literal["decode", "admit"]
"""Where an event was refused: from its bytes alone (decode), or against time (admit)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one event, for the person who has to repair its producer. ``message`` holds no more than a
    short excerpt of it.
    """

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Reject:
    """One event that was not folded. ``index`` is its place in its batch, ``offset`` that in its partition."""

    index: int
    offset: int
    reason: Reason
    stage: Stage
    message: str
