"""A real server on this machine, over a real Valkey, with values that the project's own sink wrote."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.plan import plan_catalog
from engine.values import KpiFacts, ValueRows
from sinks.board.access import Access
from sinks.board.facts import Told
from sinks.board.tokens import make_token
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import Limits as SinkLimits
from sinks.redis.sink import RedisSink
from streamgauge.catalog_files import catalog_texts, read_catalog
from streamgauge.serving import ServeSettings, listening, serve

CATALOG = Path(__file__).parent / "catalog.yaml"
NAME = "shop"


def told(path: Path = CATALOG) -> Told:
    return Told(read_catalog(path), tuple(catalog_texts(path)), "0123456789ab")


def facts(kpi: str, sequence: int = 3) -> KpiFacts:
    """What values of a KPI of the tests' catalog share, as a worker has it."""
    catalog = read_catalog(CATALOG).catalog
    assert catalog is not None
    found = {plan.facts.name: plan.facts for plan in plan_catalog(catalog).kpis}
    return replace(found[kpi], definition_sequence=sequence)


@dataclass
class Served:
    """A server, and a client of it."""

    client: httpx.AsyncClient
    ending: asyncio.Event
    task: asyncio.Task[None]

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    async def get(self, path: str, **given: Any) -> httpx.Response:
        return await self.client.get(path, **given)

    async def json(self, path: str) -> Any:
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def until(self, path: str, seen: Callable[[Any], bool]) -> Any:
        """The answer of the path, once it is as wanted."""
        async with asyncio.timeout(20):
            while not seen(found := await self.json(path)):
                await asyncio.sleep(0.01)
        return found


@dataclass(frozen=True)
class Sent:
    """One server-sent event. ``data`` is its text; ``id`` the last id up to it."""

    event: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Stream:
    """An open event stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.last_id = ""

    async def next(self, *kinds: str) -> Sent:
        """The next event of these kinds (of any where there are none); those between are passed over."""
        event, data = "", []
        async with asyncio.timeout(20):
            async for line in self._lines:
                name, _, text = line.partition(": ")
                if name == "event":
                    event = text
                elif name == "data":
                    data.append(text)
                elif name == "id":
                    self.last_id = text
                elif not line and event:
                    sent = Sent(event, "\n".join(data), self.last_id)
                    if not kinds or event in kinds:
                        return sent
                    event, data = "", []
        raise EOFError("the stream has ended")

    async def until_ended(self) -> None:
        async with asyncio.timeout(20):
            async for _ in self._lines:
                pass


@contextlib.asynccontextmanager
async def streaming(served: Served, path: str = "/api/v1/stream", **headers: str) -> AsyncIterator[Stream]:
    async with served.client.stream(
        "GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()}
    ) as response:
        assert response.status_code == 200, await response.aread()
        yield Stream(response)


@dataclass
class Tokens:
    """A tokens file, and the tokens that are in it, by name."""

    path: Path
    made: dict[str, str]

    def make(self, name: str, *rights: str) -> str:
        self.made[name] = make_token(self.path, name, rights, date(2026, 11, 25))
        return self.made[name]

    def bearer(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.made[name]}"}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """wall may read, shop may send orders."""
    found = Tokens(tmp_path / "tokens.json", {})
    found.make("wall", "read")
    found.make("shop", "send:orders")
    return found


@contextlib.asynccontextmanager
async def server(address: RedisAddress, **changed: Any) -> AsyncIterator[Served]:
    ending = asyncio.Event()
    given: dict[str, Any] = {"told": told(), "redis": address, "access": Access(None), **changed}
    with listening("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        task = asyncio.create_task(serve(ServeSettings(**given), listener, ending))
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            try:
                async with asyncio.timeout(20):
                    while not task.done() and (await client.get("/readyz")).status_code != 200:
                        await asyncio.sleep(0.01)
                yield Served(client, ending, task)
            finally:
                ending.set()
                await task


@pytest.fixture
def address(valkey: str) -> RedisAddress:
    """A database of the shared Valkey that only these tests use."""
    return RedisAddress(f"{valkey.rpartition('/')[0]}/8")


@pytest.fixture
async def sink(address: RedisAddress, redis: object) -> AsyncIterator[RedisSink]:
    async with RedisSink(NAME, address, SinkLimits()) as writing:
        yield writing


async def write(sink: RedisSink, *offers: ValueRows) -> None:
    for offer in offers:
        sink.offer(offer)
    assert await sink.drained(10)


@pytest.fixture
async def served(address: RedisAddress, redis: object) -> AsyncIterator[Served]:
    """A server without tokens, over an empty Redis."""
    async with server(address) as found:
        yield found
