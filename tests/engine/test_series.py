"""Series: hashes that never change (protocol rule 13), and the texts of dimension values (rule 16)."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from engine.series import (
    OTHER,
    Directory,
    buckets_of,
    canonical,
    dims_text,
    dims_texts,
    series_hash,
)
from engine.xxh64 import xxh64_rows

GOLDEN = [
    (("string",), ("EU",), "01 02000000 4555", 0x639349FBF6132093),
    (("integer",), (42,), "02 2a00000000000000", 0x44C77C508883AD78),
    (("boolean",), (True,), "0301", 0x3F4BDF26D550FCDB),
    (("string", "integer"), (None, -1), "00 02 ffffffffffffffff", 0x102BA08332288C5E),
]
INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(("kinds", "values", "bytes_", "expected"), GOLDEN)
def test_canonical_bytes_and_hashes_are_fixed(
    kinds: tuple[str, ...], values: tuple[object, ...], bytes_: str, expected: int
) -> None:
    assert canonical(kinds, values) == bytes.fromhex(bytes_)
    assert series_hash(kinds, values) == expected
    directory = Directory([f"d{i}" for i in range(len(kinds))], kinds)
    frame = pl.DataFrame([values], schema=directory.schema, orient="row")
    assert directory.hashes(frame).to_list() == [expected]


@given(st.integers(0, 80).flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n), min_size=1, max_size=5)))
def test_bulk_xxh64_is_xxh64(rows: list[bytes]) -> None:
    matrix = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), len(rows[0]))
    assert xxh64_rows(matrix).tolist() == [xxhash.xxh64_intdigest(row) for row in rows]


@given(st.lists(st.tuples(INT64, st.booleans(), INT64), min_size=1, max_size=30))
def test_rows_without_strings_hash_like_single_ones(rows: list[tuple[int, bool, int]]) -> None:
    kinds = ("integer", "boolean", "integer")
    directory = Directory(["a", "b", "c"], kinds)
    frame = pl.DataFrame(rows, schema=directory.schema, orient="row")
    h = directory.hashes(frame)
    assert h.to_list() == [series_hash(kinds, row) for row in rows]
    assert directory.values(h).rows() == rows
    assert len(directory) == len(set(rows))


@given(
    st.lists(
        st.lists(st.tuples(st.none() | st.text(max_size=5), st.none() | st.integers(0, 3)), max_size=20), max_size=4
    )
)
def test_a_directory_knows_what_it_hashed(batches: list[list[tuple[str | None, int | None]]]) -> None:
    directory = Directory(["a", "b"], ["string", "integer"])
    again = Directory(["a", "b"], ["string", "integer"])
    for batch in batches:
        h = directory.hashes(pl.DataFrame(batch, schema=directory.schema, orient="row"))
        assert h.to_list() == [series_hash(("string", "integer"), row) for row in batch]
        assert directory.values(h).rows() == batch
        again.learn(directory.values(h).insert_column(0, h))
    assert again.frame.sort("h").equals(directory.frame.sort("h"))


def test_strings_of_many_lengths_hash_like_single_ones() -> None:
    """Few shapes are hashed together, many one by one."""
    for longest in (3, 200):
        directory = Directory(["a", "b"], ["string", "string"])
        rows = [("é" * (i % longest), None if i % 3 else "x" * (i * 7 % longest)) for i in range(1000)]
        h = directory.hashes(pl.DataFrame(rows, schema=directory.schema, orient="row"))
        assert h.to_list() == [series_hash(("string", "string"), row) for row in rows]
        assert directory.values(h).rows() == rows


def test_many_batches_are_merged_into_one_index() -> None:
    directory = Directory(["a"], ["integer"])
    for start in range(0, 60_000, 6_000):
        directory.hashes(pl.DataFrame({"a": np.arange(start, start + 9_000)}))
    assert len(directory) == 63_000
    probe = pl.DataFrame({"a": [62_999, 5, 30_000]})
    assert directory.values(directory.hashes(probe)).equals(probe)


def test_without_dimensions_there_is_one_series() -> None:
    directory = Directory([], [])
    assert directory.hashes(pl.DataFrame(height=3)).to_list() == [0, 0, 0]
    assert directory.lookup(pl.Series("h", [0, 0], dtype=pl.UInt64)).shape == (2, 0)
    assert dims_texts(pl.DataFrame(height=2)).to_list() == ["-", "-"]
    assert dims_text([], []) == "-"


def test_other_and_null_are_told_from_literals() -> None:
    directory = Directory(["a", "b"], ["string", "boolean"])
    raw = [("__other__", True), ("__null__", False), (None, None), ("\\__other__", True), ("x,=|%", True)]
    h = directory.hashes(pl.DataFrame(raw, schema=directory.schema, orient="row"))
    shown = directory.lookup(pl.Series("h", [*h.to_list(), OTHER], dtype=pl.UInt64))
    assert shown.rows() == [
        ("\\__other__", "true"),
        ("\\__null__", "false"),
        (None, None),
        ("\\\\__other__", "true"),
        ("x,=|%", "true"),
        ("__other__", "__other__"),
    ]
    keys = dims_texts(shown).to_list()
    assert keys == [dims_text(["a", "b"], row) for row in shown.rows()]
    assert keys[2] == "a=__null__,b=__null__"
    assert keys[4] == "a=x%2C%3D%7C%25,b=true"
    assert keys[5] == "a=__other__,b=__other__"


def test_buckets_are_the_top_bits() -> None:
    frame = pl.DataFrame({"h": pl.Series([0, 2**63, 2**64 - 2, 2**60], dtype=pl.UInt64)})
    assert frame.select(buckets_of(pl.col("h"), 16)).to_series().to_list() == [0, 8, 15, 1]
    assert frame.select(buckets_of(pl.col("h"), 1).alias("b")).item(0, 0) == 0
