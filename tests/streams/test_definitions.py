"""Which catalog is the newest, and its sequence (protocol rule 19)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from engine.blocks import UnknownVersion
from streams.definitions import Definitions, OldCatalog
from streams.producing import BulkWriter
from streams.security import KafkaSecurity
from tests.streams.reading import read_all


@pytest.fixture
async def name(kafka: str) -> AsyncIterator[str]:
    """Of a catalog whose topic of definitions is there."""
    made = f"c{uuid.uuid4().hex[:10]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(f"{made}.definitions", 1, 1)])
    yield made
    await admin.close()


async def drop_all_but_the_newest(kafka: str, topic: str, *, kept: int = 1) -> None:
    """What compaction leaves of records of one key."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    last = (await read_all(kafka, topic))[-1].offset
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=last + 1 - kept)})
    await admin.close()


async def test_a_text_that_is_the_newest_keeps_its_sequence(kafka: str, name: str, writer: BulkWriter) -> None:
    def catalog(text: str, folder: str = "/here") -> Definitions:
        return Definitions(name, [(f"{folder}/shop.yaml", text)], kafka, KafkaSecurity())

    assert await catalog("one").register(writer) == 0
    assert await catalog("one", "/elsewhere").register(writer) == 0
    assert await catalog("two").register(writer) == 1
    with pytest.raises(OldCatalog, match="another catalog of this name was started later"):
        await catalog("one").sequence()


@pytest.mark.parametrize("compacted", [False, True])
async def test_a_text_that_was_replaced_comes_back_only_where_that_is_asked_for(
    kafka: str, name: str, writer: BulkWriter, compacted: bool
) -> None:
    def catalog(text: str, roll_back_from: str | None = None) -> Definitions:
        return Definitions(name, [("shop.yaml", text)], kafka, KafkaSecurity(), roll_back_from=roll_back_from)

    one, two, three = (catalog(text) for text in ("one", "two", "three"))
    for definition in (one, two, three):
        await definition.register(writer)
    if compacted:
        await drop_all_but_the_newest(kafka, f"{name}.definitions")
    for old in (one, two):
        with pytest.raises(OldCatalog, match=f"has been replaced by a newer one .{three.id}"):
            await old.register(writer)
        with pytest.raises(OldCatalog, match=f"--roll-back-from {three.id}"):
            await catalog("one", roll_back_from=two.id).register(writer)  # of another time
    assert await three.sequence() == 2
    assert [await catalog(text).replaced_by() for text in ("one", "three", "four")] == [three.id, None, None]
    back = catalog("one", roll_back_from=three.id)
    assert await back.register(writer) == 3
    assert await back.register(writer) == 3
    assert await one.register(writer) == 3
    with pytest.raises(OldCatalog, match=f"--roll-back-from {one.id}"):
        await three.register(writer)
    assert await catalog("four").register(writer) == 4
    with pytest.raises(OldCatalog):  # left in its place, the option is not asked for another time
        await back.register(writer)


async def test_a_record_of_another_release_is_refused(kafka: str, name: str, writer: BulkWriter) -> None:
    for raw, told in ((b'{"files":[],"version":99}', "of version 99"), (b"[]", "in another form")):
        await writer.write({(f"{name}.definitions", 0): [(name.encode(), raw)]})
        with pytest.raises(UnknownVersion, match=told):
            await Definitions(name, [("shop.yaml", "one")], kafka, KafkaSecurity()).register(writer)
        await drop_all_but_the_newest(kafka, f"{name}.definitions", kept=0)


async def test_workers_that_start_together_with_one_text_agree_on_its_sequence(
    kafka: str, name: str, writer: BulkWriter
) -> None:
    ours = Definitions(name, [("shop.yaml", "same")], kafka, KafkaSecurity())
    assert await ours.register(writer) == 0
    [record] = await read_all(kafka, f"{name}.definitions")
    await writer.write({(f"{name}.definitions", 0): [(record.key, record.value)]})
    assert await ours.register(writer) == 0
