"""Columns as fixed-width records and back, for blocks: a numpy record array, whose bytes can be cut between rows.

Integers take the narrowest width that holds all of their column, 0 where all are 0. Wider than 64 bits: two words.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

_TWO_64 = pl.lit(2**64, dtype=pl.Int128)
_LOGICAL: dict[str, pl.DataType] = {
    "i": pl.Int64(),
    "x": pl.Int128(),
    "u": pl.UInt64(),
    "f": pl.Float64(),
    "b": pl.Boolean(),
}
_CODES = {dtype: code for code, dtype in _LOGICAL.items()}
_SIGNED = {1: "i1", 2: "<i2", 4: "<i4", 8: "<i8"}
_WIDE = 16
Array = npt.NDArray[Any]


class RecordColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column: its name, a code for its type, its width in bytes, its bit among the nulls (-1: none is null)."""

    name: str
    code: str
    width: int
    null_bit: int


def record_type(columns: tuple[RecordColumn, ...], lead: tuple[str, str]) -> np.dtype[np.void]:
    """The record: a leading field, the null bits, then the columns."""
    fields: list[Any] = [lead]
    null_bytes = (max((c.null_bit for c in columns), default=-1) + 8) // 8
    if null_bytes:
        fields.append(("nulls", "u1", (null_bytes,)))
    for i, column in enumerate(columns):
        if column.width == _WIDE:
            fields += [(f"c{i}", "<u8"), (f"c{i}high", "<i8")]
        elif column.width:
            fields.append((f"c{i}", {"u": "<u8", "f": "<f8", "b": "u1"}.get(column.code) or _SIGNED[column.width]))
    return np.dtype(fields)


def to_records(
    lead: tuple[str, str, Array], columns: list[pl.Series]
) -> tuple[tuple[RecordColumn, ...], npt.NDArray[np.void]]:
    """All columns as records behind a leading field (name, dtype, values). TypeError for a dtype that no state has."""
    described: list[RecordColumn] = []
    values: list[pl.Series] = []
    nulls: list[Array] = []
    for series in columns:
        bit = -1
        filled = series
        if series.null_count():
            bit = len(nulls)
            nulls.append(series.is_null().to_numpy())
            filled = series.fill_null(False if series.dtype == pl.Boolean else 0)
        code = _CODES.get(series.dtype)
        if code is None:
            raise TypeError(f"column {series.name} of type {series.dtype} has no binary form")
        described.append(RecordColumn(series.name, code, _width(filled, code), bit))
        values.append(filled)
    done = tuple(described)
    records = np.zeros(len(lead[2]), dtype=record_type(done, lead[:2]))
    records[lead[0]] = lead[2]
    for i, (column, filled) in enumerate(zip(done, values, strict=True)):
        if column.width == _WIDE:
            words = filled.to_frame("x").select(
                low=(pl.col("x") % _TWO_64).cast(pl.UInt64), high=(pl.col("x") // _TWO_64).cast(pl.Int64)
            )
            records[f"c{i}"] = words["low"].to_numpy()
            records[f"c{i}high"] = words["high"].to_numpy()
        elif column.width:
            records[f"c{i}"] = (filled.cast(pl.Int64) if column.code == "x" else filled).to_numpy()
    for bit, null in enumerate(nulls):
        records["nulls"][:, bit // 8] |= null.astype(np.uint8) << np.uint8(bit % 8)
    return done, records


def from_records(columns: tuple[RecordColumn, ...], records: npt.NDArray[np.void]) -> list[pl.Series]:
    """The columns of records, with their logical types."""
    found: list[pl.Series] = []
    for i, column in enumerate(columns):
        dtype = _LOGICAL[column.code]
        if column.width == 0:
            series = pl.repeat(0, len(records), dtype=dtype, eager=True)
        elif column.width == _WIDE:
            words = pl.DataFrame({"low": _own(records[f"c{i}"]), "high": _own(records[f"c{i}high"])})
            whole = pl.col("high").cast(pl.Int128) * _TWO_64 + pl.col("low").cast(pl.Int128)
            series = words.select(whole).to_series()
        else:
            series = pl.Series(_own(records[f"c{i}"])).cast(dtype)
        if column.null_bit >= 0:
            null = (records["nulls"][:, column.null_bit // 8] >> np.uint8(column.null_bit % 8)) & np.uint8(1)
            series = series.to_frame("x").select(pl.when(pl.Series(null == 0)).then(pl.col("x"))).to_series()
        found.append(series.alias(column.name))
    return found


def signed_width(low: int, high: int) -> int:
    """The bytes that hold every integer from ``low`` to ``high``; 0 where both are 0."""
    if low == high == 0:
        return 0
    return next((w for w in _SIGNED if -(1 << (8 * w - 1)) <= low and high < 1 << (8 * w - 1)), _WIDE)


def _width(series: pl.Series, code: str) -> int:
    if code == "b":
        return 1
    if code in "fu" or not len(series):
        return 8
    low, high = series.min(), series.max()
    assert isinstance(low, int)
    assert isinstance(high, int)
    return signed_width(low, high)


def _own(strided: Array) -> Array:
    return np.ascontiguousarray(strided)
