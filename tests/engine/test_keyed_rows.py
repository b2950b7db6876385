"""Rows found by their keys, against dictionaries."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engine.keyed_rows import Keys, put_together, rows_at, sorted_by, stretches

# Few values, so that many are equal; hashes also beyond what a signed integer holds.
Key = tuple[int, int]
KEY = st.tuples(st.integers(-2, 3), st.sampled_from([0, 1, 7, 2**63, 2**64 - 1]))
FAR = st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 2**64 - 1))


def of(keys: list[Key]) -> Keys:
    return Keys(np.array([w for w, _ in keys], dtype=np.int64), np.array([h for _, h in keys], dtype=np.uint64))


def listed(keys: Keys) -> list[Key]:
    return list(zip(*(column.tolist() for column in keys.columns), strict=True))


@given(st.lists(KEY | FAR, unique=True), st.lists(KEY | FAR))
def test_a_key_is_found_where_it_is(known: list[Key], wanted: list[Key]) -> None:
    for keys in (known, sorted(known), sorted(known, key=lambda key: key[1])):
        rows = {key: row for row, key in enumerate(keys)}
        assert of(keys).find(of(wanted)).tolist() == [rows.get(key, -1) for key in wanted]
        assert of(keys).has(of(wanted)).tolist() == [key in rows for key in wanted]


@given(st.lists(KEY | FAR))
def test_keys_in_order_are_each_there_once_and_know_their_rows(given_keys: list[Key]) -> None:
    distinct, row = of(given_keys).sorted_once()
    assert listed(distinct) == sorted(set(given_keys))
    assert listed(distinct.take(row)) == given_keys


@given(st.lists(st.lists(KEY), min_size=1, max_size=4))
def test_parts_are_put_one_after_the_other(parts: list[list[Key]]) -> None:
    assert listed(put_together([of(part) for part in parts])) == [key for part in parts for key in part]


@given(st.lists(KEY | FAR))
def test_frames_are_sorted_as_polars_does(rows: list[Key]) -> None:
    frame = pl.DataFrame([pl.Series(name, column) for name, column in zip("wh", of(rows).columns, strict=True)])
    assert sorted_by(frame, ("w", "h")).equals(frame.sort("w", "h"))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 4))))
def test_stretches_are_counted_out(given_stretches: list[tuple[int, int]]) -> None:
    first, count = (np.array([pair[i] for pair in given_stretches], dtype=np.int64) for i in (0, 1))
    at, which = stretches(first, count)
    expected = [(f + i, n) for n, (f, c) in enumerate(given_stretches) for i in range(c)]
    assert list(zip(at.tolist(), which.tolist(), strict=True)) == expected


def test_a_row_that_is_not_there_is_null() -> None:
    columns = [pl.Series("a", [1, 2, 3]), pl.Series("b", ["x", None, "z"])]
    found = rows_at(columns, np.array([2, -1, 1, 2]))
    assert [column.to_list() for column in found] == [[3, None, 2, 3], ["z", None, None, "z"]]
