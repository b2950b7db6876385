"""A source of plain JSON says which field is the event's time; that field is a timestamp and always there."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Whereabouts


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, source in draft.sources.items():
        if source.event_time is None:
            if source.format == "json":
                timestamps = [field.name for field in source.fields.values() if field.type.kind == "timestamp"]
                example = timestamps[0] if timestamps else "NAME, and declare that field as a timestamp"
                yield Finding(("sources", name), "event_time is missing", f"write event_time: {example}")
            continue
        field = source.fields.get(source.event_time)
        if field is None:
            continue
        path = ("sources", name, "event_time")
        if field.type.kind != "timestamp":
            hint = f"declare {field.name} as timestamp; where it is a number, as {{type: timestamp, unit: ms}}"
            yield Finding(path, f"{field.name} is of type {field.type}", hint)
        elif field.optional:
            yield Finding(path, f"{field.name} is optional", "remove its ?; an event without a time cannot be placed")
