"""Tables in compacted topics: the newest of each key, and only what rightful owners wrote."""

from __future__ import annotations

import pytest
from aiokafka.structs import TopicPartition

from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.tables import FencedTable, OwnedLog, assign, delete, newest_records, write
from tests.streams.reading import MakeTopic


class Log:
    """A changelog partition in a list, compacted as slowly as can be."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None, int]] = []

    def assign(self) -> FencedTable:
        offset = len(self.records)
        self.records.append((FencedTable.assignment_key(), b"assigned", offset))
        return FencedTable(offset)

    def write(self, pairs: list[tuple[bytes | None, bytes | None]]) -> None:
        for key, value in pairs:
            assert key is not None
            self.records.append((key, value, len(self.records)))

    def newest(self) -> list[tuple[bytes, bytes, int]]:
        """As `newest_records` reads it."""
        table = {}
        for key, value, offset in self.records:
            table.pop(key, None)
            if value is not None:
                table[key] = (key, value, offset)
        return list(table.values())

    def take_over(self) -> tuple[FencedTable, dict[bytes, bytes]]:
        owner = self.assign()
        table, pairs = owner.take_over(self.newest())
        self.write(pairs)
        return owner, table


def test_an_heir_finds_what_the_owner_before_left() -> None:
    log = Log()
    first, found = log.take_over()
    assert found == {}
    log.write(first.pairs([(b"a", b"1"), (b"b", b"1")]))
    log.write(first.pairs([(b"a", b"2"), (b"b", None)]))
    second, found = log.take_over()
    assert found == {b"a": b"2"}
    log.write(second.pairs([(b"c", b"3")]))
    assert log.take_over()[1] == {b"a": b"2", b"c": b"3"}


def test_what_a_former_owner_still_writes_does_not_count() -> None:
    log = Log()
    zombie, _ = log.take_over()
    log.write(zombie.pairs([(b"a", b"1")]))
    heir, _ = log.take_over()
    log.write(heir.pairs([(b"a", b"2")]))
    log.write(zombie.pairs([(b"a", b"zombie"), (b"z", b"zombie")]))
    assert log.take_over()[1] == {b"a": b"2"}


def test_a_former_owner_cannot_overwrite_what_its_heir_never_touched() -> None:
    log = Log()
    zombie, _ = log.take_over()
    log.write(zombie.pairs([(b"a", b"1")]))
    log.take_over()
    log.write(zombie.pairs([(b"a", b"zombie")]))
    assert log.take_over()[1] == {b"a": b"1"}


def test_rule_03_an_heir_that_died_before_it_had_taken_over_fences_nobody() -> None:
    log = Log()
    owner, _ = log.take_over()
    log.write(owner.pairs([(b"a", b"1"), (b"b", b"1")]))
    log.assign()
    log.write(owner.pairs([(b"a", b"2")]))
    assert log.take_over()[1] == {b"a": b"2", b"b": b"1"}


@pytest.mark.parametrize("written", range(6))
def test_rule_03_an_heir_that_dies_anywhere_in_its_takeover_loses_nothing(written: int) -> None:
    """Its copy counts when it is whole, before any of what it was made of is deleted."""
    log = Log()
    owner, _ = log.take_over()
    log.write(owner.pairs([(b"a", b"1"), (b"b", b"1")]))
    heir = log.assign()
    pairs = heir.take_over(log.newest())[1]
    assert len(pairs) == 2 + 1 + 4  # the copy; that it is whole; what the owner wrote, its assignment and that
    log.write(pairs[:written])
    log.write(owner.pairs([(b"a", b"2")]))
    copied = written > 2
    assert log.take_over()[1] == {b"a": b"1" if copied else b"2", b"b": b"1"}


def test_rule_03_an_heir_that_takes_over_too_late_changes_nothing() -> None:
    log = Log()
    owner, _ = log.take_over()
    log.write(owner.pairs([(b"a", b"1")]))
    slow = log.assign()
    pairs = slow.take_over(log.newest())[1]
    heir, _ = log.take_over()
    log.write(heir.pairs([(b"a", b"2")]))
    log.write(pairs)
    log.write(slow.pairs([(b"a", b"slow")]))
    assert log.take_over()[1] == {b"a": b"2"}


def test_a_table_does_not_grow_with_its_owners() -> None:
    log = Log()
    owner, _ = log.take_over()
    log.write(owner.pairs([(b"a", b"1")]))
    sizes = set()
    for _ in range(5):
        log.take_over()
        sizes.add(len(log.newest()))
    assert sizes == {3}  # the record, the last assignment, and that it has taken over


def test_a_table_from_before_owners_said_that_they_had_taken_over() -> None:
    log = Log()
    former, owner = log.assign(), log.assign()
    log.write(former.pairs([(b"a", b"0")]))
    log.write(owner.pairs([(b"a", b"1"), (b"b", b"1")]))
    log.write(former.pairs([(b"a", b"former")]))
    assert log.take_over()[1] == {b"a": b"1", b"b": b"1"}


async def test_the_newest_record_of_each_key_in_the_order_of_the_log(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=2)
    one, two = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await writer.write({(topic, 0): [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"c", b"1"), (b"c", None)]})
    await writer.write({(topic, 1): [(b"a", b"other"), (b"b", b"beyond the end")]})
    async with topic_reader(kafka, batched=[topic]) as reader:
        tables = await newest_records(reader, {one: 5, two: 1})
    assert tables == {one: [(b"b", b"1", 1), (b"a", b"2", 2)], two: [(b"a", b"other", 0)]}


async def test_rule_03_keys_are_deleted_only_where_nobody_wrote_before_the_manifest(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic()
    tp = TopicPartition(topic, 0)
    log = (await assign(writer, {tp: b"assigned"}))[tp]

    async def table() -> dict[bytes, bytes]:
        async with topic_reader(kafka, batched=[topic]) as reader:
            newest = await newest_records(reader, await reader.ends([tp]))
        return {key: value for key, value, _ in newest[tp]}

    await write(writer, {log.place: [(b"a", b"1"), (b"b", b"1"), (b"manifest", b"1")]}, [log])
    await delete(writer, [(log, [b"a"])])
    assert await table() == {b"assigned": b"assigned", b"b": b"1", b"manifest": b"1"}
    await write(writer, {log.place: [(b"manifest", b"2")]}, [log])
    await writer.write({log.place: [(b"newer", b"assigned")]})
    await write(writer, {log.place: [(b"manifest", b"3")]}, [log])
    await delete(writer, [(log, [b"b"])])
    assert (await table())[b"b"] == b"1"
    log.has_read(log.end, newer=False)  # whoever that was
    await delete(writer, [(log, [b"b"])])
    assert b"b" not in await table()


async def test_a_log_is_untouched_until_somebody_else_writes_to_it(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic()
    tp = TopicPartition(topic, 0)
    log: OwnedLog = (await assign(writer, {tp: b"assigned"}))[tp]
    assert (log.epoch, log.end) == (0, 1)
    await write(writer, {log.place: [(b"a", b"1"), (b"b", b"1")]}, [log])
    assert log.untouched(3)
    assert not log.untouched(4)
    await writer.write({log.place: [(b"a", b"somebody else")]})
    await write(writer, {log.place: [(b"a", b"2")]}, [log])
    assert not log.untouched(5)
