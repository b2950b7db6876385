"""A source: a Kafka topic, the fields of its events, and how event time passes in it."""

from __future__ import annotations

from typing import Final, get_args

from engine.catalog.kinds import Choice, MapOf, Parsed, Text, Whole
from engine.catalog.model import TimeUnit
from engine.catalog.records import Either, Key, Record
from engine.catalog.vocabulary.linting import linting
from engine.catalog.vocabulary.recurring import NAME, NAME_SAYS, exact, exact_or_zero, name, zone
from engine.catalog.words import FIELD_TYPE, parse_field_type

TOPIC: Final = r"[A-Za-z0-9._-]{1,249}"

field_type: Final = Parsed(
    parse_field_type, FIELD_TYPE, "a type", "types are string, integer, number, decimal(p,s), boolean, timestamp"
)

field: Final = Either(
    field_type,
    Record(
        "field",
        {
            "type": Key(
                field_type,
                "string, integer, number (a double), decimal(p,s), boolean or timestamp; a ? makes it optional.",
                required=True,
                examples=("string", "decimal(12,2)", "timestamp?"),
            ),
            "path": Key(
                Text(r"[^.\s][^.]*(\.[^.]+)*", "a path", "write names joined by dots, as customer.address.city"),
                "Where the field lies in the event, names joined by dots; default: its own name.",
            ),
            "unit": Key(
                Choice(get_args(TimeUnit), "units"),
                "Of a timestamp that is a number: since the epoch in s, ms, us or ns.",
            ),
            "max_values": Key(
                Whole(1, 1_000_000),
                "As a dimension: how many values get a series of their own; the rest is folded into __other__.",
                default=1000,
            ),
        },
        "A field of the source's events.",
    ),
)

watermark: Final = Record(
    "watermark",
    {
        "delay": Key(
            exact_or_zero,
            "How far the watermark stays behind the newest event.",
            default="0s",
        ),
        "idle_after": Key(
            exact, "After so long at its end, an idle partition holds the others back no longer.", default="1m"
        ),
        "max_future": Key(
            exact_or_zero, "How far an event may be ahead of its Kafka record's timestamp.", default="1h"
        ),
        "seal_idle_after": Key(
            exact,
            "After so long without events the clock seals a partition's panes; default: 24h, or the lateness.",
        ),
    },
    "How event time passes.",
)

source: Final = Record(
    "source",
    {
        "topic": Key(
            Text(TOPIC, "a Kafka topic", "letters, digits, dots, _ and -, at most 249"),
            "Kafka topic of the events.",
            required=True,
        ),
        "format": Key(
            Choice(("json", "cloudevents"), "formats"),
            "json, or cloudevents (structured and binary, told apart by event).",
            default="json",
            essential=True,
        ),
        "timezone": Key(zone, "Time zone of timestamps without an offset; default: the catalog's."),
        "event_time": Key(
            name, "Field with the time of the event; CloudEvents may leave it to the envelope.", essential=True
        ),
        "identity": Key(
            name,
            "Field by which repeated events are known; CloudEvents may leave it to the envelope.",
            essential=True,
        ),
        "dedupe": Key(
            exact,
            "How far back events are recognised as repeated; covers the watermark's delay and the lateness.",
            examples=("72h",),
        ),
        "watermark": Key(watermark, "How event time passes."),
        "allowed_lateness": Key(
            exact_or_zero,
            "How far behind its partition's watermark an event may be and still count; default: the catalog's.",
        ),
        "fields": Key(
            MapOf(field, "field", NAME, NAME_SAYS, least=1),
            "The fields that KPIs may use; all are checked in every event.",
            required=True,
        ),
        "lint": linting,
    },
    "A Kafka topic of events.",
)
