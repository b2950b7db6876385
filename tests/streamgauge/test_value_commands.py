"""values and watch against a real Valkey that holds what the sink writes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from engine.values import KpiFacts, ValueRows, columns
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from streamgauge.services import embedded_services
from tests.streamgauge.completing import completed
from tests.streamgauge.conftest import Run

HOUR = 3_600_000_000
END = 1_795_500_000_000_000 // HOUR * HOUR
FACTS = KpiFacts(
    "revenue", (("region", "string"),), "EUR", "UTC", "0123456789ab", 1, "up", "Revenue", "cro", None, None, None, HOUR
)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey of its own, since `values` without a name looks at everything in it."""
    with embedded_services(tmp_path_factory.mktemp("valkey"), kafka_port=None, redis_port=0) as services:
        assert services.redis is not None
        yield services.redis


def rows(values: dict[str, str], *, progress: int = 1) -> ValueRows:
    kinds = columns(("region",))
    made = [
        {
            "h": number,
            "dims": f"region={region}",
            "dim.region": region,
            "window_start": END - HOUR,
            "window_end": END,
            "state": "open",
            "revision": 0,
            "progress": progress,
            "value": value,
            "samples": 3,
            "watermark": END - 60_000_000,
            "target": "1000",
            "status": "ok",
            "status_reason": "above target",
            "compare_value": "10.0",
            "compare_change": 0.055,
            "final_after": END + HOUR,
        }
        for number, (region, value) in enumerate(values.items(), start=1)
    ]
    return ValueRows(FACTS, pl.DataFrame(made, schema=kinds))


def offer(url: str, name: str, given: ValueRows) -> None:
    async def write() -> None:
        async with RedisSink(name, RedisAddress(url)) as sink:
            sink.offer(given)
            assert await sink.drained(20)

    asyncio.run(write())


def test_values_are_printed_chosen_and_ranked(streamgauge: Run, valkey: str) -> None:
    offer(valkey, "shop", rows({"EU": "1213440.55", "US": "20.1", "UK": "3", "JP": "4", "DE": "5"}))
    everything = streamgauge("values", "--redis", valkey)
    assert everything.code == 0, everything.err
    assert "streamgauge values revenue" in everything.err  # there are more series than it shows
    one = streamgauge("values", "revenue", "--where", "region=EU", "--redis", valkey)
    assert "1,213,440.55" in one.out and "ok" in one.out and "5.5 %" in one.out and "US" not in one.out
    best = json.loads(streamgauge("values", "revenue", "--top", 2, "--redis", valkey, "--format", "json").out)
    assert [value["dims"]["region"] for value in best] == ["EU", "US"]
    assert best[0]["value"] == 1213440.55 and best[0]["target"] == 1000
    exact = streamgauge("values", "revenue", "--where", "region=US", "--redis", valkey, "--format", "json").out
    assert '"value":20.1,' in exact


def test_no_value_is_a_no(streamgauge: Run, valkey: str) -> None:
    offer(valkey, "shop", rows({"EU": "1"}))
    ended = streamgauge("values", "nothing", "--redis", valkey)
    assert ended.code == 1 and "streamgauge values" in ended.err
    assert streamgauge("values", "revenue", "--where", "region", "--redis", valkey).code == 2
    assert streamgauge("values", "--where", "region=EU", "--redis", valkey).code == 2
    assert streamgauge("watch", "nothing", "--redis", valkey).code == 1


def test_two_catalogs_are_told_apart_by_name(streamgauge: Run, valkey: str) -> None:
    offer(valkey, "shop", rows({"EU": "1"}))
    offer(valkey, "other", rows({"EU": "2"}))
    unsure = streamgauge("values", "--redis", valkey)
    assert unsure.code == 2 and "other, shop" in unsure.err
    assert streamgauge("values", "--name", "other", "--redis", valkey).code == 0
    assert streamgauge("values", "--name", "neither", "--redis", valkey).code == 1


def test_watch_prints_a_line_per_change_in_a_pipe(valkey: str, tmp_path: Path) -> None:
    offer(valkey, "watched", rows({"EU": "1.5"}))
    process = subprocess.Popen(
        [sys.executable, "-m", "streamgauge", "watch", "revenue", "--name", "watched", "--redis", valkey],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert "region=EU" in first and "1.50" in first and "\x1b" not in first
        offer(valkey, "watched", rows({"EU": "7.25"}, progress=2))
        assert "7.25" in process.stdout.readline()
    finally:
        process.send_signal(2)
        assert process.wait(20) == 0
        process.stdout.close()


def test_tab_completes_kpis_that_redis_holds(command: Run, valkey: str) -> None:
    offer(valkey, "completed", rows({"EU": "1"}))
    for words in (
        f"streamgauge watch --name completed --redis {valkey} re",
        f"streamgauge values --name completed --redis {valkey} re",
    ):
        assert completed(command, words) == ["revenue"]
    assert completed(command, "streamgauge values --name completed re", STREAMGAUGE_REDIS=valkey) == ["revenue"]
