"""The worker as a process, against a real Kafka and a real Valkey: exact whatever happens to it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition
from redis.asyncio import Redis

from streamgauge.services import embedded_services, free_port
from tests.streams.reading import delete_topic, read_all
from tests.system.workers import MINUTE, T0, Shop, open_shop, orders

pytestmark = pytest.mark.system


@pytest.fixture
async def shop(kafka: str, valkey: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(kafka, valkey, tmp_path) as opened:
        yield opened


async def test_events_become_values_in_kafka_redis_and_metrics(shop: Shop) -> None:
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(orders(5000))
        await shop.finish()
        await shop.until_right()
        async with Redis.from_url(shop.redis, decode_responses=True) as redis:
            newest = await redis.hgetall(f"kpi:{shop.name}:{{orders}}:current:-")
        assert newest["definition"]
        _, metrics = worker.get("/metrics")
        accepted = 'streamgauge_events_total{outcome="accepted",source="orders"}'
        counted = next(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(accepted))
        assert counted == len({event["id"] for event in shop.sent}) + shop.partitions
        assert 'streamgauge_kpi_value{kpi="revenue",region="last"}' in metrics
        code, seconds = await worker.end()
        assert code == 0, worker.log.read_text()
        assert seconds < 10
        assert "Traceback" not in worker.log.read_text()


async def test_bad_events_are_kept_with_the_reason_and_their_neighbours_count(shop: Shop) -> None:
    with shop.worker() as worker:
        await worker.ready()
        events = orders(300)
        await shop.send(events[:100])
        await shop.send_raw([(b"k1", b"{broken"), (None, b'{"at": 1, "id": "x"}'), (None, None)])
        await shop.send(events[100:])
        await shop.finish()
        await shop.until_right()
        dead = await read_all(shop.kafka, f"{shop.name}.orders.dlq", shop.partitions)
        reasons = {dict(record.headers)["kpi.errors.reason"].decode() for record in dead}
        assert reasons == {"malformed", "missing_field", "tombstone"}
        broken = next(record for record in dead if record.value == b"{broken")
        assert broken.key == b"k1"
        assert dict(broken.headers)["kpi.errors.topic"].decode() == f"{shop.name}.orders"


async def test_a_restart_goes_on_where_it_was_and_shows_current_values_again(shop: Shop) -> None:
    events = orders(4000)
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(events[:2000])
        await shop.until(lambda: shop.seen > 0)
        assert (await worker.end())[0] == 0
    async with Redis.from_url(shop.redis, decode_responses=True) as redis:
        before = await redis.hgetall(f"kpi:{shop.name}:{{orders}}:current:-")
        for key in await redis.keys(f"kpi:{shop.name}:*"):
            await redis.delete(key)
        with shop.worker() as worker:
            await worker.ready()
            async with asyncio.timeout(5):
                while (await redis.hgetall(f"kpi:{shop.name}:{{orders}}:current:-")) != before:
                    await asyncio.sleep(0.05)
            await shop.send(events[2000:])
            await shop.finish()
            await shop.until_right()


@pytest.mark.slow
async def test_killed_at_random_moments_the_numbers_are_exact(shop: Shop) -> None:
    rng = random.Random(7)
    events = orders(24_000)
    for part in range(4):
        with shop.worker() as worker, shop.worker() as other:
            await asyncio.gather(worker.ready(), other.ready())
            for step in range(4):
                first = (part * 4 + step) * 1500
                await shop.send(events[first : first + 1500])
                await asyncio.sleep(rng.uniform(0.0, 0.7))  # the moment is the point
            worker.kill()
            await asyncio.sleep(rng.uniform(0.0, 0.7))
            other.kill()
    with shop.worker() as worker:
        await worker.ready()
        await shop.finish()
        await shop.until_right()


@pytest.mark.slow
async def test_workers_join_and_leave(shop: Shop) -> None:
    events = orders(12_000)
    with shop.worker() as first:
        await first.ready()
        await shop.send(events[:3000])
        with shop.worker() as second:
            await shop.send(events[3000:6000])
            await second.ready()
            await shop.send(events[6000:9000])
            for worker in (first, second):
                await shop.until(
                    lambda at=worker: at.get("/metrics")[1].count("streamgauge_consumer_lag_records{") == 2
                )
            code, seconds = await second.end()
            assert (code, seconds < 10) == (0, True)
        await shop.send(events[9000:])
        await shop.finish()
        await shop.until_right()


@pytest.mark.slow
async def test_a_worker_that_wakes_up_after_its_partitions_moved_changes_nothing(shop: Shop) -> None:
    events = orders(12_000)
    with shop.worker() as zombie:
        await zombie.ready()
        await shop.send(events[:4000])
        await shop.until(lambda: shop.seen > 0)
        zombie.process.send_signal(signal.SIGSTOP)
        await shop.send(events[4000:8000])
        with shop.worker() as heir:
            await heir.ready(90)
            zombie.process.send_signal(signal.SIGCONT)
            await shop.send(events[8000:])
            await shop.finish()
            await shop.until_right()


async def test_rule_05_ids_beyond_their_memory_go_to_files(shop: Shop) -> None:
    options = ("--dedupe-memory", "1KiB")
    events = orders(60_000)
    with shop.worker(*options) as worker:
        await worker.ready()
        for first in range(0, 40_000, 2_000):
            seen = shop.seen
            await shop.send(events[first : first + 2_000])
            await shop.until(lambda seen=seen: shop.seen > seen)  # type: ignore[misc]
        await shop.until(lambda: "ids for deduplication take more than --dedupe-memory" in worker.log.read_text())
        worker.kill()
    with shop.worker(*options) as worker:
        await worker.ready()
        await shop.send(events[38_000:40_000], count=False)
        await shop.send(events[40_000:])
        await shop.finish()
        await shop.until_right()


async def test_a_dead_redis_holds_no_values_up(shop: Shop) -> None:
    with shop.worker(redis=f"redis://127.0.0.1:{free_port(0)}") as worker:
        await shop.send(orders(1000))
        await shop.finish()
        await shop.until_right()
        status, reason = worker.get("/readyz")
        assert status == 503
        assert "Redis" in reason
        assert worker.get("/livez")[0] == 200


async def test_a_redis_that_comes_back_empty_has_the_current_values_again_and_the_history(
    shop: Shop, tmp_path: Path
) -> None:
    port = free_port(0)
    url = f"redis://127.0.0.1:{port}/0"
    current, history = (f"kpi:{shop.name}:{{orders}}:{kind}:-" for kind in ("current", "history"))
    with shop.worker(redis=url) as worker:
        with embedded_services(tmp_path / "first", kafka_port=None, redis_port=port) as services:
            assert services.redis == url
            await worker.ready()
            await shop.send(orders(1000))
            await shop.finish()
            await shop.until_right()
        shop.sent.clear()
        await shop.send(orders(1000, first=50_000, start_us=T0 + 40 * MINUTE))  # while nobody is there
        await shop.finish()
        await shop.until_right()
        with embedded_services(tmp_path / "second", kafka_port=None, redis_port=port):
            newest = max((value for (key, _), value in shop.values.items() if key == "orders|-"), key=_age)
            async with Redis.from_url(url, decode_responses=True) as redis, asyncio.timeout(30):
                while await redis.hget(current, "progress") != str(newest["progress"]):
                    await asyncio.sleep(0.1)
                closed = sum(key == "orders|-" and value["state"] != "open" for (key, _), value in shop.values.items())
                while await redis.xlen(history) < closed:
                    await asyncio.sleep(0.1)
            await shop.until(lambda: worker.get("/readyz")[0] == 200)


def _age(value: dict[str, Any]) -> tuple[str, int]:
    return value["window"]["end"], value["progress"]


async def test_too_many_bad_events_end_the_worker_with_one_message(shop: Shop) -> None:
    with shop.worker() as worker:
        await worker.ready()
        await shop.send_raw([(None, b"no json %d" % number) for number in range(20_000)])
        assert await worker.ended() == 1
        last = worker.log.read_text().splitlines()[-1]
        assert "events in a row were refused" in last
        assert "Traceback" not in worker.log.read_text()


async def test_windows_close_by_the_clock_when_nothing_comes_any_more(shop: Shop) -> None:
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(orders(400, start_us=T0 - T0 % MINUTE, span_us=2 * MINUTE))
        await shop.until_right()


async def test_a_newer_catalog_elsewhere_ends_a_worker_at_its_next_assignment(shop: Shop) -> None:
    with shop.worker() as old:
        await old.ready()
        text = shop.catalog.read_text()
        shop.catalog.write_text(text.replace("size: 5m", "size: 10m"))
        with shop.worker() as new:
            assert await old.ended() == 1
            assert "another catalog" in old.log.read_text().splitlines()[-1]
            await new.ready()


async def test_a_worker_with_a_replaced_catalog_is_refused_unless_it_is_to_go_back(shop: Shop) -> None:
    text = shop.catalog.read_text()
    with shop.worker() as first:
        await first.ready()
        assert (await first.end())[0] == 0
    shop.catalog.write_text(text.replace("size: 5m", "size: 10m"))
    with shop.worker() as newest:
        await newest.ready()
        shop.catalog.write_text(text)
        with shop.worker() as stale:
            assert await stale.ended() == 1
            said = stale.log.read_text().splitlines()[-1]
            assert "has been replaced by a newer one" in said
            assert "Traceback" not in stale.log.read_text()
        assert newest.get("/readyz")[0] == 200  # and did not so much as notice
        *_, option, id_ = said.split()
        with shop.worker(option, id_) as back:
            assert await newest.ended() == 1
            await back.ready()
            await shop.send(orders(500))
            await shop.finish()
            await shop.until_right()
            assert (await back.end())[0] == 0


@pytest.mark.parametrize(
    ("missing", "code", "message"),
    [("brokers", 3, "Kafka cannot be reached"), ("topics", 1, "run `streamgauge topics` first")],
)
async def test_what_is_missing_at_the_start_is_one_message(shop: Shop, missing: str, code: int, message: str) -> None:
    if missing == "brokers":
        shop.kafka = f"127.0.0.1:{free_port(0)}"
    else:
        shop.catalog.write_text(shop.catalog.read_text().replace(shop.name, f"{shop.name}x"))
    with shop.worker() as worker:
        assert await worker.ended() == code
        lines = worker.log.read_text().splitlines()
        assert message in lines[-1]
        assert len(lines) == 1


@pytest.mark.parametrize(
    ("topic", "refilled", "message"),
    [
        ("{}-blocks-orders-changelog", False, "the state behind it is gone"),
        ("{}-windows-changelog", False, "the state behind it is gone"),
        ("{}.partials", False, "was deleted and made again"),
        ("{}.orders", False, "was deleted and made again"),
        ("{}.orders", True, "was deleted and made again"),
    ],
)
async def test_rule_04_topics_that_do_not_fit_the_state_end_the_worker(
    shop: Shop, topic: str, refilled: bool, message: str
) -> None:
    """``refilled``: with as many events as before and more, so that the offsets tell nothing."""
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(orders(500))
        await shop.until(lambda: shop.seen > 0)
        assert (await worker.end())[0] == 0
    await delete_topic(shop.kafka, topic.format(shop.name))
    await shop.make_topics()
    if refilled:
        await shop.send(orders(1000))
    with shop.worker() as worker:
        assert await worker.ended() == 1
        assert message in worker.log.read_text().splitlines()[-1]
        assert "Traceback" not in worker.log.read_text()


async def test_a_topic_that_is_made_again_under_a_worker_ends_it(shop: Shop) -> None:
    """Rule 4, while it runs."""
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(orders(500))
        await shop.until(lambda: shop.seen > 0)
        await delete_topic(shop.kafka, f"{shop.name}.orders")
        await shop.make_topics()
        assert await worker.ended() == 1
        assert "was deleted and made again" in worker.log.read_text().splitlines()[-1]
        assert "Traceback" not in worker.log.read_text()


async def test_events_deleted_before_they_were_read_make_values_incomplete(shop: Shop) -> None:
    """Rule 4."""
    events = orders(3000)
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(events[:1000])
        await shop.until(lambda: shop.seen > 0)
        assert (await worker.end())[0] == 0
    await shop.send(events[1000:2000])
    admin = AIOKafkaAdminClient(bootstrap_servers=shop.kafka)
    await admin.start()
    tps = [TopicPartition(f"{shop.name}.orders", number) for number in range(shop.partitions)]
    await admin.delete_records({tp: RecordsToDelete(before_offset=-1) for tp in tps})
    await admin.close()
    with shop.worker() as worker:
        await worker.ready()
        await shop.send(events[2000:])
        await shop.until(lambda: any(value["reason"] == "incomplete_history" for value in shop.values.values()))
        assert "were deleted before they were read" in worker.log.read_text()
