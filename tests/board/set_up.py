"""What the page is tested against: a worker and `streamgauge serve` as processes, and events that keep arriving."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from tests.system.processes import Process, serving
from tests.system.workers import MINUTE, REGIONS, Shop, open_shop

CATALOG = Path(__file__).parent / "catalog.yaml"
PRODUCTS = 1_000
HISTORY_MINUTES = 15
HISTORY = 2 * PRODUCTS
EACH, EVERY_S = 20, 0.2  # of the live events
LATE_AMOUNT = Decimal("1000.01")


@dataclass
class Live:
    """``minutes``: what was ordered by region and minute, of the minutes that nothing comes to any more."""

    shop: Shop
    served: Process
    minutes: dict[tuple[str, int], Decimal]
    _stack: contextlib.ExitStack = field(repr=False)

    @property
    def url(self) -> str:
        return self.served.url

    async def serve(self, *options: object, port: int | None = None) -> Process:
        """Another `streamgauge serve` of the same values, ready."""
        served = self._stack.enter_context(serve(self.shop, *options, port=port))
        await served.ready()
        return served


def serve(shop: Shop, *options: object, port: int | None = None) -> AbstractContextManager[Process]:
    return serving(shop.folder, shop.catalog, shop.kafka, shop.redis, *options, port=port)


@asynccontextmanager
async def live_shop(kafka: str, valkey: str, folder: Path) -> AsyncIterator[Live]:
    """When it yields, history is counted and one minute of it revised; events of now arrive several times a second."""
    async with open_shop(kafka, valkey, folder, catalog=CATALOG.read_text()) as shop:
        now = time.time_ns() // 1_000
        past = list(history(now // MINUTE * MINUTE - HISTORY_MINUTES * MINUTE))
        with contextlib.ExitStack() as stack, shop.worker() as worker:
            served = stack.enter_context(serve(shop))
            await shop.send(past)
            await asyncio.gather(worker.ready(), served.ready())
            feeding = asyncio.create_task(feed(shop, len(past)))
            try:
                minutes = by_minute(past)
                await until_told(served, minutes)
                late = {**past[0], "id": str(10**9), "amount": str(LATE_AMOUNT)}
                await shop.send([late])
                minutes[late["region"], late["at"] // MINUTE] += LATE_AMOUNT
                await until_told(served, minutes)
                yield Live(shop, served, minutes, stack)
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)


def history(start_us: int) -> Iterator[dict[str, Any]]:
    """Two orders of every product, evenly over the minutes after `start_us`."""
    rng = random.Random(7)
    for number in range(HISTORY):
        at = start_us + number * HISTORY_MINUTES * MINUTE // HISTORY
        yield order(number, at, f"P{number % PRODUCTS:04}", rng)


def order(number: int, at_us: int, product: str, rng: random.Random) -> dict[str, Any]:
    return {
        "id": str(number),
        "at": at_us,
        "region": REGIONS[number % len(REGIONS)],
        "product": product,
        "amount": f"{rng.randrange(100, 100_000) / 100:.2f}",
        "late": number % 10 == 0,
    }


async def feed(shop: Shop, first: int) -> None:
    """Orders of now, for ever."""
    rng, number = random.Random(8), first
    while True:
        at = time.time_ns() // 1_000
        products = rng.sample(range(PRODUCTS), EACH)
        await shop.send(
            [order(number + n, at, f"P{product:04}", rng) for n, product in enumerate(products)], count=False
        )
        number += EACH
        await asyncio.sleep(EVERY_S)


def by_minute(events: list[dict[str, Any]]) -> dict[tuple[str, int], Decimal]:
    found: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for event in events:
        found[event["region"], event["at"] // MINUTE] += Decimal(event["amount"])
    return found


async def until_told(served: Process, minutes: dict[tuple[str, int], Decimal]) -> None:
    """Until the API tells these sums, and one series of every product."""
    wanted = {region: {amount for (at, _), amount in minutes.items() if at == region} for region in REGIONS}
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=f"{served.url}/api/v1/kpis", timeout=20) as client:
        while (await client.get("/revenue_by_product")).json()["series"] < PRODUCTS:
            await asyncio.sleep(0.2)
        for region, amounts in wanted.items():
            while not amounts <= await told(client, region):
                await asyncio.sleep(0.2)


async def told(client: httpx.AsyncClient, region: str) -> set[Decimal]:
    values = (await client.get("/revenue_by_region/history", params={"region": region})).json()["values"]
    closed = [value["value"] for value in values if value["state"] != "open"]
    return {Decimal(str(value)) for value in closed if value is not None}
