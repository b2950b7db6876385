"""What the store says of events, held against what the topic has: also while Kafka hangs, dies and comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from aiokafka.partitioner import DefaultPartitioner

from streamgauge.services import Services, embedded_services, free_port
from streams.gateway.connection import Away
from streams.gateway.storing import HELD_BYTES, Fate, Record, Store
from tests.streams.reading import MakeTopic, create_topic, delete_topic, eventually, read_all

PORT = 19_092  # or near it: not one that clients get for themselves, which could connect to themselves


def keyed(*names: str) -> dict[int, Record]:
    return {index: (name.encode(), name.encode(), ()) for index, name in enumerate(names)}


async def until_stored(store: Store, topic: str, name: str = "again", seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                if (await store.store(topic, keyed(name)))[0] is Fate.STORED:
                    return
            except Away:
                pass
            await asyncio.sleep(0.05)


async def test_a_key_goes_to_the_partition_of_kafkas_own_clients_in_order(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(5)
    names = [f"k{number % 40}" for number in range(200)]
    records: dict[int, Record] = {
        index: (name.encode(), str(index).encode(), [("h", name.encode())]) for index, name in enumerate(names)
    }
    async with Store(kafka) as store:
        assert set((await store.store(topic, records)).values()) == {Fate.STORED}
    found = await read_all(kafka, topic, 5)
    choose = DefaultPartitioner()
    numbers: dict[bytes, list[int]] = {}
    for record in found:
        assert record.key is not None and record.value is not None
        assert record.partition == choose(record.key, list(range(5)), list(range(5)))
        assert record.headers == (("h", record.key),)
        numbers.setdefault(record.key, []).append(int(record.value))
    assert len(found) == 200
    assert all(order == sorted(order) for order in numbers.values())


async def test_many_at_once_and_a_batch_of_megabytes(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(2)
    async with Store(kafka) as store:
        many = await asyncio.gather(*(store.store(topic, keyed(f"m{number}")) for number in range(500)))
        large: dict[int, Record] = {index: (None, b"x" * 9_000, ()) for index in range(700)}
        fates = await store.store(topic, large)
    assert {fate for one in many for fate in one.values()} == {Fate.STORED}
    assert list(fates) == list(large) and set(fates.values()) == {Fate.STORED}
    sizes = Counter(len(record.value or b"") for record in await read_all(kafka, topic, 2))
    assert sizes[9_000] == 700 and sizes.total() == 1_200


async def test_what_a_topic_does_not_take_is_told_and_the_next_is_stored(kafka: str, make_topic: MakeTopic) -> None:
    small, other = await make_topic(1, max_message_bytes="1000"), await make_topic(1)
    async with Store(kafka) as store:
        assert await store.store(small, {7: (None, b"x" * 2_000, ())}) == {7: Fate.TOO_LARGE}
        results = await asyncio.gather(
            store.store(small, {0: (None, b"x" * 500, ())}),
            store.store(other, {0: (None, b"x" * 2_000, ())}),
            store.store(small, {0: (None, b"x" * 3_000, ())}),
        )
        assert results[1] == {0: Fate.STORED}
        await until_stored(store, small)
    values = [record.value for record in await read_all(kafka, small)]
    assert values[-1] == b"again"
    assert (results[0] == {0: Fate.STORED}) == (b"x" * 500 in values)
    assert b"x" * 2_000 not in values and b"x" * 3_000 not in values


async def test_more_than_may_wait_is_refused_at_once(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(1)
    async with Store(kafka) as store:
        with pytest.raises(Away, match="too many"):
            await store.store(topic, {0: (None, b"x" * HELD_BYTES, ())})
        await until_stored(store, topic)


async def test_a_topic_that_is_made_again(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(1)
    async with Store(kafka, timeout=2) as store:
        assert (await store.store(topic, keyed("before")))[0] is Fate.STORED
        await delete_topic(kafka, topic)
        await create_topic(kafka, topic)
        await until_stored(store, topic, "after")
    assert {record.value for record in await read_all(kafka, topic)} == {b"after"}


@contextmanager
def own_kafka(folder: Path, port: int) -> Iterator[tuple[Services, psutil.Process]]:
    """A broker of one test alone, and its process."""
    with embedded_services(folder, kafka_port=port, redis_port=None) as services:
        assert services.kafka == f"127.0.0.1:{port}", services.notices
        [child] = services._children
        [java] = psutil.Process(child.process.pid).children()
        yield services, java


@pytest.mark.slow
async def test_fates_are_true_while_kafka_hangs_dies_and_comes_back(tmp_path: Path) -> None:
    port = free_port(PORT)
    topic, kafka = "held", f"127.0.0.1:{port}"
    fates: dict[str, Fate] = {}

    async def send(store: Store, begin: str, count: int) -> None:
        names = [f"{begin}-{number}" for number in range(count)]
        try:
            async with asyncio.timeout(20):  # nobody waits for ever
                found = await store.store(topic, keyed(*names))
        except Away:
            found = dict.fromkeys(range(count), Fate.NOT_STORED)
        fates.update((names[index], fate) for index, fate in found.items())

    async def sending(store: Store, begin: str, ending: asyncio.Event) -> None:
        number = 0
        while not ending.is_set():
            await send(store, f"{begin}{number}", 1 + number % 7)
            await asyncio.sleep(0.005)
            number += 1

    async def while_sending(store: Store, begin: str, what: asyncio.Task[object]) -> None:
        ending = asyncio.Event()
        senders = [asyncio.create_task(sending(store, f"{begin}{part}-", ending)) for part in range(5)]
        await what
        ending.set()
        await asyncio.gather(*senders)

    async def seen(wanted: Fate, begin: str) -> None:
        await eventually(lambda: _has(begin, wanted), 30)

    async def _has(begin: str, wanted: Fate) -> bool:
        return any(name.startswith(begin) and fate is wanted for name, fate in fates.items())

    async with Store(kafka, timeout=1) as store:
        with own_kafka(tmp_path / "kafka", port) as (_, java):
            await create_topic(kafka, topic)
            await until_stored(store, topic, "first")

            async def hang() -> None:
                await seen(Fate.STORED, "hang")
                java.suspend()
                await seen(Fate.UNKNOWN, "hang")
                await seen(Fate.NOT_STORED, "hang")
                java.resume()
                await until_stored(store, topic, "resumed")

            await while_sending(store, "hang", asyncio.create_task(hang()))

            async def die() -> None:
                await seen(Fate.STORED, "die")
                java.kill()
                await seen(Fate.NOT_STORED, "die")

            await while_sending(store, "die", asyncio.create_task(die()))
        with own_kafka(tmp_path / "kafka", port):
            await until_stored(store, topic, "back")
            await send(store, "last", 100)
            stored = Counter(bytes(record.value or b"").decode() for record in await read_all(kafka, topic))
    by_fate = {fate: {name for name, found in fates.items() if found is fate} for fate in Fate}
    assert len(by_fate[Fate.STORED]) > 100 and by_fate[Fate.UNKNOWN] and by_fate[Fate.NOT_STORED]
    assert by_fate[Fate.STORED] <= stored.keys(), "what was said to be stored is"
    assert not by_fate[Fate.NOT_STORED] & stored.keys(), "what was said not to be stored is not"
    assert {number for name, number in stored.items() if name in fates} == {1}, "and nothing twice"


async def test_leaving_while_kafka_hangs_ends(tmp_path: Path) -> None:
    port = free_port(PORT)
    with own_kafka(tmp_path / "kafka", port) as (_, java):
        kafka = f"127.0.0.1:{port}"
        await create_topic(kafka, "held")
        async with asyncio.timeout(30), Store(kafka, timeout=0.5) as store:
            await until_stored(store, "held")
            java.suspend()
            assert await store.store("held", keyed("late")) == {0: Fate.UNKNOWN}
        java.resume()
