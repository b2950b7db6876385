"""From events to people and back: breach, firing, recovery, resolved, at a real Alertmanager and a real webhook."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from sinks.alerting.notices import Notice, notice
from tests.system.processes import Process
from tests.system.receiving import Alertmanager, Hook, alertmanagers
from tests.system.workers import MINUTE, Shop, open_shop

pytestmark = pytest.mark.system

CATALOG = """\
version: 1
name: {name}
sources:
  orders:
    topic: {name}.orders
    format: json
    event_time: at
    fields:
      at: {{type: timestamp, unit: us}}
      region: string
      amount: decimal(12,2)
metrics:
  revenue: {{source: orders, agg: sum, expr: amount, unit: EUR}}
kpis:
  revenue:
    metric: revenue
    group_by: [region]
    window: {{type: tumble, size: 1m}}
    alerts:
      - {{alert: RevenueLow, severity: critical, when: {{below: 1000, recover: 1050}}}}
"""
GOOD, BAD = 2000, 10


class Sales:
    """One event a minute of a single region; each closes the minute before it."""

    def __init__(self, shop: Shop, first_us: int) -> None:
        self._shop = shop
        self._next_us = first_us // MINUTE * MINUTE
        self._number = 0

    async def send(self, *amounts: int) -> None:
        events = []
        for amount in amounts:
            events.append({"id": str(self._number), "at": self._next_us, "region": "EU", "amount": amount})
            self._next_us += MINUTE
            self._number += 1
        await self._shop.send(events)


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Alertmanager]:
    with alertmanagers(tmp_path) as made:
        yield made[0]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    found = Hook()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def shop(kafka: str, valkey: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(kafka, valkey, tmp_path, partitions=1, catalog=CATALOG) as made:
        yield made


def worker(shop: Shop, manager: Alertmanager, hook: Hook) -> AbstractContextManager[Process]:
    file = shop.folder / "receivers.yaml"
    file.write_text(
        f"""\
version: 1
receivers:
  pager: {{type: alertmanager, urls: ["{manager.url}"], resend: 1s}}
  hook: {{type: webhook, url: "{hook.url}"}}
"""
    )
    return shop.worker("--receivers", str(file), "--alert-group-wait", "1s")


async def alerts_until(shop: Shop, state: str, seconds: float = 60) -> list[Notice]:
    """What `NAME.alerts` holds, up to the first alert of this state."""
    topic, found = TopicPartition(f"{shop.name}.alerts", 0), []
    consumer = AIOKafkaConsumer(bootstrap_servers=shop.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([topic])
        async with asyncio.timeout(seconds):
            async for record in consumer:
                if record.value is not None:
                    found.append(notice(record.key.decode(), record.value))
                    if found[-1].state == state:
                        break
    finally:
        await consumer.stop()
    return found


async def test_breach_firing_recovery_resolved_with_a_worker_killed_while_it_fires(
    shop: Shop, manager: Alertmanager, hook: Hook
) -> None:
    sales = Sales(shop, now_us() - 9 * MINUTE)
    with worker(shop, manager, hook) as first:
        await sales.send(GOOD, GOOD, BAD, BAD)
        (found,) = await manager.until(True, "RevenueLow", region="EU")
        assert "below 1000" in found["annotations"]["reason"]
        await hook.until(1)
        first.kill()
    with worker(shop, manager, hook):
        async with asyncio.timeout(60):
            while (again := await asyncio.to_thread(manager.active, "RevenueLow")) and (
                again[0]["updatedAt"] <= found["updatedAt"]
            ):
                await asyncio.sleep(0.1)
        assert [one["startsAt"] for one in again] == [found["startsAt"]]  # told again, without a gap
        await sales.send(GOOD, GOOD)
        await manager.until(False, "RevenueLow")
        await hook.until(2)
        firing, resolved = hook.objects
        assert (firing["state"], resolved["state"], firing["id"]) == ("firing", "resolved", resolved["id"])
        assert (firing["value"], firing["window_state"], firing["samples"]) == (BAD, "closed", 1)


async def test_a_replay_of_an_old_topic_pages_nobody(shop: Shop, manager: Alertmanager, hook: Hook) -> None:
    old = Sales(shop, now_us() - 365 * 24 * 60 * MINUTE)
    await old.send(GOOD, GOOD, BAD, BAD, GOOD, GOOD, BAD, BAD)
    with worker(shop, manager, hook):
        assert (await alerts_until(shop, "firing"))[-1].value == BAD
        assert (await alerts_until(shop, "resolved"))[-1].state == "resolved"
        began_us = now_us() - 9 * MINUTE
        await Sales(shop, began_us).send(GOOD, GOOD, BAD, BAD)
        await hook.until(1)
        await manager.until(True, "RevenueLow")
        assert [told["state"] for told in hook.objects] == ["firing"]
        (told,) = hook.objects
        assert notice("k|k|-", hook.taken[0][1]).fired_us == (began_us // MINUTE + 3) * MINUTE, told
