"""What was seen before: compared with a dictionary (protocol rule 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from engine.deduplication import Seen, digests
from engine.event_time import NEVER
from engine.id_blocks import MOST_ENTRIES
from engine.sorted_ids import SortedIds


def ids_of(numbers: list[int]) -> SortedIds:
    return SortedIds.of(digests([str(number) for number in numbers]))


def latest(seen: Seen, ids: SortedIds, live_from: int = NEVER) -> list[int]:
    found = seen.latest(ids, live_from)
    return [NEVER] * len(ids) if found is None else found.tolist()


def test_an_id_is_the_xxh3_128_of_the_identity() -> None:
    # The test vector of the xxHash specification for the empty input.
    assert digests([""]).tobytes().hex() == "99aa06d3014798d86001c324468d497f"


batches = st.lists(st.lists(st.integers(0, 400), max_size=40, unique=True), max_size=40)


@given(batches, st.integers(0, 60))
def test_as_a_dictionary(added: list[list[int]], window: int) -> None:
    """Time goes on by 5 a batch; entries count for ``window``."""
    seen = Seen()
    known: dict[int, int] = {}
    for turn, numbers in enumerate(added):
        now = 5 * turn
        live_from = now - window
        expected = [time if (time := known.get(number, NEVER)) >= live_from else NEVER for number in numbers]
        assert latest(seen, ids_of(numbers), live_from) == expected
        new = [number for number, time in zip(numbers, expected, strict=True) if time == NEVER]
        times = np.array([now + number % 3 for number in new], dtype=np.int64)
        seen.add(ids_of(new), times, live_from)
        known.update(zip(new, times.tolist(), strict=True))


def test_ids_that_share_their_first_word() -> None:
    seen = Seen()
    ids = np.array([[7, high] for high in range(20)] + [[2**64 - 1, 1]], dtype=np.uint64)
    times = np.arange(100, 121)
    for place in range(0, 21, 2):
        seen.add(SortedIds.of(ids[place : place + 2]), times[place : place + 2], NEVER)
    asked = np.concatenate([ids, np.array([[7, 20], [2**64 - 1, 2], [0, 0]], dtype=np.uint64)])
    assert latest(seen, SortedIds.of(asked)) == [*times.tolist(), NEVER, NEVER, NEVER]


def test_an_id_accepted_again_counts_with_its_new_time() -> None:
    seen = Seen()
    for time in (10, 500):
        seen.add(ids_of([1]), np.array([time]), NEVER)
    for turn in range(20):
        seen.add(ids_of([100 + turn]), np.array([600]), NEVER)
    assert latest(seen, ids_of([1, 2]), 400) == [500, NEVER]


def test_many_entries_stay_known_and_expired_ones_leave() -> None:
    seen = Seen()
    for turn in range(100):
        seen.add(ids_of(list(range(turn * 500, turn * 500 + 500))), np.full(500, turn), NEVER)
    assert len(seen) == 50_000
    assert latest(seen, ids_of(list(range(0, 50_000, 7)))) == [number // 500 for number in range(0, 50_000, 7)]
    assert latest(seen, ids_of(list(range(50_000, 60_000)))) == [NEVER] * 10_000
    for turn in range(100, 600):
        seen.add(ids_of(list(range(turn * 500, turn * 500 + 500))), np.full(500, turn), turn - 20)
    assert len(seen) < 50_000
    assert seen.memory_bytes < 50_000 * 32
    assert NEVER not in latest(seen, ids_of(list(range(590 * 500, 600 * 500))), 580)


class Elsewhere:
    """A store with a budget, for any number of `Seen`."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.arrays: list[npt.NDArray[np.uint64]] = []
        self._counted: list[Seen] = []

    def count(self, seen: Seen) -> None:
        self._counted.append(seen)

    @property
    def is_wanted(self) -> bool:
        return sum(seen.memory_bytes for seen in self._counted) > self.budget

    def put(self, array: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        copy = array.copy()
        copy.flags.writeable = False
        self.arrays.append(copy)
        return copy


def test_beyond_the_budget_runs_go_to_the_store_and_nothing_is_forgotten() -> None:
    store = Elsewhere(600_000)
    seen = Seen(store)
    for turn in range(150):
        seen.add(ids_of(list(range(turn * 400, turn * 400 + 400))), np.full(400, turn), NEVER)
    assert store.arrays
    assert seen.memory_bytes < 2 * store.budget
    assert latest(seen, ids_of(list(range(60_000)))) == np.repeat(np.arange(150), 400).tolist()


def test_what_one_takes_is_missing_to_others_of_the_same_store() -> None:
    store = Elsewhere(600_000)
    one, other = Seen(store), Seen(store)
    one.add(ids_of(list(range(30_000))), np.full(30_000, 0), NEVER)
    assert one.memory_bytes > store.budget
    for turn in range(16):
        other.add(ids_of(list(range(turn * 1_000, turn * 1_000 + 1_000))), np.full(1_000, turn), NEVER)
    assert store.arrays
    assert latest(other, ids_of(list(range(16_000)))) == np.repeat(np.arange(16), 1_000).tolist()


def test_full_blocks_of_what_is_added_at_once_go_to_the_store() -> None:
    """As after a restart."""
    store = Elsewhere(0)
    seen = Seen(store)
    for first in (0, 300_000):
        seen.add(ids_of(list(range(first, first + 300_000))), np.arange(first, first + 300_000), NEVER)
    assert sum(array.nbytes for array in store.arrays) == 300_000 * 24
    asked = list(range(0, 600_000, 1000))
    assert latest(seen, ids_of(asked)) == asked


def test_more_at_once_than_a_block_holds() -> None:
    random = np.random.default_rng(1)
    ids = random.integers(0, 2**64, (MOST_ENTRIES + 5, 2), dtype=np.uint64)
    seen = Seen()
    seen.add(SortedIds.of(ids), np.arange(len(ids)), NEVER)
    some = random.integers(0, len(ids), 1_000)
    some[:3] = 0, MOST_ENTRIES, MOST_ENTRIES + 4
    assert latest(seen, SortedIds.of(ids[some])) == some.tolist()


hours = st.integers(-(10**4), 10**4).map(lambda hour: hour * 3_600_000_000)
near = st.integers(-(2**31), 2**31)
moments = st.lists(st.lists(st.one_of(near, hours), min_size=1, max_size=5), min_size=1, max_size=20)


@given(moments)
def test_times_come_back_however_far_apart_they_are(added: list[list[int]]) -> None:
    seen = Seen()
    known: list[int] = []
    for batch in added:
        numbers = list(range(len(known), len(known) + len(batch)))
        seen.add(ids_of(numbers), np.array(batch, dtype=np.int64), NEVER)
        known.extend(batch)
    assert latest(seen, ids_of(list(range(len(known))))) == known


def test_ids_far_apart_in_time_take_little_more_memory() -> None:
    def bytes_of(step_us: int) -> int:
        seen = Seen()
        for turn in range(100):
            numbers = list(range(turn * 100, turn * 100 + 100))
            seen.add(ids_of(numbers), np.arange(100) + turn * step_us, NEVER)
        return seen.memory_bytes

    assert bytes_of(1_000_000) < bytes_of(3_600_000_000) < 1.2 * bytes_of(1_000_000)
