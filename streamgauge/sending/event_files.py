"""Files of events - JSON Lines, CSV, Parquet - as chunks of JSON values ready to be sent.

A line of JSON is sent byte for byte as it is. Rows of CSV and Parquet become JSON objects: CSV columns take the types
that the source declares for fields of their name, decimals are written as text (exact), times as RFC 3339.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl

from engine.catalog.model import Source
from streamgauge.sending.shifting import Shift, TimeField

CHUNK_ROWS = 20_000
BLOCK_BYTES = 4 << 20


class UnusableFile(Exception):
    """A file cannot be sent; the message says why."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some events in file order. ``keys`` is None when the events have none; ``progress`` is in the file's own unit."""

    values: list[bytes]
    keys: list[bytes | None] | None
    progress: int


class EventFile(Protocol):
    """One file. ``total`` is its size in the unit of Chunk.progress: bytes or rows."""

    path: Path
    total: int

    def chunks(self, key: tuple[str, ...] | None, shift: Shift | None) -> Iterator[Chunk]: ...

    def times(self, time_field: TimeField) -> Iterator[list[str | int]]: ...

    def check(self, source: Source) -> None: ...


def open_event_file(path: Path, source: Source) -> EventFile:
    """Raises UnusableFile."""
    if not path.exists():
        raise UnusableFile(f"{path} does not exist")
    kind = path.suffix.lower()
    if kind in (".jsonl", ".ndjson", ".json"):
        return JsonLines(path)
    try:
        if kind == ".csv":
            return Table(path, pl.scan_csv(path, schema_overrides=_csv_types(path, source), try_parse_dates=False))
        if kind in (".parquet", ".pq"):
            return Table(path, pl.scan_parquet(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnusableFile(f"{path} cannot be read: {_first_line(error)}") from error
    raise UnusableFile(f"{path}: unknown kind of file {kind!r}; use .jsonl, .csv or .parquet")


class JsonLines:
    """One JSON object a line; empty lines are passed over, and so is a byte order mark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = path.stat().st_size

    def chunks(self, key: tuple[str, ...] | None, shift: Shift | None) -> Iterator[Chunk]:
        picked = _Picker(key) if key else None
        number = 0
        for lines, size in self._lines():
            values = [line for line in lines if line and not line.isspace()]
            number += len(lines)
            try:
                keys = picked.texts(values) if picked else None
                if shift:
                    values = [shift.json_text(value) for value in values]
            except (msgspec.DecodeError, ValueError) as error:
                raise UnusableFile(
                    f"{self.path}, within the {len(lines):,} lines up to line {number:,}: {_first_line(error)}"
                ) from error
            yield Chunk(values, keys, size)

    def times(self, time_field: TimeField) -> Iterator[list[str | int]]:
        picker = _Picker(time_field.path)
        for lines, _ in self._lines():
            try:
                yield [
                    found
                    for found in picker.values(line for line in lines if line and not line.isspace())
                    if isinstance(found, str | int)
                ]
            except (msgspec.DecodeError, ValueError) as error:
                raise UnusableFile(f"{self.path}: {_first_line(error)}") from error

    def check(self, source: Source) -> None:
        """Raises UnusableFile where no line can be an event of this source."""
        with self.path.open("rb") as file:
            begins = file.read(BLOCK_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
        if begins.startswith(b"["):
            raise UnusableFile(f"{self.path} is a JSON array; write its objects one a line, as JSON Lines")

    def _lines(self) -> Iterator[tuple[list[bytes], int]]:
        rest = b""
        with self.path.open("rb") as file:
            if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                file.seek(0)
            while block := file.read(BLOCK_BYTES):
                *lines, rest = (rest + block).split(b"\n")
                yield lines, len(block)
        if rest:
            yield [rest], 0


class Table:
    """Rows of CSV or Parquet, read in batches."""

    def __init__(self, path: Path, rows: pl.LazyFrame) -> None:
        self.path = path
        self._rows = rows
        self._schema = rows.collect_schema()
        self.total = int(rows.select(pl.len()).collect().item())

    def chunks(self, key: tuple[str, ...] | None, shift: Shift | None) -> Iterator[Chunk]:
        column = ".".join(key) if key else None
        if column and column not in self._schema:
            raise UnusableFile(f"{self.path} has no column {column!r}; it has {', '.join(self._schema)}")
        rows = self._rows.with_columns(*_as_json(self._schema))
        if shift:
            rows = rows.with_columns(shift.expression(self._time_column(shift.time_field)))
        try:
            for batch in rows.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True):
                yield Chunk(json_values(batch), _column_keys(batch, column) if column else None, batch.height)
        except pl.exceptions.PolarsError as error:
            raise UnusableFile(f"{self.path} cannot be read: {_first_line(error)}") from error

    def times(self, time_field: TimeField) -> Iterator[list[str | int]]:
        column = self._time_column(time_field)
        found = self._rows.with_columns(*_as_json(self._schema)).select(pl.col(column).drop_nulls().unique())
        yield found.collect().to_series().to_list()

    def check(self, source: Source) -> None:
        """Raises UnusableFile where a field that every event of this source has is no column."""
        if source.format == "cloudevents":
            return
        for field in sorted(source.fields.values(), key=lambda field: field.name != source.event_time):
            column = ".".join(field.path)
            if not field.optional and column not in self._schema and field.path[0] not in self._schema:
                what = "the event time" if field.name == source.event_time else f"the field {field.name}"
                raise UnusableFile(f"{self.path} has no column {column!r} for {what}; it has {', '.join(self._schema)}")

    def _time_column(self, time_field: TimeField) -> str:
        column = ".".join(time_field.path)
        if column not in self._schema:
            raise UnusableFile(
                f"{self.path} has no column {column!r} for the event time; it has {', '.join(self._schema)}"
            )
        return column


def json_values(batch: pl.DataFrame) -> list[bytes]:
    """Each row as the bytes of a JSON object."""
    buffer = io.BytesIO()
    batch.write_ndjson(buffer)
    return buffer.getvalue().split(b"\n")[: batch.height]


def _as_json(schema: pl.Schema) -> Iterator[pl.Expr]:
    """Times as RFC 3339; everything else is written well by polars (decimals as text)."""
    for name, kind in schema.items():
        if isinstance(kind, pl.Datetime):
            zone = "%:z" if kind.time_zone else ""
            yield pl.col(name).dt.cast_time_unit("us").dt.strftime(f"%Y-%m-%dT%H:%M:%S%.f{zone}")


def _column_keys(batch: pl.DataFrame, column: str) -> list[bytes | None]:
    return [None if text is None else text.encode() for text in batch[column].cast(pl.String).to_list()]


def _csv_types(path: Path, source: Source) -> dict[str, Any]:
    by_column = {".".join(field.path): field for field in source.fields.values()}
    known: dict[str, Any] = {
        "string": pl.String, "integer": pl.Int64, "number": pl.Float64,
        "decimal": pl.String, "boolean": pl.Boolean, "timestamp": pl.String,
    }  # fmt: skip
    types: dict[str, Any] = {}
    for column in pl.scan_csv(path, n_rows=0, infer_schema=False).collect_schema().names():
        field = by_column.get(column)
        types[column] = pl.String if field is None else pl.Int64 if field.unit else known[field.type.kind]
    return types


class _Picker:
    """Takes one value out of each JSON object without decoding the rest of it."""

    def __init__(self, path: Sequence[str]) -> None:
        kind: Any = msgspec.Raw
        for name in reversed(path):
            kind = msgspec.defstruct("Picked", [("value", kind, msgspec.field(name=name, default=None))])
        self._decoder = msgspec.json.Decoder(kind)
        self._depth = len(path)

    def values(self, objects: Iterator[bytes]) -> Iterator[object]:
        for raw in map(self._raw, objects):
            yield None if raw is None else msgspec.json.decode(raw)

    def texts(self, objects: Sequence[bytes]) -> list[bytes | None]:
        """Record keys: a string's text, anything else as JSON writes it; null, missing and unreadable have none."""
        keys: list[bytes | None] = []
        for value in objects:
            try:
                raw = self._raw(value)
                text = None if raw is None else bytes(raw)
                if text is not None and text.startswith(b'"'):
                    text = msgspec.json.decode(text, type=str).encode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                text = None  # whoever counts it says why it cannot
            keys.append(None if text == b"null" else text)
        return keys

    def _raw(self, value: bytes) -> msgspec.Raw | None:
        picked: Any = self._decoder.decode(value)
        for _ in range(self._depth):
            picked = picked.value if picked is not None else None
        found: msgspec.Raw | None = picked
        return found


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
