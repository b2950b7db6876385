"""Series: one combination of dimension values, known by a stable 64-bit hash.

The hash of a series is xxh64, seed 0, of its canonical bytes: for each dimension in order a tag byte and a payload,
``00`` null, ``01`` string: length as u32 little endian and UTF-8, ``02`` integer: i64 little endian, ``03`` boolean: 00
or 01. ``OTHER`` (all ones) is kept for the row that takes what is above a cap; a series that hashes to it takes the
number below. Without dimensions there is one series, whose hash is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from engine.series_hashes import bulk_hashes

DimensionKind = Literal["string", "integer", "boolean"]
Hashes = npt.NDArray[np.uint64]

OTHER = 2**64 - 1
OTHER_TEXT = "__other__"
NULL_TEXT = "__null__"
TYPES: dict[str, pl.DataType] = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean()}

_RESERVED = r"^(\\*__(?:other|null)__)$"
_RECENT_AT_LEAST = 4096
_MANY = 100_000


def canonical(kinds: Sequence[str], values: Sequence[object]) -> bytes:
    """The bytes that are hashed; see above."""
    parts = bytearray()
    for kind, value in zip(kinds, values, strict=True):
        if value is None:
            parts.append(0)
        elif kind == "string":
            text = str(value).encode()
            parts += b"\x01" + len(text).to_bytes(4, "little") + text
        elif kind == "integer":
            assert isinstance(value, int)
            parts += b"\x02" + value.to_bytes(8, "little", signed=True)
        else:
            parts += b"\x03\x01" if value else b"\x03\x00"
    return bytes(parts)


def series_hash(kinds: Sequence[str], values: Sequence[object]) -> int:
    """The hash of one series."""
    return min(xxhash.xxh64_intdigest(canonical(kinds, values)), OTHER - 1) if kinds else 0


def buckets_of(h: pl.Expr, buckets: int) -> pl.Expr:
    """The bucket (Int64) of each series: the top bits of its hash. ``buckets`` is a power of two."""
    bits = buckets.bit_length() - 1
    return pl.lit(0, dtype=pl.Int64) if bits == 0 else (h // pl.lit(2 ** (64 - bits), dtype=pl.UInt64)).cast(pl.Int64)


class Directory:
    """The series of one set of dimensions that were seen: their values by hash. It grows until told what to `keep`."""

    def __init__(self, names: Sequence[str], kinds: Sequence[str]) -> None:
        self.dimensions = tuple(zip(names, kinds, strict=True))
        self.names = list(names)
        self.kinds = list(kinds)
        self.schema: dict[str, pl.DataType] = {name: TYPES[kind] for name, kind in self.dimensions}
        self._hashed: dict[object, int] = {}  # values -> hash, of those that were hashed one by one
        self._chunks: list[pl.DataFrame] = [pl.DataFrame(schema={"h": pl.UInt64(), **self.schema})]
        self._rows = 0
        self._kept = 0  # how many there were when others were forgotten last
        # Sorted hashes with their row numbers: a large and a recent part, merged when the recent one has grown.
        self._sorted: list[tuple[Hashes, npt.NDArray[np.int64]]] = [_nothing(), _nothing()]

    def __len__(self) -> int:
        return self._rows

    @property
    def crowded(self) -> bool:
        """Whether it has grown enough for a look at which series are still needed."""
        return self._rows > max(_MANY, 2 * self._kept)

    def keep(self, h: pl.Series) -> None:
        """Forget all series but these."""
        kept = self.frame.filter(pl.col("h").is_in(h.unique().implode()))
        self._hashed.clear()
        self._chunks = [kept]
        self._rows = self._kept = kept.height
        self._sorted = [_merged(_nothing(), (kept["h"].to_numpy(), np.arange(kept.height, dtype=np.int64))), _nothing()]

    @property
    def frame(self) -> pl.DataFrame:
        """Every known series: ``h`` and the dimensions as typed values."""
        if len(self._chunks) > 1:
            self._chunks = [pl.concat(self._chunks, rechunk=True)]
        return self._chunks[0]

    def hashes(self, dims: pl.DataFrame) -> pl.Series:
        """The hash (UInt64) of each row of dimension columns; learns those that are new."""
        if not self.names:
            return pl.repeat(0, dims.height, dtype=pl.UInt64, eager=True).alias("h")
        dims = dims.select(self.names)
        bulk = bulk_hashes(self.kinds, dims)
        if bulk is not None:
            h = np.minimum(bulk, np.uint64(OTHER - 1))
            self._learn(h, dims)
            return pl.Series("h", h)
        keys: list[object] = dims.to_series().to_list() if len(self.names) == 1 else list(dims.iter_rows())
        found: list[int | None] = list(map(self._hashed.get, keys))
        if None in found:
            kinds, single = self.kinds, len(self.names) == 1
            for key in {key for key, h in zip(keys, found, strict=True) if h is None}:
                self._hashed[key] = series_hash(kinds, (key,) if single else key)  # type: ignore[arg-type]
            missing = pl.Series([h is None for h in found])
            series = pl.Series("h", list(map(self._hashed.__getitem__, keys)), dtype=pl.UInt64)
            self._learn(series.filter(missing).to_numpy(), dims.filter(missing))
            return series
        return pl.Series("h", found, dtype=pl.UInt64)

    def learn(self, series: pl.DataFrame) -> None:
        """Remembers ``h`` and its typed dimension values, where not yet known. ``OTHER`` and repetitions are fine."""
        self._learn(series["h"].to_numpy(), series)

    def _learn(self, h: Hashes, dims: pl.DataFrame) -> None:
        if not self.names or not len(h):
            return
        new = ~self.knows(h)
        if not new.any():
            return
        at = np.flatnonzero(new)
        fresh, first = np.unique(h[at], return_index=True)
        at = at[first]
        columns = dims.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())[at]
        self._chunks.append(columns.insert_column(0, pl.Series("h", fresh)))
        rows = np.arange(self._rows, self._rows + len(fresh), dtype=np.int64)
        self._rows += len(fresh)
        large, recent = self._sorted
        recent = _merged(recent, (fresh, rows))
        if len(recent[0]) > max(_RECENT_AT_LEAST, len(large[0]) // 8):
            large, recent = _merged(large, recent), _nothing()
        self._sorted = [large, recent]

    def knows(self, h: Hashes) -> npt.NDArray[np.bool_]:
        """Which hashes need not be learned."""
        known: npt.NDArray[np.bool_] = (self._positions(h) >= 0) | (h == np.uint64(OTHER))
        return known

    def values(self, h: pl.Series) -> pl.DataFrame:
        """The typed dimension values of each hash; all null for ``OTHER`` and for unknown ones."""
        if not self.names:
            return pl.DataFrame(height=len(h))
        at = self._positions(h.to_numpy())
        rows = pl.Series(at)
        if (at < 0).any():
            rows = rows.replace(-1, None)
        return self.frame.select(pl.col(self.names).gather(rows))

    def lookup(self, h: pl.Series) -> pl.DataFrame:
        """The dimension values of each hash as text (String), a null dimension null, ``OTHER`` as ``__other__``.

        A literal ``__other__`` or ``__null__`` in the data gets a backslash before it (one with backslashes, one more).
        """
        if not self.names:
            return pl.DataFrame(height=len(h))
        other = h == OTHER
        text = self.values(h).select(pl.all().cast(pl.String))
        escaped = [
            pl.when(other).then(pl.lit(OTHER_TEXT)).otherwise(pl.col(name).str.replace(_RESERVED, r"\${1}")).alias(name)
            for name in self.names
        ]
        return text.select(escaped)

    def _positions(self, h: Hashes) -> npt.NDArray[np.int64]:
        """The row of each hash in ``frame``, -1 where unknown."""
        found = np.full(len(h), -1, dtype=np.int64)
        for known, rows in self._sorted:
            if len(known):
                at = np.minimum(np.searchsorted(known, h), len(known) - 1)
                found = np.where(known[at] == h, rows[at], found)
        return found


def dims_text(names: Sequence[str], values: Sequence[str | None]) -> str:
    """The key form of shown dimension values: ``name=value,...``, ``-`` where there are none, ``__null__`` for null."""
    return ",".join(f"{name}={key_text(value)}" for name, value in zip(names, values, strict=True)) or "-"


def key_text(value: str | None) -> str:
    """One value in a key: ``%``, ``,``, ``=`` and ``|`` are percent-encoded."""
    if value is None:
        return NULL_TEXT
    return value.replace("%", "%25").replace(",", "%2C").replace("=", "%3D").replace("|", "%7C")


def dims_texts(shown: pl.DataFrame) -> pl.Series:
    """``dims_text`` of every row of a frame as ``lookup`` gives it."""
    if not shown.width:
        return pl.repeat("-", shown.height, dtype=pl.String, eager=True).alias("dims")
    parts: list[pl.Expr] = []
    for name in shown.columns:
        text = pl.col(name)
        for plain, code in (("%", "%25"), (",", "%2C"), ("=", "%3D"), ("|", "%7C")):
            text = text.str.replace_all(plain, code, literal=True)
        parts.append(pl.concat_str(pl.lit(f"{',' if parts else ''}{name}="), text.fill_null(NULL_TEXT)))
    return shown.select(pl.concat_str(parts).alias("dims")).to_series()


def _nothing() -> tuple[Hashes, npt.NDArray[np.int64]]:
    return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)


def _merged(
    left: tuple[Hashes, npt.NDArray[np.int64]], right: tuple[Hashes, npt.NDArray[np.int64]]
) -> tuple[Hashes, npt.NDArray[np.int64]]:
    h = np.concatenate((left[0], right[0]))
    order = np.argsort(h, kind="stable")
    return h[order], np.concatenate((left[1], right[1]))[order]
