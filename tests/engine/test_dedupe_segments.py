"""The records that make ids durable (protocol rule 5)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.block_keys import UnknownVersion
from engine.dedupe_segments import SEGMENT_ENTRIES, Segment, decode_segment, encode_segment, entries_of, in_records
from engine.deduplication import digests

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


def of_offsets(first: int, count: int) -> Segment:
    offsets = np.arange(first, first + count)
    ids = np.stack((offsets, offsets), axis=1).astype(np.uint64)
    return Segment(first, first + count, ids, offsets * 1000, offsets)


@pytest.mark.parametrize(
    ("counts", "records"),
    [
        ([], []),
        ([1], [1]),
        ([10, 20, 30], [60]),
        ([SEGMENT_ENTRIES, 1], [SEGMENT_ENTRIES, 1]),
        ([1, SEGMENT_ENTRIES - 1, 1, 2], [SEGMENT_ENTRIES, 3]),
        ([3 * SEGMENT_ENTRIES, 1], [3 * SEGMENT_ENTRIES, 1]),
    ],
)
def test_segments_share_a_record_while_they_fit(counts: list[int], records: list[int]) -> None:
    starts = np.cumsum([0, *counts]).tolist()
    found = list(in_records(of_offsets(start, count) for start, count in zip(starts, counts, strict=False)))
    assert [len(segment.times) for segment in found] == records
    offsets = [offset for segment in found for offset in segment.offsets.tolist()]
    assert offsets == list(range(starts[-1]))
    for segment in found:
        assert (segment.first_offset, segment.next_offset) == (segment.offsets[0], segment.offsets[-1] + 1)
        assert (decode_segment(encode_segment(segment)).ids == segment.ids).all()


GOLDEN = (
    "0104000002000000e803000000000000ed03000000000000a04d68d9e6600600"
    "5a8a409613f90ad0af63a0f835ca67461cbdee858edc584d751a3d2bcd11178a"
    "000000000400000020a1070000000000"
)
