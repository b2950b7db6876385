"""The hashes of many series at once: rows whose canonical bytes have one shape are one matrix, hashed by numpy.

`engine.series` defines the canonical bytes. The shape of a row: which dimensions are null, how long its strings are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.xxh64 import xxh64_rows

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_FEW_SHAPES = 16
_SHAPE_LIMIT = 1 << 16
_ROWS_A_SHAPE = 64  # below, hashing row by row is as fast
_FIXED = {"integer": (2, 8), "boolean": (3, 1)}  # tag, payload bytes


def bulk_hashes(kinds: Sequence[str], dims: pl.DataFrame) -> Hashes | None:
    """xxh64 of the canonical bytes of each row, or None where the rows have too many shapes for this to pay."""
    rows = dims.height
    columns = dims.get_columns()
    lengths = [_lengths(kind, values) for kind, values in zip(kinds, columns, strict=True)]
    groups = _of_one_shape(rows, [length for length in lengths if isinstance(length, np.ndarray)])
    if groups is None:
        return None
    payloads = [_payload(kind, values) for kind, values in zip(kinds, columns, strict=True)]
    found = np.empty(rows, dtype=np.uint64)
    for at in groups:
        parts: list[npt.NDArray[np.uint8]] = []
        for kind, length, (data, offsets) in zip(kinds, lengths, payloads, strict=True):
            of_all = length if isinstance(length, int) else int(length[at][0])
            parts += _matrix(kind, of_all, data, offsets[at])
        found[at] = xxh64_rows(np.concatenate(parts, axis=1))
    return found


def _of_one_shape(rows: int, lengths: list[Integers]) -> list[Any] | None:
    """Indexes of the rows of each shape; None where there are too many shapes."""
    if not rows:
        return []
    if not lengths:
        return [slice(0, rows)]
    most = max(_FEW_SHAPES, rows // _ROWS_A_SHAPE)
    shape, shapes = np.zeros(rows, dtype=np.int64), 1
    for length in lengths:
        spread = int(length.max()) + 2
        if shapes * spread > _SHAPE_LIMIT:
            return None
        shape = shape * spread + (length + 1)
        there = np.flatnonzero(np.bincount(shape, minlength=shapes * spread))
        shapes = len(there)
        if shapes > most:
            return None
        number = np.zeros(there[-1] + 1, dtype=np.int64)
        number[there] = np.arange(shapes)
        shape = number[shape]
    order = np.argsort(shape.astype(np.uint16), kind="stable")  # a radix sort
    return np.split(order, np.cumsum(np.bincount(shape))[:-1])


def _lengths(kind: str, values: pl.Series) -> Integers | int:
    """The payload bytes of each value, -1 for null; one number where all have the same."""
    if kind == "string":
        lengths = values.str.len_bytes().cast(pl.Int64).fill_null(-1).to_numpy()
    elif values.null_count():
        lengths = np.where(values.is_null().to_numpy(), -1, _FIXED[kind][1]).astype(np.int64)
    else:
        return _FIXED[kind][1]
    return lengths


def _payload(kind: str, values: pl.Series) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All payloads behind each other, and where each starts."""
    data: npt.NDArray[Any]
    if kind == "string":
        filled = values.fill_null("")
        data = np.frombuffer("".join(filled.to_list()).encode(), dtype=np.uint8)
        ends = np.cumsum(filled.str.len_bytes().to_numpy(), dtype=np.int64)
        return data, np.concatenate(([0], ends[:-1])) if len(ends) else ends
    if kind == "integer":
        data = np.ascontiguousarray(values.fill_null(0).to_numpy()).astype("<i8").view(np.uint8)
    else:
        data = values.fill_null(False).to_numpy().astype(np.uint8)
    return data, np.arange(len(values), dtype=np.int64) * _FIXED[kind][1]


def _matrix(
    kind: str, length: int, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.uint8]]:
    """The canonical bytes of one dimension of rows of one shape."""
    rows = len(offsets)
    if length < 0:
        return [np.zeros((rows, 1), dtype=np.uint8)]
    head = bytes([1]) + length.to_bytes(4, "little") if kind == "string" else bytes([_FIXED[kind][0]])
    lead = np.broadcast_to(np.frombuffer(head, dtype=np.uint8), (rows, len(head)))
    if kind != "string" and rows * length == len(data):
        return [lead, data.reshape(rows, length)]  # all of them, in order
    return [lead, data[offsets[:, None] + np.arange(length)]]
