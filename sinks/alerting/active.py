"""The active alerts and silences in Redis, for the board, the API and the command line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sinks.names import redis_alerts, redis_silences
from sinks.redis.connection import RedisAddress, connect, sink_error

# Written again long before; what is left behind when delivery ends for good does not stay for ever.
TTL_S: Final = 7 * 24 * 3600
REFRESH_S: Final = 30.0  # for a Redis that came back empty, and nobody noticed
FIRST_PAUSE_S: Final = 0.2
MAX_PAUSE_S: Final = 5.0
_log = logging.getLogger(__name__)


class ActiveInRedis:
    """Says what there is now: `show` takes it without waiting, a task writes what changed, and all of it at first."""

    def __init__(self, name: str, address: RedisAddress) -> None:
        self._address = address
        self._redis: Redis = connect(address)
        self._keys = (redis_alerts(name), redis_silences(name))
        self._wanted: list[dict[str, bytes]] = [{}, {}]
        self._work = asyncio.Event()

    def show(self, alerts: Mapping[str, bytes], silences: Mapping[str, bytes]) -> None:
        """By the alert's key, and by the silence's id: JSON objects."""
        wanted = [dict(alerts), dict(silences)]
        if wanted != self._wanted:
            self._wanted = wanted
            self._work.set()

    async def run(self) -> None:
        """For ever. Redis being away is retried."""
        written: list[dict[str, bytes] | None] = [None, None]
        pause, problem = FIRST_PAUSE_S, False
        while True:
            self._work.clear()
            wanted = list(self._wanted)
            try:
                if not await self._write(wanted, written):
                    await self._write(wanted, [None, None])
            except (RedisError, OSError) as error:
                if not problem:
                    _log.warning("%s; alerts there wait", sink_error(self._address, error))
                problem, written = True, [None, None]  # it may come back empty
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)
                continue
            written, pause, problem = list(wanted), FIRST_PAUSE_S, False
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._work.wait()
            except TimeoutError:
                written = [None, None]

    async def _write(self, wanted: list[dict[str, bytes]], written: list[dict[str, bytes] | None]) -> bool:
        """Write what changed since `written`; False where something else was there."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            for key, now, before in zip(self._keys, wanted, written, strict=True):
                if before is None:
                    pipeline.delete(key)
                elif gone := before.keys() - now.keys():
                    pipeline.hdel(key, *gone)
                changed: dict[Any, Any] = {
                    field: text for field, text in now.items() if before is None or before.get(field) != text
                }
                if changed:
                    pipeline.hset(key, mapping=changed)
                if now:
                    pipeline.expire(key, TTL_S)
            for key in self._keys:
                pipeline.hlen(key)
            answers = await pipeline.execute()
        return list(map(int, answers[-len(wanted) :])) == list(map(len, wanted))

    async def close(self) -> None:
        await self._redis.aclose()


def shown_alert(text: bytes, muted_by: str | None, silenced_by: str | None) -> bytes:
    """An alert's object with why nobody is told of it."""
    members: dict[str, Any] = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(members | {"muted_by": muted_by, "silenced_by": silenced_by})
