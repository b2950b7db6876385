"""What was seen before: compared with a dictionary; and the segments that make it durable (protocol rule 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.block_keys import UnknownVersion
from engine.deduplication import Seen, Segment, decode_segment, digests, encode_segment, entries_of
from engine.event_time import NEVER


def ids_of(numbers: list[int]) -> npt.NDArray[np.uint64]:
    return digests([str(number) for number in numbers])


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
        latest = seen.latest(ids_of(numbers), live_from)
        expected = [time if (time := known.get(number, NEVER)) >= live_from else NEVER for number in numbers]
        assert latest.tolist() == expected
        new = [number for number, time in zip(numbers, expected, strict=True) if time == NEVER]
        times = np.array([now + number % 3 for number in new], dtype=np.int64)
        seen.add(ids_of(new), times, live_from)
        known.update(zip(new, times.tolist(), strict=True))


def test_ids_that_share_their_first_word() -> None:
    seen = Seen()
    ids = np.array([[7, high] for high in range(20)] + [[2**64 - 1, 1]], dtype=np.uint64)
    times = np.arange(100, 121)
    for place in range(0, 21, 2):
        seen.add(ids[place : place + 2], times[place : place + 2], NEVER)
    asked = np.concatenate([ids, np.array([[7, 20], [2**64 - 1, 2], [0, 0]], dtype=np.uint64)])
    assert seen.latest(asked, NEVER).tolist() == [*times.tolist(), NEVER, NEVER, NEVER]


def test_an_id_accepted_again_counts_with_its_new_time() -> None:
    seen = Seen()
    for time in (10, 500):
        seen.add(ids_of([1]), np.array([time]), NEVER)
    for turn in range(20):
        seen.add(ids_of([100 + turn]), np.array([600]), NEVER)
    assert seen.latest(ids_of([1, 2]), 400).tolist() == [500, NEVER]


def test_many_entries_stay_known_and_expired_ones_leave() -> None:
    seen = Seen()
    for turn in range(100):
        seen.add(ids_of(list(range(turn * 500, turn * 500 + 500))), np.full(500, turn), NEVER)
    assert len(seen) == 50_000
    assert (seen.latest(ids_of(list(range(0, 50_000, 7))), NEVER) != NEVER).all()
    assert (seen.latest(ids_of(list(range(50_000, 60_000))), NEVER) == NEVER).all()
    for turn in range(100, 600):
        seen.add(ids_of(list(range(turn * 500, turn * 500 + 500))), np.full(500, turn), turn - 20)
    assert len(seen) < 50_000
    assert seen.memory_bytes < 50_000 * 32
    assert (seen.latest(ids_of(list(range(590 * 500, 600 * 500))), 580) != NEVER).all()


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
    assert (seen.latest(ids_of(list(range(60_000))), NEVER) == np.repeat(np.arange(150), 400)).all()


def test_what_one_takes_is_missing_to_others_of_the_same_store() -> None:
    store = Elsewhere(600_000)
    one, other = Seen(store), Seen(store)
    one.add(ids_of(list(range(30_000))), np.full(30_000, 0), NEVER)
    assert one.memory_bytes > store.budget
    for turn in range(16):
        other.add(ids_of(list(range(turn * 1_000, turn * 1_000 + 1_000))), np.full(1_000, turn), NEVER)
    assert store.arrays
    assert (other.latest(ids_of(list(range(16_000))), NEVER) == np.repeat(np.arange(16), 1_000)).all()


def test_what_is_added_at_once_and_merged_no_more_goes_to_the_store_at_once() -> None:
    """As after a restart."""
    store = Elsewhere(0)
    seen = Seen(store)
    seen.add(ids_of(list(range(300_000))), np.arange(300_000), NEVER)
    assert sum(map(len, store.arrays)) == 3 * 300_000
    asked = list(range(0, 300_000, 1000))
    assert seen.latest(ids_of(asked), NEVER).tolist() == asked


entries = st.lists(st.tuples(st.integers(0, 2**128 - 1), st.integers(-(2**61), 2**61), st.integers(0, 50)), max_size=20)


@given(entries, st.integers(0, 2**62), st.booleans())
def test_segments_come_back_as_they_were(found: list[tuple[int, int, int]], first: int, near: bool) -> None:
    offsets = first + np.cumsum(np.array([gap for _, _, gap in found], dtype=np.int64))
    segment = Segment(
        first_offset=first,
        next_offset=int(offsets[-1]) + 1 if found else first,
        ids=np.array([[id_ >> 64, id_ & (2**64 - 1)] for id_, _, _ in found], dtype=np.uint64).reshape(-1, 2),
        times=np.array([time % 2**32 if near else time for _, time, _ in found], dtype=np.int64),
        offsets=offsets,
    )
    raw = encode_segment(segment)
    back = decode_segment(raw)
    assert (back.first_offset, back.next_offset) == (segment.first_offset, segment.next_offset)
    for name in ("ids", "times", "offsets"):
        assert getattr(back, name).tolist() == getattr(segment, name).tolist()
    assert len(raw) <= 32 + 28 * len(found)


def golden() -> Segment:
    return Segment(
        first_offset=1000,
        next_offset=1005,
        ids=digests(["order-1", "order-2"]),
        times=np.array([1_795_394_467_000_000, 1_795_394_466_500_000]),
        offsets=np.array([1000, 1004]),
    )


def test_the_bytes_of_a_segment_stay_as_they_are() -> None:
    assert encode_segment(golden()).hex() == GOLDEN


def test_a_segment_of_another_version_is_refused() -> None:
    raw = encode_segment(golden())
    with pytest.raises(UnknownVersion, match="version 02"):
        decode_segment(b"\x02" + raw[1:])
    with pytest.raises(UnknownVersion):
        decode_segment(b"")


@pytest.mark.parametrize("length", [1, 20, 31, 33, 60])
def test_a_segment_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="cut short"):
        decode_segment(encode_segment(golden())[:length])


@pytest.mark.parametrize(
    ("offset", "left"), [(999, []), (1000, []), (1001, [1000]), (1004, [1000]), (1005, [1000, 1004])]
)
def test_below_an_offset(offset: int, left: list[int]) -> None:
    assert golden().below(offset).offsets.tolist() == left


def test_segments_are_put_together_in_the_order_of_their_offsets() -> None:
    later = Segment(2000, 2001, digests(["x"]), np.array([5]), np.array([2000]))
    joined = entries_of([later, golden(), golden().below(1000)])
    assert joined is not None
    assert joined.offsets.tolist() == [1000, 1004, 2000]
    assert (joined.first_offset, joined.next_offset) == (1000, 2001)
    assert entries_of([golden().below(1000)]) is None


GOLDEN = (
    "0104000002000000e803000000000000ed03000000000000a04d68d9e6600600"
    "5a8a409613f90ad0af63a0f835ca67461cbdee858edc584d751a3d2bcd11178a"
    "000000000400000020a1070000000000"
)
