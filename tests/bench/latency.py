"""The time from an event's sending to a value in Redis that holds it, at a steady pace.

Orders come keyed by region, so those of a region are counted in the order of their sending: once the count of a
minute's window is k, the minute's first k events of the region are in it. The time of a value is the one that the
Redis server gave to its entry in the updates stream.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from redis.asyncio import Redis

from sinks.names import redis_key
from streams.producing import BulkWriter
from tests.bench.loading import make_topics
from tests.bench.orders import MINUTE_MS, REGIONS
from tests.bench.workers import catalog_of

PACE = 20_000
_TICK = 0.01
_WARM_SECONDS = 5.0
_GATHER_SECONDS = 3.0

Window = tuple[str, int]  # region, start in epoch ms


@dataclass(frozen=True)
class Latency:
    """Seconds; `measured` events of those sent after the first seconds, all of which were seen in time."""

    p50: float
    p99: float
    highest: float
    measured: int
    cpu_share: float
    memory: int


def measure_latency(brokers: str, redis: str, name: str, folder: Path, seconds: float) -> Latency:
    """One worker, `PACE` events a second for `seconds`."""
    topic = f"{name}.orders"
    asyncio.run(_make(brokers, topic))
    catalog = catalog_of("few", name, topic, folder, brokers, redis)
    with catalog.worker(folder / "worker") as worker:
        worker.until_ready()
        cpu = worker.group.cpu_seconds()
        sent, seen = asyncio.run(_send_and_see(brokers, redis, name, topic, seconds))
        used = (worker.group.cpu_seconds() - cpu) / (seconds + _GATHER_SECONDS)
        memory = worker.group.resident_bytes()
    waits = [_waits(moments, seen[window]) for window, moments in sent.items()]
    all_waits = np.concatenate(waits)
    if np.isnan(all_waits).any():
        raise RuntimeError(f"{int(np.isnan(all_waits).sum())} events were not in any value {_GATHER_SECONDS:g} s later")
    p50, p99 = np.percentile(all_waits, [50, 99])
    return Latency(float(p50), float(p99), float(all_waits.max()), len(all_waits), used, memory)


async def _make(brokers: str, topic: str) -> None:
    await asyncio.to_thread(make_topics, brokers, {topic: 2})


def _waits(moments: list[float], seen: list[tuple[int, float]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Per event of a window the seconds until a value that holds it; nan where there is none. Those of the first
    seconds are marked by a negative moment, and left out."""
    counts = np.maximum.accumulate(np.array([count for count, _ in seen] or [0]))
    at = np.array([moment for _, moment in seen] or [0.0])
    begun = np.array(moments)
    place = np.searchsorted(counts, np.arange(1, len(begun) + 1), side="left")
    waits = np.where(place < len(at), at[np.minimum(place, len(at) - 1)] - begun, np.nan)
    return waits[begun > 0]


async def _send_and_see(
    brokers: str, redis: str, name: str, topic: str, seconds: float
) -> tuple[dict[Window, list[float]], dict[Window, list[tuple[int, float]]]]:
    seen: dict[Window, list[tuple[int, float]]] = defaultdict(list)
    watching = asyncio.create_task(_watch(redis, redis_key(name, "count", "updates"), seen))
    sent = await _send(brokers, topic, seconds)
    await asyncio.sleep(_GATHER_SECONDS)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return sent, seen


async def _send(brokers: str, topic: str, seconds: float) -> dict[Window, list[float]]:
    """Sends, and returns when each event of each window was sent; negative within the first seconds."""
    sent: dict[Window, list[float]] = defaultdict(list)
    async with BulkWriter(brokers, timeout=30, client_id="bench") as writer:
        began, number = time.time(), 0
        while (now := time.time()) - began < seconds:
            due = int((now - began) * PACE)
            parts: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = {(topic, 0): [], (topic, 1): []}
            stamp = int(now * 1000)
            begun = now if now - began > _WARM_SECONDS else -1.0
            for _ in range(number, due):
                place = number % len(REGIONS)
                region = REGIONS[place]
                value = (
                    b'{"event_id":"00000000-0000-0000-0000-%012d","ts":%d,"type":"order","region":"%s","customer_id":%d,'
                    b'"amount":%d.%02d,"cost":12.50,"channel":"web"}'
                    % (number, stamp, region.encode(), number % 100_000, number % 300, number % 100)
                )
                parts[topic, place % 2].append((region.encode(), value))
                sent[region, stamp // MINUTE_MS * MINUTE_MS].append(begun)
                number += 1
            await writer.write(parts)
            await asyncio.sleep(max(0.0, now + _TICK - time.time()))
    return sent


async def _watch(redis: str, key: str, seen: dict[Window, list[tuple[int, float]]]) -> None:
    """Takes in every count that appears, with the server's time of it, until cancelled."""
    last = "0"
    async with Redis.from_url(redis, decode_responses=True) as client:
        while True:
            answer: Any = await client.xread({key: last}, count=2000)
            for _, entries in answer or ():
                for last, fields in entries:
                    value = json.loads(fields["json"])
                    start = round(datetime.fromisoformat(value["window"]["start"]).timestamp() * 1000)
                    if value["value"] is not None:
                        seen[value["dims"]["region"], start].append((value["value"], int(last.split("-")[0]) / 1000))
            await asyncio.sleep(0.05)
