"""The filter in front of what was seen: it forgets nothing, and lets few others pass."""

from __future__ import annotations

import numpy as np
import pytest

from engine.id_filter import IdFilter
from engine.sorted_ids import SortedIds, UInt64s


def keys_of(count: int, seed: int) -> UInt64s:
    return SortedIds.of(np.random.default_rng(seed).integers(0, 2**64, (count, 2), dtype=np.uint64)).keys


@pytest.mark.parametrize("size", [1, 7, 1_000, 30_000])
def test_what_was_added_is_never_denied_and_little_else_passes(size: int) -> None:
    filled = IdFilter()
    added: list[UInt64s] = []
    while sum(map(len, added)) < 100 * size and len(added) < 200:
        added.append(keys_of(size, len(added)))
        if filled.has_room(size):
            filled.add(filled.look(added[-1]))
        else:
            filled.renew(added, sum(map(len, added)))
        others = filled.look(keys_of(10_000, 10_000 + len(added))).may_be_there
        assert others.sum() < 100
    for keys in added:
        assert filled.look(keys).may_be_there.all()
    assert filled.nbytes < max(20_000, 8 * sum(map(len, added)))


def test_renewed_it_holds_what_is_left_alone() -> None:
    filled = IdFilter()
    before, after = keys_of(3_000, 1), keys_of(1_000, 2)
    filled.add(filled.look(before))
    filled.renew([after[:400], after[400:]], 1_000)
    assert filled.look(after).may_be_there.all()
    assert filled.look(before).may_be_there.sum() < 60
