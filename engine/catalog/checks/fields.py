"""Fields: units belong to timestamps, max_values to possible dimensions, no path leads through another field."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog import document
from engine.catalog.drafts import Draft, Finding, Whereabouts
from engine.catalog.model import Field, Source

DIMENSION_KINDS = ("string", "integer", "boolean")


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for source in draft.sources.values():
        for field in source.fields.values():
            yield from _parameters(source, field, whereabouts)
        yield from _paths(source)


def _parameters(source: Source, field: Field, whereabouts: Whereabouts) -> Iterator[Finding]:
    path = ("sources", source.name, "fields", field.name)
    if field.unit is not None and field.type.kind != "timestamp":
        hint = "remove it, or write type: timestamp"
        yield Finding((*path, "unit"), f"a unit is for timestamps that are numbers, not for {field.type}", hint)
    node = whereabouts.find(path)[2]
    if isinstance(node, document.Mapping) and "max_values" in node.entries and field.type.kind not in DIMENSION_KINDS:
        yield Finding((*path, "max_values"), f"a {field.type} cannot be a dimension", "remove max_values")


def _paths(source: Source) -> Iterator[Finding]:
    by_path: dict[tuple[str, ...], Field] = {}
    for field in source.fields.values():
        other = by_path.setdefault(field.path, field)
        if other is not field:
            dotted = ".".join(field.path)
            message = f"path {dotted} is that of {other.name}"
            yield Finding(("sources", source.name, "fields", field.name), message, f"use {other.name}, or another path")
    for field in source.fields.values():
        for length in range(1, len(field.path)):
            outer = by_path.get(field.path[:length])
            if outer is not None:
                yield Finding(
                    ("sources", source.name, "fields", field.name),
                    f"path {'.'.join(field.path)} leads through {outer.name}, which is a {outer.type}",
                    f"remove {outer.name}, or correct one of the two paths",
                )
