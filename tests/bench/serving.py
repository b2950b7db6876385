"""What `streamgauge serve` takes: current values of a KPI with a thousand series, and a thousand open streams.

Requests are sent at their times whether earlier ones were answered or not, and each is measured from its time, so that
waiting counts. All the while values change, as a worker's flushes change them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from engine.plan import plan_catalog
from engine.values import KpiFacts
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from streamgauge.catalog_files import read_catalog
from streamgauge.services import free_port
from tests.bench.contenders import streamgauge
from tests.bench.processes import Group
from tests.sinks.values import row, rows

CATALOG = Path(__file__).parent.parent / "sinks" / "board" / "catalog.yaml"
KPI = "sales"
SERIES = 1_000
REQUESTS_PER_SECOND = 100
STREAMS = 1_000
CHANGED = 20  # series, in each flush, while streams are open
FLUSH_SECONDS = 0.5
_WARM_SECONDS = 2.0
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answering:
    """Seconds from a request's time to the end of its answer; bytes of an answer."""

    p50: float
    p99: float
    highest: float
    beside_p99: float  # of /livez, asked at the same times: what the machine takes at least
    answers: int
    body: int
    cpu_share: float
    memory: int


@dataclass(frozen=True)
class Streaming:
    """Resident bytes of the process, and its share of a core, with so many streams that all read."""

    streams: int
    memory_before: int
    memory: int
    cpu_share: float
    values: int  # received by all streams together


class Server:
    """A `streamgauge serve` process over a Redis that holds the KPI's values."""

    def __init__(self, redis: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.redis = redis
        self.port = free_port(0)
        command = [*streamgauge(), "serve", str(CATALOG), "--brokers", f"{_HOST}:1", "--redis", redis]
        command += ["--port", str(self.port), "--rate-limit", "100000/second"]
        self.group = Group(command, {}, folder / "serve.log")

    async def until_ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                if (ended := self.group.ended()) is not None:
                    raise RuntimeError(f"serve ended with {ended}")
                with contextlib.suppress(OSError):
                    connection = await Connection.to(self.port)
                    status, _ = await connection.get("/readyz")
                    connection.close()
                    if status == 200:
                        return
                await asyncio.sleep(0.1)


class Connection:
    """One connection that is kept, reading as cheaply as it can."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection(_HOST, port))

    async def head(self, path: str) -> tuple[int, dict[bytes, bytes]]:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(b": ") for line in lines[1:])}
        return int(lines[0].split()[1]), headers

    async def get(self, path: str) -> tuple[int, bytes]:
        status, headers = await self.head(path)
        return status, await self.reader.readexactly(int(headers[b"content-length"]))

    def close(self) -> None:
        self.writer.close()


def measure_serving(redis: str, folder: Path, seconds: float) -> tuple[Answering, Streaming]:
    """One server, asked for values for so many seconds, and then followed by streams for as long."""
    server = Server(redis, folder)
    try:
        return asyncio.run(_measure(server, seconds))
    finally:
        server.group.stop()


async def _measure(server: Server, seconds: float) -> tuple[Answering, Streaming]:
    async with RedisSink("shop", RedisAddress(server.redis)) as sink:
        sink.offer(rows(*(row(f"r{number:04d}") for number in range(SERIES)), kpi=_facts()))
        if not await sink.drained(30):
            raise RuntimeError("the values were not written")
    await server.until_ready()
    with _changing(server.redis, SERIES):
        answering = await _ask(server, seconds)
    with _changing(server.redis, CHANGED):
        return answering, await _follow(server, seconds)


def _facts() -> KpiFacts:
    catalog = read_catalog(CATALOG).catalog
    assert catalog is not None
    (found,) = (plan.facts for plan in plan_catalog(catalog).kpis if plan.facts.name == KPI)
    return replace(found, definition_sequence=1)


@contextmanager
def _changing(redis: str, series: int) -> Iterator[None]:
    """So many series change with each flush, from a process of its own, since rendering them takes a while."""
    changing = get_context("spawn").Process(target=_change, args=(redis, series), daemon=True)
    changing.start()
    try:
        yield
    finally:
        changing.kill()
        changing.join()


def _change(redis: str, series: int) -> None:
    asyncio.run(_flushes(redis, series))


async def _flushes(redis: str, series: int) -> None:
    facts = _facts()
    async with RedisSink("shop", RedisAddress(redis)) as sink:
        while True:
            progress = time.time_ns() // 1_000_000
            changed = (row(f"r{at:04d}", progress=progress, value=f"{progress}.25") for at in range(series))
            sink.offer(rows(*changed, kpi=facts))
            await asyncio.sleep(FLUSH_SECONDS)


async def _ask(server: Server, seconds: float) -> Answering:
    idle: list[Connection] = []
    waits: dict[str, list[float]] = {path: [] for path in ("/livez", f"/api/v1/kpis/{KPI}/values?limit={SERIES}")}
    largest = 0

    async def ask(path: str, due: float) -> None:
        nonlocal largest
        connection = idle.pop() if idle else await Connection.to(server.port)
        status, body = await connection.get(path)
        waits[path].append(time.perf_counter() - due)
        if status != 200:
            raise RuntimeError(f"status {status}: {body[:200]!r}")
        largest = max(largest, len(body))
        idle.append(connection)

    cpu = server.group.cpu_seconds()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round((seconds + _WARM_SECONDS) * REQUESTS_PER_SECOND)):
            due = began + number / REQUESTS_PER_SECOND
            await asyncio.sleep(due - time.perf_counter())
            for path in waits:
                group.create_task(ask(path, due))
    used = (server.group.cpu_seconds() - cpu) / (time.perf_counter() - began)
    memory = server.group.resident_bytes()
    for connection in idle:
        connection.close()
    beside, measured = (found[round(_WARM_SECONDS * REQUESTS_PER_SECOND) :] for found in waits.values())
    p50, p99 = np.percentile(measured, [50, 99])
    beside_p99 = float(np.percentile(beside, 99))
    return Answering(float(p50), float(p99), max(measured), beside_p99, len(measured), largest, used, memory)


async def _follow(server: Server, seconds: float) -> Streaming:
    before = server.group.resident_bytes()
    received = 0
    opened = asyncio.Semaphore(0)

    async def follow() -> None:
        nonlocal received
        connection = await Connection.to(server.port)
        status, _ = await connection.head(f"/api/v1/stream?kpi={KPI}")
        if status != 200:
            raise RuntimeError(f"status {status}")
        opened.release()
        try:
            while part := await connection.reader.read(65_536):
                received += part.count(b"event: value")
        finally:
            connection.close()
        raise RuntimeError("a stream ended")

    memory = 0
    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(STREAMS)]
        for _ in followers:
            await opened.acquire()
        cpu, began = server.group.cpu_seconds(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            memory = max(memory, server.group.resident_bytes())
            await asyncio.sleep(0.2)
        used = (server.group.cpu_seconds() - cpu) / (time.perf_counter() - began)
        for follower in followers:
            follower.cancel()
    return Streaming(STREAMS, before, memory, used, received)
