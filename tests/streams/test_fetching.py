"""Fetched partitions as one message each: the same events as aiokafka gives one by one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.batch import Batch
from streams.fetching import BatchedTopics, Fetched, install
from tests.streams.test_record_format import ROWS, Row, record_batch

install()
TOPICS = BatchedTopics(events=frozenset({"events"}), records=frozenset({"records"}))
CONTROL, TRANSACTIONAL = 0x20, 0x10


def messages(topic: str, raw: bytes, asked: int, *, crc: bool = True, aborted: Any = None) -> tuple[list[Any], int]:
    """The messages aiokafka makes of a fetched partition, and the position behind them."""
    level = fetcher.READ_COMMITTED if aborted is not None else fetcher.READ_UNCOMMITTED
    records = fetcher.PartitionRecords(
        TopicPartition(topic, 3), fetcher.MemoryRecords(raw), aborted, asked, None, TOPICS, crc, level
    )
    return list(records), records.next_fetch_offset


def fetched(topic: str, raw: bytes, asked: int = 0, **options: Any) -> Fetched[Any]:
    (message,), position = messages(topic, raw, asked, **options)
    found = message.value
    assert isinstance(found, Fetched)
    assert (found.asked, found.next_offset, message.offset) == (asked, position, position - 1)
    return found


def marked(raw: bytes, attributes: int, producer: int = -1) -> bytes:
    """`raw` with attribute bits and a producer id; the checksum no longer fits."""
    changed = bytearray(raw)
    changed[22] |= attributes
    struct.pack_into(">q", changed, 43, producer)
    return bytes(changed)


@given(
    batches=st.lists(ROWS, min_size=1, max_size=4),
    gaps=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    codec=st.sampled_from([0, 3, 4]),
    asked=st.integers(0, 12),
)
def test_the_same_events_as_one_by_one(batches: list[list[Row]], gaps: list[int], codec: int, asked: int) -> None:
    raw, base = b"", 0
    for rows, gap in zip(batches, gaps, strict=False):
        base += gap
        if base + len(rows) > asked:  # a broker's answer begins with the batch that holds the offset
            raw += record_batch(rows, codec, base)
        base += len(rows)
    if not raw:
        return
    singles, position = messages("other", raw, asked)
    together, batch_position = messages("events", raw, asked)
    assert batch_position == position
    assert len(together) == 1
    found: Fetched[Batch] = together[0].value
    batch = found.content
    assert list(batch.values) == [single.value for single in singles]
    assert batch.offsets.tolist() == [single.offset for single in singles]
    assert batch.offsets.dtype == np.int64
    assert batch.next_offset == found.next_offset == position
    assert not callable(batch.timestamps)
    assert batch.timestamps.tolist() == [single.timestamp for single in singles]
    assert [tuple(batch.headers(index)) for index in range(len(singles))] == [single.headers for single in singles]
    assert batch.headed is not None
    assert set(batch.headed) >= {index for index, single in enumerate(singles) if single.headers}
    wanted = [single.offset for single in singles][::2]
    assert [(o.offset, o.key, o.value) for o in found.originals(wanted)] == [
        (s.offset, s.key, s.value) for s in singles[::2]
    ]
    fields = fetched("records", raw, asked).content
    assert fields == [(single.key, single.value, single.offset) for single in singles]


def test_control_batches_are_passed_over_and_the_position_moves_behind_them() -> None:
    events = record_batch([(1, None, b"a", [])])
    control = marked(record_batch([(2, b"\0\0\0\0", b"x", [])], base=1), CONTROL)
    found = fetched("events", events + control, crc=False)
    assert (found.content.values, found.next_offset) == ([b"a"], 2)
    assert messages("events", control, 1, crc=False) == ([], 2)


def test_events_of_an_aborted_transaction_are_left_out() -> None:
    parts = [record_batch([(1, None, text, [])], base=number) for number, text in enumerate([b"a", b"gone", b"b"])]
    parts[1] = marked(parts[1], TRANSACTIONAL, producer=7)
    found = fetched("events", b"".join(parts), crc=False, aborted=[(7, 1)])
    assert (list(found.content.values), found.content.offsets.tolist()) == ([b"a", b"b"], [0, 2])
    assert found.content.timestamps.tolist() == [1, 1]


def test_a_wrong_checksum_is_refused() -> None:
    raw = bytearray(record_batch([(1, None, b"value", [])]))
    raw[-2] ^= 1
    with pytest.raises(CorruptRecordException):
        messages("events", bytes(raw), 0)


def test_a_header_whose_name_is_not_text_harms_neither_its_event_nor_the_neighbours() -> None:
    odd = record_batch([(2, b"k", b"odd", [("naem", b"x")])], base=1)
    payload = bytearray(odd.replace(b"naem", b"\xff\xfeem"))
    raw = record_batch([(1, None, b"a", [])]) + bytes(payload) + record_batch([(3, None, b"b", [])], base=2)
    found = fetched("events", raw, crc=False)
    assert list(found.content.values) == [b"a", b"odd", b"b"]
    assert found.content.headed == [1]
    assert found.content.headers(1) == [("\ufffd\ufffdem", b"x")]
    assert found.content.timestamps.tolist() == [1, 2, 3]
    assert found.originals([1])[0].key == b"k"


def test_compacted_batches_keep_their_offsets_and_the_position_behind_what_is_gone() -> None:
    raw = bytearray(record_batch([(1, None, b"a", []), (1, None, b"b", [])], base=10))
    struct.pack_into(">i", raw, 23, 4)  # last offset delta: 10 to 14, of which two remain
    found = fetched("events", bytes(raw), asked=10, crc=False)
    assert (found.content.offsets.tolist(), found.next_offset) == ([10, 11], 15)
