"""What events are deduplicated by is a string or an integer that is always there, remembered as long as it matters.

``dedupe`` covers the watermark's delay and the lateness (protocol rule 5): what would still count is recognised.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Whereabouts


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, source in draft.sources.items():
        field = source.fields.get(source.identity or "")
        if field is not None:
            path = ("sources", name, "identity")
            if field.type.kind not in ("string", "integer"):
                yield Finding(path, f"{field.name} is of type {field.type}", "an identity is a string or an integer")
            elif field.optional:
                yield Finding(path, f"{field.name} is optional", "remove its ?; without it repeated events count twice")
        if source.dedupe_us is None:
            continue
        path = ("sources", name, "dedupe")
        if source.identity is None and source.format == "json":
            yield Finding(path, "there is no identity", "name the field that events are recognised by: identity: NAME")
        least = source.watermark.delay_us + source.allowed_lateness_us
        if source.dedupe_us < least:
            yield Finding(
                path,
                f"shorter than the watermark's delay and the allowed lateness together ({exact_text(least)})",
                f"write dedupe: {-(-least // 3_600_000_000)}h or more",
            )


def exact_text(length_us: int) -> str:
    """The shortest exact duration: 90s, 5m, 24h."""
    seconds = -(-length_us // 1_000_000)
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
