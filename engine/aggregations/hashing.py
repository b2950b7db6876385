"""Stable 64-bit hashes of values, for distinct counts: the same on every machine and in every version.

Values that are numbers in the machine are mixed by the finaliser of splitmix64, which is one to one: no two integers
share a hash. Strings are hashed by xxh64, once for each in a batch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

Words = npt.NDArray[np.uint64]

_TAGS = {"string": 1, "integer": 2, "boolean": 3, "decimal": 4, "number": 5, "timestamp": 6}
_GOLDEN = 0x9E3779B97F4A7C15
_TWO_64 = pl.lit(2**64, dtype=pl.Int128)


def value_hashes(values: pl.Series, kind: str) -> Words:
    """The hash of each value (none is null) of a column of one kind."""
    if not len(values):
        return np.empty(0, dtype=np.uint64)
    tag = _TAGS[kind]
    start = np.uint64(tag * _GOLDEN & 0xFFFFFFFFFFFFFFFF)
    if kind == "string":
        unique = values.unique()
        hashes = [xxhash.xxh64_intdigest(text.encode(), seed=tag) for text in unique]
        return values.replace_strict(unique, pl.Series(hashes, dtype=pl.UInt64), return_dtype=pl.UInt64).to_numpy()
    if kind == "decimal":
        words = (
            values.to_physical()
            .to_frame("x")
            .select(low=(pl.col("x") % _TWO_64).cast(pl.UInt64), high=(pl.col("x") // _TWO_64).cast(pl.Int64))
        )
        high = np.ascontiguousarray(words["high"].to_numpy()).view(np.uint64)
        return mixed(words["low"].to_numpy() ^ mixed(high + start))
    if kind == "number":
        doubles = np.ascontiguousarray(values.to_numpy()) + 0.0  # one zero
        return mixed(doubles.view(np.uint64) + start)
    return mixed(np.ascontiguousarray(values.to_physical().cast(pl.Int64).to_numpy()).view(np.uint64) + start)


def mixed(words: Words) -> Words:
    """The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
