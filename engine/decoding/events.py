"""Batches of JSON events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import polars as pl

from engine.catalog.model import Source
from engine.decoding.batch import Batch, Decoded, Int64s
from engine.decoding.columns import Faults, column_of, is_needed
from engine.decoding.encodings import MAX_BYTES, refused_headers, refused_values
from engine.decoding.faults import decode_each, fault_of, json_path
from engine.decoding.layout import Leaf, layout_of
from engine.event_time.zones import zone


class JsonEvents:
    """Decodes the events of a source in JSON: one object a record, every declared field checked. ``wanted`` are those
    whose columns are (None: all).

    Raises `LayoutError` when the source's paths contradict each other.
    """

    def __init__(self, source: Source, max_bytes: int = MAX_BYTES, *, wanted: Collection[str] | None = None) -> None:
        if source.event_time is None:
            raise ValueError(f"source {source.name!r}: a JSON source names the field of its event_time")
        layout = layout_of(list(source.fields.values()))
        times = zone(source.timezone)
        self._columns = {
            leaf.field.name: column_of(leaf, times, event_time=leaf.field.name == source.event_time)
            for leaf in layout.leaves
            if is_needed(leaf, source, wanted)
        }
        self._event_time = source.event_time
        self._time_path = json_path(source.fields[source.event_time].path)
        self._decoder = msgspec.json.Decoder(layout.row)
        self._blank = layout.blank
        self._identity = next((leaf for leaf in layout.leaves if leaf.field.name == source.identity), None)
        self._max_bytes = max_bytes

    def decode(self, batch: Batch) -> Decoded:
        faults: Faults = {}
        values = refused_values(batch.values, self._max_bytes, faults)
        rows, errors = decode_each(self._decoder, values, self._blank)
        for place, error in errors.items():
            if batch.values[place] is None:
                faults[place] = fault_of(error)
        refused_headers(batch, faults)
        for place, error in errors.items():
            faults.setdefault(place, fault_of(error, self._time_path))
        columns = {name: column(rows, faults) for name, column in self._columns.items()}
        return Decoded(
            columns, event_times(columns[self._event_time]), faults, identities(self._identity, rows, columns)
        )


def identities(
    leaf: Leaf | None, rows: Sequence[Any], columns: dict[str, pl.Series]
) -> Callable[[Sequence[int] | None], list[str | None]]:
    """The identity of the rows at some indices (None: of all): a text itself, other values as text."""

    def of(places: Sequence[int] | None) -> list[str | None]:
        if leaf is None:
            return [None] * (len(rows) if places is None else len(places))
        if leaf.field.type.kind == "string" and not leaf.raw:
            return leaf.extract(rows if places is None else [rows[place] for place in places])
        column = columns[leaf.field.name]
        return (column if places is None else column.gather(list(places))).cast(pl.String).to_list()

    return of


def event_times(column: pl.Series) -> Int64s:
    """Microseconds of a timestamp column; 0 for null, which only events with a fault have."""
    times = column.cast(pl.Int64)
    return (times.fill_null(0) if times.null_count() else times).to_numpy()
