"""The past of KPIs as lint takes it, out of a Redis that the sink has written."""

from __future__ import annotations

from datetime import date
from typing import Any

from redis.asyncio import Redis

from engine.catalog.lint import judge
from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from engine.plan import plan_catalog
from sinks.redis.connection import RedisAddress
from sinks.redis.histories import histories
from sinks.redis.sink import RedisSink
from tests.sinks.values import FIRST_END_US, HOUR_US, row, rows

TEXT = """version: 1
name: shop
sources:
  orders: {topic: orders, event_time: at, fields: {at: timestamp, region: string, amount: number}}
metrics:
  sales: {source: orders, agg: sum, expr: amount, unit: EUR}
kpis:
  sales:
    metric: sales
    group_by: [region]
    window: {type: hop, size: 24h, slide: 1h}
    objectives: [{op: gte, value: 100}]
  other: {metric: sales, window: {type: tumble, grain: day}}
"""


def catalog() -> Catalog:
    loaded = parse([("shop.yaml", TEXT)])
    assert loaded.catalog is not None
    return loaded.catalog


async def write(address: RedisAddress, *entries: dict[str, Any]) -> None:
    async with RedisSink("shop", address) as sink:
        sink.offer(rows(*entries, kpi=plan_catalog(catalog()).kpis[0].facts))
        assert await sink.drained(10)


async def test_closed_values_of_each_series_by_window_end(redis: Redis, address: RedisAddress) -> None:
    await write(
        address,
        row("EU", hour=1, revision=1, value="2.5"),
        row("EU", hour=0, revision=1, value="1"),
        row(None, hour=0, revision=1, value="7"),
    )
    await write(
        address,
        row("EU", hour=1, revision=2, progress=2, value="3"),  # in place of the one before
        row("EU", hour=2, revision=1, value=None),
        row("EU", hour=3, revision=1, value="9", reason="incomplete_history"),
        row("EU", hour=4, value="10"),  # open
    )
    found = await histories(redis, catalog())
    assert set(found) == {"sales"}
    shown = {seen.dims["region"]: (seen.end_us.tolist(), seen.values.tolist()) for seen in found["sales"]}
    assert shown == {"EU": ([FIRST_END_US, FIRST_END_US + HOUR_US], [1, 3]), "__null__": ([FIRST_END_US], [7])}


async def test_what_was_counted_by_another_definition_is_no_past(redis: Redis, address: RedisAddress) -> None:
    async with RedisSink("shop", address) as sink:
        sink.offer(rows(row("EU", hour=0, revision=1)))
        assert await sink.drained(10)
    await write(address, row("US", hour=0, revision=1))
    found = await histories(redis, catalog())
    assert [seen.dims for seen in found["sales"]] == [{"region": "US"}]


async def test_the_series_that_moved_last_where_there_are_many(redis: Redis, address: RedisAddress) -> None:
    await write(address, *(row(f"r{hour}", dims=f"region=r{hour}", hour=hour, revision=1) for hour in range(6)))
    found = await histories(redis, catalog(), most_series=2)
    assert {seen.dims["region"] for seen in found["sales"]} == {"r4", "r5"}


async def test_a_target_is_judged_by_it(redis: Redis, address: RedisAddress) -> None:
    await write(address, *(row("EU", hour=hour, revision=1, value=str(hour)) for hour in range(24)))
    advice = judge(catalog(), date(2026, 11, 25), await histories(redis, catalog())).advice
    [said] = [one.message for one in advice if one.rule == "achievable"]
    assert said == "its target of at least 100 EUR was never met: the best of 24 values since 2026-11-22 is 23 EUR"
