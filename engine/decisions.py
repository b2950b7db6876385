"""The settings of a source that decide whether an event counts, as they are kept in manifests (protocol rule 2).

A restart may come with other settings. What was folded into a block before it, but not yet told in a manifest, is
judged again by the settings it was judged by before: so every block stays a function of one prefix.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from engine.catalog.model import Field, FieldType, Source, Watermark


class FieldSettings(msgspec.Struct, frozen=True, array_like=True):
    """What of a field decides whether an event is valid."""

    name: str
    type: FieldType
    path: tuple[str, ...]
    optional: bool
    unit: str | None


class DecisionSettings(msgspec.Struct, frozen=True):
    format: str
    timezone: str
    event_time: str | None
    identity: str | None
    fields: tuple[FieldSettings, ...]
    allowed_lateness_us: int
    dedupe_us: int | None
    delay_us: int
    max_future_us: int


def decision_settings(source: Source) -> DecisionSettings:
    """What decides in this source. Other settings, such as when it counts as idle, play no part."""
    return DecisionSettings(
        format=source.format,
        timezone=source.timezone,
        event_time=source.event_time,
        identity=source.identity,
        fields=tuple(FieldSettings(f.name, f.type, f.path, f.optional, f.unit) for f in source.fields.values()),
        allowed_lateness_us=source.allowed_lateness_us,
        dedupe_us=source.dedupe_us,
        delay_us=source.watermark.delay_us,
        max_future_us=source.watermark.max_future_us,
    )


def source_as_of(decision: DecisionSettings, source: Source) -> Source:
    """The source as it was when these settings decided."""
    settings = msgspec.to_builtins(decision)
    fields = {
        f.name: Field(f.name, f.type, f.path, f.optional, settings["fields"][at][4])
        for at, f in enumerate(decision.fields)
    }
    watermark: Watermark = replace(source.watermark, delay_us=decision.delay_us, max_future_us=decision.max_future_us)
    return replace(
        source,
        format=settings["format"],
        timezone=decision.timezone,
        event_time=decision.event_time,
        identity=decision.identity,
        dedupe_us=decision.dedupe_us,
        allowed_lateness_us=decision.allowed_lateness_us,
        watermark=watermark,
        fields=fields,
    )
