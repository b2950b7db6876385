"""A retail year through real Kafka and two workers: every closed window of every KPI equals what DuckDB says.

Each series lives on all three partitions of its source. The second retail run has the same lines, shuffled within the
allowed lateness and every tenth sent twice; the covering catalog is run so on fewer lines, in `tests/oracle`.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from sinks.names import dead_letter_topic
from streams.producing import BulkWriter
from tests.oracle.answers import Answer
from tests.oracle.comparing import compare
from tests.oracle.deliveries import HOUR_US, Deliveries
from tests.oracle.retail_year import Year, covering_year, demo_year
from tests.system.published import ends, reading, until_published
from tests.system.workers import Shop

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS = 3
CHUNK = 30_000
Answers = Future[list[Answer]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Year:
    return demo_year(tmp_path_factory.mktemp("till-lines"))


@pytest.fixture(scope="module")
def demo_answers(demo: Year) -> Iterator[Answers]:
    """Worked out while the workers run, once for both runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(answers, demo, demo.delivered(PARTITIONS))


def answers(year: Year, given: Deliveries) -> list[Answer]:
    return list(year.oracle(given).answers(closed_upto_us=given.closed_upto_us()))


async def test_the_retail_year(kafka: str, valkey: str, tmp_path: Path, demo: Year, demo_answers: Answers) -> None:
    await prove(kafka, valkey, tmp_path, demo, demo.delivered(PARTITIONS), demo_answers)


async def test_the_retail_year_out_of_order_and_with_duplicates(
    kafka: str, valkey: str, tmp_path: Path, demo: Year, demo_answers: Answers
) -> None:
    given = demo.delivered(PARTITIONS, disorder_us=20 * HOUR_US, twice=True)
    assert len(given) == demo.events.height + -(-demo.events.height // 10)
    await prove(kafka, valkey, tmp_path, demo, given, demo_answers)


async def test_every_aggregation_over_every_window_and_type(kafka: str, valkey: str, tmp_path: Path) -> None:
    """Every third line of the year: the windows are as many, and the suite stays within its time."""
    year = covering_year().thinned(3)
    given = year.delivered(PARTITIONS)
    with ThreadPoolExecutor(1) as pool:
        await prove(kafka, valkey, tmp_path, year, given, pool.submit(answers, year, given))


async def prove(kafka: str, redis: str, folder: Path, year: Year, given: Deliveries, expected: Answers) -> None:
    """Sends ``given`` to two workers and compares what they publish with ``expected``, to the last window."""
    name = f"o{uuid.uuid4().hex[:10]}"
    text = re.sub(r"(?m)^name: .*$", f"name: {name}", re.sub(r"\btopic: \S+", f"topic: {name}.lines", year.text))
    (folder / "catalog.yaml").write_text(text)
    catalog = Year(text, year.events, year.times_us).catalog
    async with BulkWriter(kafka, timeout=60) as writer:
        shop = Shop(name, kafka, redis, folder, PARTITIONS, writer)
        await shop.make_topics()
        with shop.worker() as first, shop.worker() as second:
            async with reading(kafka, catalog, PARTITIONS) as published:
                await asyncio.gather(send(writer, f"{name}.lines", given), first.ready(), second.ready())
                wanted = await asyncio.wrap_future(expected)
                closed_upto_us = given.closed_upto_us()
                await until_published(
                    published, wanted, lambda found: compare(wanted, found, closed_upto_us=closed_upto_us)
                )
            refused = await ends(kafka, dead_letter_topic(f"{name}.lines"), PARTITIONS)
            assert refused == [0] * PARTITIONS
            for worker in (first, second):
                code, _ = await worker.end()
                assert code == 0, worker.log.read_text()
                assert "Traceback" not in worker.log.read_text()


async def send(writer: BulkWriter, topic: str, given: Deliveries) -> None:
    for values in given.chunks(CHUNK):
        await writer.write({(topic, number): [(None, value) for value in part] for number, part in enumerate(values)})
