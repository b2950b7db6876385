"""Ids by their first bits: sorted, and told apart within a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sorted_ids import MOST, SortedIds, first_bits, last_bits

words = st.one_of(st.integers(0, 3), st.integers(0, 3).map(lambda number: number << 30), st.integers(0, 2**64 - 1))


@given(st.lists(st.tuples(words, words), min_size=1, max_size=50))
def test_keys_are_the_ids_in_order_and_tell_the_first_of_equal_ones(rows: list[tuple[int, int]]) -> None:
    found = SortedIds.of(np.array(rows, dtype=np.uint64))
    assert sorted(found.places.tolist()) == list(range(len(rows)))
    low = found.ids[found.places, 0]
    assert (first_bits(found.keys) == first_bits(low)).all()
    assert (np.diff(first_bits(found.keys).astype(np.int64)) >= 0).all()
    whole = (first_bits(low) << np.uint64(24)) | last_bits(low)
    assert whole.tolist() == low.tolist()
    expected = [rows.index(row) for row in rows]
    first = found.first_of_each()
    assert (expected if first is None else first.tolist()) == expected
    assert (first is None) == (len(set(rows)) == len(rows))


def test_more_ids_than_keys_tell_apart_are_refused() -> None:
    ids = np.broadcast_to(np.zeros(2, dtype=np.uint64), (MOST + 1, 2))
    with pytest.raises(ValueError, match="more than 16777216 ids at once"):
        SortedIds.of(ids)
