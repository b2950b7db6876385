"""A simulated business through real Kafka and a worker: every closed window of its KPIs equals what DuckDB says.

`streamgauge simulate` sends the events; the oracle reads those that it writes to files.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from sinks.names import dead_letter_topic
from streams.producing import BulkWriter
from tests.oracle.business import UNTIL, Simulated, business_text, simulated
from tests.streamgauge.conftest import Run
from tests.system.published import ends, reading, until_published
from tests.system.workers import Shop

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAYS, ORDERS = 34, 40  # over a change of the month, and of the 30 days of most windows


async def test_the_kpis_everybody_asks_for(kafka: str, valkey: str, tmp_path: Path, command: Run) -> None:
    name = f"b{uuid.uuid4().hex[:10]}"
    business = simulated(tmp_path, days=DAYS, orders_a_day=ORDERS, name=name)
    (tmp_path / "catalog.yaml").write_text(business_text(name))
    async with BulkWriter(kafka, timeout=60) as writer:
        shop = Shop(name, kafka, valkey, tmp_path, business.partitions, writer)
        await shop.make_topics()
        with shop.worker() as worker:
            async with reading(kafka, business.catalog, business.partitions) as published:
                sent, answers, _ = await asyncio.gather(
                    asyncio.to_thread(send, command, shop), asyncio.to_thread(business.answers), worker.ready()
                )
                expected = [answer for of_kpi in answers.values() for answer in of_kpi]
                assert {answer.kpi for answer in expected} == set(business.catalog.kpis)
                await until_published(published, expected, lambda found: business.differences(answers, found))
            assert sent == events_of(business)
            for source in business.sources.values():
                assert sum(await ends(kafka, dead_letter_topic(source.topic), business.partitions)) == 0
            code, _ = await worker.end()
            assert code == 0 and "Traceback" not in worker.log.read_text()


def send(command: Run, shop: Shop) -> str:
    """What the command says it sent."""
    options = ["--days", DAYS, "--orders", ORDERS, "--until", UNTIL.isoformat(), "--brokers", shop.kafka]
    ended = command("simulate", "business", "--catalog", shop.catalog, *options)
    assert ended.code == 0, ended.err
    return ended.err.partition(" in ")[0]


def events_of(business: Simulated) -> str:
    events = sum(len(lines) for partitions in business.sent.values() for lines in partitions)
    return f"sent {events:,} events"
