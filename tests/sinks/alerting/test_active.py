"""The active alerts in a real Valkey: written whole at first, then what changed; an outage is waited out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from sinks.alerting.active import ActiveInRedis
from sinks.names import redis_alerts, redis_silences
from sinks.redis.connection import RedisAddress, connect, end
from tests.sinks.conftest import CrashingValkey

ALERTS, SILENCES = redis_alerts("shop"), redis_silences("shop")


async def until(redis: Redis, key: str, expected: dict[bytes, bytes]) -> None:
    async with asyncio.timeout(15):
        while await redis.hgetall(key) != expected:
            await asyncio.sleep(0.01)


@pytest.fixture
async def showing(address: RedisAddress) -> AsyncIterator[ActiveInRedis]:
    active = ActiveInRedis("shop", address)
    task = asyncio.create_task(active.run())
    yield active
    await end(task)
    await active.close()


async def test_what_a_former_owner_left_goes_and_changes_follow(redis: Redis, showing: ActiveInRedis) -> None:
    await redis.hset(ALERTS, "gone", "1")
    await redis.expire(ALERTS, 60)
    showing.show({"a": b"1", "b": b"1"}, {"s": b"1"})
    await until(redis, ALERTS, {b"a": b"1", b"b": b"1"})
    await until(redis, SILENCES, {b"s": b"1"})
    showing.show({"b": b"2"}, {})
    await until(redis, ALERTS, {b"b": b"2"})
    await until(redis, SILENCES, {})


async def test_what_somebody_else_emptied_is_whole_again_with_the_next_change(
    redis: Redis, showing: ActiveInRedis
) -> None:
    showing.show({"a": b"1", "b": b"1"}, {})
    await until(redis, ALERTS, {b"a": b"1", b"b": b"1"})
    await redis.delete(ALERTS)
    showing.show({"a": b"1", "b": b"2"}, {})
    await until(redis, ALERTS, {b"a": b"1", b"b": b"2"})


async def test_a_redis_that_comes_back_empty_is_told_everything(crashing_valkey: CrashingValkey) -> None:
    await crashing_valkey.start()
    active = ActiveInRedis("shop", crashing_valkey.address)
    task = asyncio.create_task(active.run())
    active.show({"a": b"1"}, {})
    async with connect(crashing_valkey.address) as redis:
        await until(redis, ALERTS, {b"a": b"1"})
    crashing_valkey.kill()
    active.show({"a": b"1", "b": b"1"}, {})  # does not wait
    await crashing_valkey.start()
    async with connect(crashing_valkey.address) as redis:
        await until(redis, ALERTS, {b"a": b"1", b"b": b"1"})
    await end(task)
    await active.close()
