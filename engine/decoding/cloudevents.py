"""Batches of CloudEvents 1.0, structured and binary, also mixed in one topic (CloudEvents specification, Kafka
binding).

Structured: the value is a JSON object with ``specversion``, its event in ``data`` (or, JSON again, in
``data_base64``). Binary: the attributes are headers ``ce_*``, the value is the data. A record with a content-type of
``application/cloudevents`` is structured, one without, but with a header ``ce_specversion``, is binary, all others
have to be structured.

Fields are read from the data; a path that begins with ``ce`` names an attribute: ``path: ce.type``, ``ce.subject``,
or an extension's. Without ``event_time`` the source goes by the attribute ``time``, without ``identity`` by
(``source``, ``id``).
"""

from __future__ import annotations

import binascii
import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from engine.catalog.model import Field, FieldType, Source
from engine.dead_letters import Fault
from engine.decoding.batch import Batch, Decoded, Headers
from engine.decoding.columns import Faults, column_of, is_needed
from engine.decoding.encodings import CLOUDEVENTS, MAX_BYTES, content_type, encoding_fault, header_name, refused_values
from engine.decoding.events import event_times, identities
from engine.decoding.faults import REFUSALS, decode_each, fault_of, json_path, shortened
from engine.decoding.layout import Layout, LayoutError, layout_of
from engine.event_time.zones import zone

ATTRIBUTES: Final = "ce"
"""The first name of a path that leads to an attribute, not into the data."""

_VERSION: Final = "1.0"
_ATTRIBUTE_PATH: Final = 2  # names: "ce" and the attribute
_TEXT: Final = FieldType("string")
_REQUIRED: Final = ("specversion", "id", "source", "type")
# Names that no catalog has: declared fields begin with a letter.
_ENVELOPE: Final = tuple(Field(f"-{name}", _TEXT, (ATTRIBUTES, name)) for name in _REQUIRED)
_CONTENT: Final = Field("-datacontenttype", _TEXT, (ATTRIBUTES, "datacontenttype"), optional=True)
_TIME: Final = Field("-time", FieldType("timestamp"), (ATTRIBUTES, "time"), optional=True)


class CloudEvents:
    """Decodes the events of a source of CloudEvents; ``wanted`` as in `JsonEvents`.

    Raises `LayoutError` when the source's paths contradict each other or the specification.
    """

    def __init__(self, source: Source, max_bytes: int = MAX_BYTES, *, wanted: Collection[str] | None = None) -> None:
        declared = list(source.fields.values())
        if source.event_time is None:
            declared.append(_TIME)
        self._time_name = source.event_time or _TIME.name
        self._inside = layout_of([field for field in declared if field.path[0] != ATTRIBUTES])
        self._outside = _attributes_layout([field for field in declared if field.path[0] == ATTRIBUTES])
        names = {field.name for field in declared}
        times = zone(source.timezone)
        self._columns_of = [
            {
                leaf.field.name: column_of(leaf, times, event_time=leaf.field.name == self._time_name)
                for leaf in layout.leaves
                if leaf.field.name in names and is_needed(leaf, source, wanted)
            }
            for layout in (self._outside, self._inside)
        ]
        self._leaves = {leaf.field.name: leaf for layout in (self._outside, self._inside) for leaf in layout.leaves}
        self._data = msgspec.json.Decoder(self._inside.row) if self._inside.leaves else None
        data = [("data", self._inside.row | None, None)] if self._data else []
        structured = msgspec.defstruct(
            "Structured",
            [*data, ("data_base64", str | None, None)],
            bases=(self._outside.row,),
            gc=False,
            kw_only=True,
        )
        self._structured = msgspec.json.Decoder(structured)
        self._blank = structured(**msgspec.structs.asdict(self._outside.blank))
        path = source.fields[source.event_time].path if source.event_time else _TIME.path
        self._time_path = json_path(path[1:] if path[0] == ATTRIBUTES else ("data", *path))
        self._time_path_in_data = json_path(path)
        kept = {name for columns_of in self._columns_of for name in columns_of}
        self._names = tuple(name for name in source.fields if name in kept)
        self._identity = source.identity
        self._max_bytes = max_bytes

    def decode(self, batch: Batch) -> Decoded:
        faults: Faults = {
            place: Fault("tombstone", "the value is null") for place, value in enumerate(batch.values) if value is None
        }
        values = refused_values(batch.values, self._max_bytes, faults)
        binary: dict[int, Headers] = {}
        for place in batch.with_headers():
            headers = batch.headers(place)
            if fault := encoding_fault(headers):
                faults.setdefault(place, fault)
            elif _is_binary(headers):
                binary[place] = headers
        if faults or binary:
            attributes: list[Any] = [self._blank] * len(values)
            data: list[Any] = [self._inside.blank] * len(values)
            places = [place for place in range(len(values)) if place not in faults and place not in binary]
            found, inner = self._read_structured([values[place] for place in places], places, faults)
            for place, row, inside in zip(places, found, inner, strict=True):
                attributes[place], data[place] = row, inside
            for place, headers in binary.items():
                if place not in faults:
                    attributes[place], data[place] = self._read_binary(values[place] or b"", headers, place, faults)
        else:
            attributes, data = self._read_structured(values, range(len(values)), faults)
        self._check_version(attributes, faults)
        columns = {
            name: column(rows, faults)
            for columns_of, rows in zip(self._columns_of, (attributes, data), strict=True)
            for name, column in columns_of.items()
        }
        times = event_times(columns[self._time_name])
        columns = {name: columns[name] for name in self._names}
        return Decoded(columns, times, faults, self._identities(attributes, data, columns))

    def _read_structured(
        self, values: Sequence[bytes | None], places: Sequence[int], faults: Faults
    ) -> tuple[list[Any], list[Any]]:
        """Attributes and data of some values; ``places`` are their indices in the batch."""
        rows: list[Any]
        rows, errors = decode_each(self._structured, values, self._blank)
        for index, error in errors.items():
            faults[places[index]] = _envelope_fault(fault_of(error, self._time_path))
        if self._data is None:
            return rows, [self._inside.blank] * len(rows)
        data = [row.data for row in rows]
        for index, inside in enumerate(data):
            if inside is not None:
                continue
            data[index] = self._inside.blank
            if index not in errors and (fault := self._read_base64(rows[index], data, index)):
                faults[places[index]] = fault
        return rows, data

    def _read_base64(self, row: Any, data: list[Any], index: int) -> Fault | None:
        """Put what ``data_base64`` holds in place of missing data."""
        if row.data_base64 is None:
            return Fault("missing_field", "`$.data` is missing or null") if self._inside.required else None
        [kind] = self._leaves[_CONTENT.name].extract([row])
        if fault := encoding_fault([("content-type", (kind or "").encode())]):
            return fault
        try:
            decoded = binascii.a2b_base64(row.data_base64, strict_mode=True)
        except ValueError as error:  # binascii.Error among them
            return Fault("malformed", f"data_base64: {error}")
        return self._read_data(decoded, data, index)

    def _read_binary(self, value: bytes, headers: Headers, place: int, faults: Faults) -> tuple[Any, Any]:
        data = [self._inside.blank]
        try:
            row = msgspec.convert(_attributes(headers), self._outside.row, strict=False)
        except REFUSALS as error:
            faults[place] = _envelope_fault(fault_of(error, self._time_path))
            return self._blank, data[0]
        if fault := self._read_data(value, data, 0):
            faults[place] = fault
        return row, data[0]

    def _read_data(self, value: bytes, data: list[Any], index: int) -> Fault | None:
        if self._data is not None:
            try:
                data[index] = self._data.decode(value)
            except REFUSALS as error:
                return fault_of(error, self._time_path_in_data)
        return None

    def _check_version(self, attributes: Sequence[Any], faults: Faults) -> None:
        for name in _REQUIRED:
            texts = self._leaves[f"-{name}"].extract(attributes)
            for place, text in enumerate(texts):
                if text is not None and (not text or (name == "specversion" and text != _VERSION)):
                    message = f"`{name}` is {shortened(repr(text))}"
                    faults.setdefault(
                        place, Fault("cloudevent", f"{message}; expected {_VERSION!r}" if text else message)
                    )

    def _identities(
        self, attributes: list[Any], data: list[Any], columns: dict[str, pl.Series]
    ) -> Callable[[Sequence[int] | None], list[str | None]]:
        if self._identity is not None:
            leaf = self._leaves[self._identity]
            return identities(leaf, attributes if leaf.field.path[0] == ATTRIBUTES else data, columns)
        of_source, of_id = (self._leaves[f"-{name}"].extract for name in ("source", "id"))

        def of(places: Sequence[int] | None) -> list[str | None]:
            rows = attributes if places is None else [attributes[place] for place in places]
            # The length keeps ("a", "bc") and ("ab", "c") apart.
            named = zip(of_source(rows), of_id(rows), strict=True)
            return [f"{len(source)}:{source}{id_}" for source, id_ in named]

        return of


def _attributes_layout(fields: Sequence[Field]) -> Layout:
    for field in fields:
        if len(field.path) != _ATTRIBUTE_PATH:
            raise LayoutError(f"field {field.name!r}: {'.'.join(field.path)} is no attribute of a CloudEvent")
    layout = layout_of([*_ENVELOPE, _CONTENT, *fields], skip=1)
    for leaf in layout.leaves:
        if leaf.raw:
            name, kind = leaf.field.name, leaf.field.type
            raise LayoutError(f"field {name!r}: no attribute of a CloudEvent can be read as {kind}")
    return layout


def _is_binary(headers: Headers) -> bool:
    if not any(_attribute_name(name) == "specversion" for name, _ in headers):
        return False
    return not content_type(headers).startswith(CLOUDEVENTS)


def _attributes(headers: Headers) -> dict[str, str]:
    """The attributes that headers hold. Raises UnicodeDecodeError."""
    return {
        attribute: value.decode()
        for name, value in headers
        if value is not None and (attribute := _attribute_name(name)) is not None
    }


@functools.lru_cache(4096)
def _attribute_name(header: str) -> str | None:
    """The attribute that a header of the Kafka binding holds: `ce_id` is the id."""
    if header_name(header) == "contenttype":
        return "datacontenttype"
    prefix, _, attribute = header.lower().replace("-", "_").partition("_")
    return attribute if prefix == ATTRIBUTES and attribute else None


def _envelope_fault(fault: Fault) -> Fault:
    """A missing or mistyped attribute that every CloudEvent has makes it none."""
    if fault.reason in ("missing_field", "wrong_type") and any(
        fault.message.endswith((f"field `{name}`", f"`$.{name}`")) for name in _REQUIRED
    ):
        return Fault("cloudevent", fault.message)
    return fault
