"""Blocks: the aggregates of all series of one view, pane, source partition and hash bucket, as bytes.

A block is self-describing. Little endian:

    version u8 | sections u8 | parts u16 | rows u32 | pane i64 | bucket u32 | stamp i64 | schema length u32
    parts x (source partition i32, stamp i64)   of a sealed block: what is in it
    sections x (byte length u32)
    schema                                      MessagePack, equal for all blocks encoded together
    rows x record                               h, null bits, state columns, integer and boolean dimensions
    sections                                    a text per string dimension, then a run of records per sketch

Texts are joined by a character that occurs in none of them. Items name their series by its row in the block. Frames are
encoded and decoded as a whole and cut by bytes, so that a block costs microseconds and a row a tenth of one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from engine.block_columns import RecordColumn, from_records, record_type, to_records
from engine.block_keys import BLOCK, OTHER, BlockKey, UnknownVersion
from engine.series import Directory

__all__ = [
    "BLOCK",
    "OTHER",
    "BlockKey",
    "CorruptBlock",
    "Decoded",
    "UnknownVersion",
    "decode_blocks",
    "encode_blocks",
    "stamp_of",
]

VERSION = 1
SERIES_KEYS = ["pane", "bucket", "h"]

_VERSION_BYTE = bytes([VERSION])
_HEAD = struct.Struct("<BBHIqIqI")
_PART = struct.Struct("<iq")
_MARKS = ("\x1f", "\x1e")
_ROW = ("row", "<u4")
_H = ("h", "<u8")
Bounds = npt.NDArray[np.int64]


class CorruptBlock(ValueError):
    """The bytes are not a whole block."""


class _Schema(msgspec.Struct, frozen=True, array_like=True):
    columns: tuple[RecordColumn, ...]  # states, then dimensions that are no strings
    dimensions: tuple[tuple[str, str], ...]  # name, kind
    marks: tuple[str, str]  # between texts; instead of a null
    sketches: tuple[tuple[str, tuple[RecordColumn, ...]], ...]  # column id, item and k
    froms: dict[str, int]

    @property
    def texts(self) -> list[str]:
        return [name for name, kind in self.dimensions if kind == "string"]

    @property
    def numbers(self) -> list[str]:
        return [name for name, kind in self.dimensions if kind != "string"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Blocks as frames; ``_block`` (UInt32) is the index of a block in what was decoded.

    ``rows``: _block, h, state columns. ``dims``: h and the typed dimension values, row by row as ``rows``. ``items``:
    column id -> _block, h, item, k. ``parts``: of a sealed block, source partition -> stamp. ``froms``: column id ->
    the source offset that it counts from.
    """

    rows: pl.DataFrame
    items: dict[str, pl.DataFrame]
    dims: pl.DataFrame
    stamps: list[int]
    panes: list[int]
    buckets: list[int]
    parts: list[dict[int, int]]
    froms: list[dict[str, int]]


def encode_blocks(
    rows: pl.DataFrame,
    items: Mapping[str, pl.DataFrame],
    directory: Directory,
    columns: Sequence[str],
    stamps: Mapping[tuple[int, int], int],
    froms: Mapping[str, int] | None = None,
    parts: Mapping[tuple[int, int], Mapping[int, int]] | None = None,
) -> list[tuple[int, int, bytes]]:
    """One (pane, bucket, bytes) for each pane and bucket in ``rows``.

    ``rows``: pane, bucket, h and the state columns of ``columns`` (ids), sorted by pane, bucket, h. ``items``: column
    id -> pane, bucket, h, item, k, of series in ``rows``. ``directory`` knows the dimensions of every h. ``stamps`` and
    ``parts`` are by (pane, bucket). ValueError where rows are not sorted, or items have no row.
    """
    if not rows.height:
        return []
    starts = _starts(rows)
    ids = set(columns)
    dims = directory.values(rows["h"])
    texts = [name for name, kind in directory.dimensions if kind == "string"]
    marks = _unused_characters(dims.select(texts))
    states = [rows[name] for name in rows.columns if name.partition(".")[0] in ids]
    numbers = [dims[name] for name in directory.names if name not in texts]
    described, records = to_records((*_H, rows["h"].to_numpy()), states + numbers)
    sections = [_texts(dims[name], starts, marks) for name in texts]
    sketches: list[tuple[str, tuple[RecordColumn, ...]]] = []
    for id_, frame in items.items():
        if frame.height and id_ in ids:
            item_columns, runs = _items(rows, frame, starts)
            sketches.append((id_, item_columns))
            sections.append(runs)
    schema = msgspec.msgpack.encode(_Schema(described, directory.dimensions, marks, tuple(sketches), dict(froms or {})))
    body, size = records.tobytes(), records.dtype.itemsize
    cuts = list(zip(*sections, strict=True)) if sections else [()] * (len(starts) - 1)
    lengths = struct.Struct(f"<{len(sections)}I")
    first = rows.select("pane", "bucket")[starts[:-1]]
    bounds = starts.tolist()
    found: list[tuple[int, int, bytes]] = []
    for pane, bucket, start, end, cut in zip(
        first["pane"].to_list(), first["bucket"].to_list(), bounds[:-1], bounds[1:], cuts, strict=True
    ):
        inside = parts.get((pane, bucket), {}) if parts else {}
        head = _HEAD.pack(
            VERSION, len(sections), len(inside), end - start, pane, bucket, stamps[pane, bucket], len(schema)
        )
        if inside:
            head += b"".join(_PART.pack(*part) for part in sorted(inside.items()))
        sizes = lengths.pack(*map(len, cut))
        found.append((pane, bucket, b"".join((head, sizes, schema, body[start * size : end * size], *cut))))
    return found


def stamp_of(block: bytes) -> int:
    """The offset after the last event folded into a block, without decoding it. Raises `UnknownVersion`."""
    return int(_head(block)[6])


def decode_blocks(blocks: Sequence[bytes]) -> Decoded:
    """Blocks of one set of dimensions, of any views.

    Raises `UnknownVersion`, `CorruptBlock` for bytes that are not whole blocks, and ValueError for mixed dimensions.
    """
    groups: dict[bytes, _Group] = {}
    heads: list[tuple[int, ...]] = []
    parts: list[dict[int, int]] = []
    froms: list[dict[str, int]] = []
    for index, block in enumerate(blocks):
        head = _head(block)
        _, n_sections, n_parts, rows, _, _, _, schema_length = head
        lengths_at = _HEAD.size + n_parts * _PART.size
        schema_at = lengths_at + 4 * n_sections
        records_at = schema_at + schema_length
        if records_at > len(block):
            raise CorruptBlock("a block is cut off")
        schema = block[schema_at:records_at]
        group = groups.get(schema)
        if group is None:
            group = groups[schema] = _Group(_read_schema(schema))
        group.add(index, block, rows, block[lengths_at:schema_at], records_at)
        heads.append(head)
        parts.append(dict(_PART.iter_unpack(block[_HEAD.size : lengths_at])) if n_parts else {})
        froms.append(group.schema.froms)
    if len({group.schema.dimensions for group in groups.values()}) > 1:
        raise ValueError("blocks of different sets of dimensions cannot be decoded together")
    items: dict[str, list[pl.DataFrame]] = {}
    frames = [group.decode(items) for group in groups.values()]
    if not frames:
        frames = [(pl.DataFrame(schema={"_block": pl.UInt32, "h": pl.UInt64}), pl.DataFrame(schema={"h": pl.UInt64}))]
    return Decoded(
        rows=pl.concat([rows for rows, _ in frames], how="diagonal"),
        items={id_: pl.concat(found) for id_, found in items.items()},
        dims=pl.concat([dims for _, dims in frames]),
        stamps=[head[6] for head in heads],
        panes=[head[4] for head in heads],
        buckets=[head[5] for head in heads],
        parts=parts,
        froms=froms,
    )


class _Group:
    """Blocks that share a schema: their bytes are put together and read as one."""

    def __init__(self, schema: _Schema) -> None:
        self.schema = schema
        self.record = record_type(schema.columns, _H)
        self.runs = [record_type(columns, _ROW) for _, columns in schema.sketches]
        self.n_texts = len(schema.texts)
        self._lengths = struct.Struct(f"<{self.n_texts + len(self.runs)}I")
        self._indexes: list[int] = []
        self._rows: list[int] = []
        self._records: list[bytes] = []
        self._sections: list[list[bytes]] = [[] for _ in range(self.n_texts + len(self.runs))]

    def add(self, index: int, block: bytes, rows: int, lengths: bytes, at: int) -> None:
        if len(lengths) != self._lengths.size:
            raise CorruptBlock("a block has other sections than its schema")
        end = at + rows * self.record.itemsize
        self._indexes.append(index)
        self._rows.append(rows)
        self._records.append(block[at:end])
        for section, length in zip(self._sections, self._lengths.unpack(lengths), strict=True):
            at, end = end, end + length
            section.append(block[at:end])
        if end != len(block):
            raise CorruptBlock(f"a block has {len(block)} bytes, and says it has {end}")

    def decode(self, items: dict[str, list[pl.DataFrame]]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows and dimensions; items are added to ``items``."""
        schema = self.schema
        records = np.frombuffer(b"".join(self._records), dtype=self.record)
        counts = np.array(self._rows, dtype=np.int64)
        indexes = np.array(self._indexes, dtype=np.uint32)
        h = np.ascontiguousarray(records["h"])
        columns = from_records(schema.columns, records)
        n_states = len(columns) - len(schema.numbers)
        rows = pl.DataFrame([pl.Series("_block", np.repeat(indexes, counts)), pl.Series("h", h), *columns[:n_states]])
        dims = {series.name: series for series in columns[n_states:]}
        for name, texts in zip(schema.texts, self._sections, strict=False):
            dims[name] = self._split(name, texts, len(records))
        self._decode_items(items, h, counts, indexes)
        return rows, pl.DataFrame([pl.Series("h", h), *(dims[name] for name, _ in schema.dimensions)])

    def _split(self, name: str, texts: list[bytes], rows: int) -> pl.Series:
        between, null = self.schema.marks
        try:
            whole = between.encode().join(texts).decode()
        except UnicodeDecodeError as error:
            raise CorruptBlock(f"values of {name} are no UTF-8") from error
        values = pl.Series(name, [whole]).str.split(between).explode()
        if len(values) != rows:
            raise CorruptBlock(f"blocks have {rows} rows and {len(values)} values of {name}")
        return values.replace(null, None) if null in whole else values

    def _decode_items(
        self, items: dict[str, list[pl.DataFrame]], h: npt.NDArray[np.uint64], counts: Bounds, indexes: npt.NDArray[Any]
    ) -> None:
        offsets = np.concatenate(([0], np.cumsum(counts)[:-1]))
        for (id_, columns), record, runs in zip(
            self.schema.sketches, self.runs, self._sections[self.n_texts :], strict=True
        ):
            found = np.frombuffer(b"".join(runs), dtype=record)
            lengths = np.array([len(run) // record.itemsize for run in runs], dtype=np.int64)
            row = found["row"].astype(np.int64) + np.repeat(offsets, lengths)
            if len(row) and row.max() >= len(h):
                raise CorruptBlock("an item belongs to no row")
            block = pl.Series("_block", np.repeat(indexes, lengths))
            items.setdefault(id_, []).append(
                pl.DataFrame([block, pl.Series("h", h[row]), *from_records(columns, found)])
            )


def _head(block: bytes) -> tuple[int, ...]:
    if len(block) < _HEAD.size:
        raise CorruptBlock(f"a block of {len(block)} bytes")
    if block[0] != VERSION:
        raise UnknownVersion(f"a block of version {block[0]}; this program reads version {VERSION}")
    return _HEAD.unpack_from(block)


def _read_schema(raw: bytes) -> _Schema:
    try:
        return msgspec.msgpack.decode(raw, type=_Schema)
    except msgspec.DecodeError as error:  # also of a valid MessagePack value of another shape
        raise CorruptBlock(f"a block's schema cannot be read: {error}") from error


def _starts(rows: pl.DataFrame) -> Bounds:
    """Where each block starts in sorted rows, and the end. ValueError where rows are not sorted and unique."""
    pane, bucket, h = (rows[name].to_numpy() for name in SERIES_KEYS)
    same_pane, same_bucket = pane[1:] == pane[:-1], bucket[1:] == bucket[:-1]
    same = same_pane & same_bucket
    rising = (pane[1:] > pane[:-1]) | (same_pane & (bucket[1:] > bucket[:-1])) | (same & (h[1:] > h[:-1]))
    if not rising.all():
        raise ValueError("rows of blocks are sorted by pane, bucket and h, each of them once")
    return np.concatenate(([0], np.flatnonzero(~same) + 1, [rows.height]))


def _unused_characters(texts: pl.DataFrame) -> tuple[str, str]:
    """Two characters that no text has."""
    has_mark = [series.str.contains_any(list(_MARKS)).any() for series in texts.get_columns()]
    if not any(has_mark):
        return _MARKS
    used = set(chain.from_iterable(chain.from_iterable(series.drop_nulls().unique() for series in texts.get_columns())))
    unused = (chr(point) for point in chain(range(0xD800), range(0xE000, 0x110000)) if chr(point) not in used)
    return next(unused), next(unused)


def _texts(values: pl.Series, starts: Bounds, marks: tuple[str, str]) -> list[bytes]:
    """The values of each block, joined."""
    between, null = marks
    texts = (values.fill_null(null) if values.null_count() else values).to_list()
    bounds = starts.tolist()
    return [between.join(texts[start:end]).encode() for start, end in zip(bounds[:-1], bounds[1:], strict=True)]


def _items(rows: pl.DataFrame, items: pl.DataFrame, starts: Bounds) -> tuple[tuple[RecordColumn, ...], list[bytes]]:
    """The items of each block as records."""
    numbered = rows.select(*SERIES_KEYS, _at=pl.int_range(rows.height, dtype=pl.Int64))
    found = items.join(numbered, on=SERIES_KEYS, how="left").sort("_at", "item", "k")
    if found["_at"].null_count():
        raise ValueError("items of a series that has no row")
    at = found["_at"].to_numpy()
    block = np.searchsorted(starts, at, side="right") - 1
    described, records = to_records((*_ROW, at - starts[block]), [found["item"], found["k"]])
    size, body = records.dtype.itemsize, records.tobytes()
    ends = (np.searchsorted(at, starts) * size).tolist()
    return described, [body[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]
