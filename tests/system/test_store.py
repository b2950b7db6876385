"""A worker with local copies of its changelogs: it restarts with less reading, and is as exact as without."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.processes import Process
from tests.system.workers import Shop, open_shop, orders

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
async def shop(kafka: str, valkey: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(kafka, valkey, tmp_path, partitions=2) as opened:
        yield opened


def recovered(worker: Process) -> dict[str, tuple[int, int]]:
    """By the end of the topic's name: (records of local copies, records read)."""
    found = re.findall(r"(\S+): (\d+) records of local copies, (\d+) read", worker.log.read_text())
    return {topic.rpartition(".")[2]: (int(copied), int(read)) for topic, copied, read in found}


async def test_killed_and_started_again_on_the_same_directory(shop: Shop) -> None:
    mine = ("--store", "rocksdb", "--data-dir", str(shop.folder / "mine"))
    events = orders(9000)
    with shop.worker(*mine) as worker:
        await worker.ready()
        for first in range(0, 3000, 500):
            seen = shop.seen
            await shop.send(events[first : first + 500])
            await shop.until(lambda seen=seen: shop.seen > seen)  # type: ignore[misc]
        worker.kill()
    with shop.worker(*mine) as worker:
        await worker.ready()
        told = recovered(worker)
        assert len(told) == 3, told
        for topic, (copied, read) in told.items():
            assert copied > 0, (topic, told)
            assert read < 40, (topic, told)  # what was acknowledged in the last moment, and the assignments
        await shop.send(events[3000:4500])
        assert (await worker.end())[0] == 0
        assert "local copy" not in worker.log.read_text()
    with shop.worker("--store", "rocksdb") as another:  # which has a directory of its own
        await another.ready()
        await shop.send(events[4500:6000])
        assert (await another.end())[0] == 0
    with shop.worker(*mine) as worker:
        await worker.ready()
        assert all(copied > 0 for copied, _ in recovered(worker).values())
        await shop.send(events[6000:])
        await shop.finish()
        await shop.until_right()
        assert "local copy" not in worker.log.read_text()


async def test_a_directory_in_use_is_refused(shop: Shop) -> None:
    mine = ("--store", "rocksdb", "--data-dir", str(shop.folder / "mine"))
    with shop.worker(*mine) as worker:
        await worker.ready()
        with shop.worker(*mine) as another:
            assert await another.ended() == 1
            assert "is in use by another worker" in another.log.read_text()
