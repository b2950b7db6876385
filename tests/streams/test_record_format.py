"""Kafka's record batches in plain Python: the same records as aiokafka reads, and those that it refuses."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streams.record_format import lenient_records, slices

Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
SCALE = 2**40
ROWS = st.lists(
    st.tuples(
        st.integers(0, SCALE),
        st.none() | st.binary(max_size=300),
        st.none() | st.binary(max_size=300),
        st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=20)), max_size=3),
    ),
    min_size=1,
    max_size=5,
)


def record_batch(rows: list[Row], codec: int = 0, base: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 24)
    for index, (timestamp, key, value, headers) in enumerate(rows):
        builder.append(index, timestamp, key, value, headers)
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)  # the broker's part; the checksum does not cover it
    return bytes(raw)


def read(raw: bytes) -> list[Any]:
    records = MemoryRecords(raw)
    found: list[Any] = []
    while records.has_next():
        found.extend((r.offset, r.timestamp, r.key, r.value, r.headers) for r in records.next_batch())
    return found


@given(batches=st.lists(ROWS, min_size=1, max_size=3), codec=st.sampled_from([0, 1, 2, 3, 4]))
def test_every_record_reads_as_with_aiokafka(batches: list[list[Row]], codec: int) -> None:
    raw = b"".join(record_batch(rows, codec, base=1000 * number) for number, rows in enumerate(batches))
    assert [row for part in slices(raw) for row in lenient_records(part)] == read(raw)


def test_a_cut_off_batch_at_the_end_is_left_out() -> None:
    whole = record_batch([(1, None, b"v", [])])
    for cut in range(1, len(whole)):
        assert [bytes(part) for part in slices(whole + whole[:cut])] == [whole]


def test_a_header_whose_name_is_not_text_does_not_hide_its_record() -> None:
    raw = record_batch([(5, b"k", b"v", [("naem", b"x")])]).replace(b"naem", b"\xff\xfeem")
    with pytest.raises(UnicodeDecodeError):
        read(raw)
    assert list(lenient_records(slices(raw)[0])) == [(0, 5, b"k", b"v", [("\ufffd\ufffdem", b"x")])]


def test_an_unknown_codec_and_a_record_of_the_wrong_length_are_refused() -> None:
    raw = bytearray(record_batch([(5, b"k", b"v", [])]))
    raw[22] |= 0x07
    with pytest.raises(UnsupportedCodecError):
        list(lenient_records(slices(bytes(raw))[0]))
    raw = bytearray(record_batch([(5, b"k", b"v", [])]))
    raw[61] += 2  # the record's length, zigzag
    with pytest.raises(CorruptRecordException):
        list(lenient_records(slices(bytes(raw))[0]))


def test_offsets_count_up_from_the_batch_base() -> None:
    rows: list[Row] = [(number, None, b"v", []) for number in range(300)]
    offsets = [row[0] for row in lenient_records(slices(record_batch(rows, base=77))[0])]
    assert offsets[0] == 77
    assert all(after - before == 1 for before, after in pairwise(offsets))
