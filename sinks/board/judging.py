"""What `streamgauge lint` says of the catalog, with what was seen of its values: judged seldom, and beside the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from redis.exceptions import RedisError

from engine.catalog.lint import NO_HISTORY, History, Verdict, judge
from engine.catalog.model import Catalog
from sinks.redis.connection import RedisAddress, connect, sink_error
from sinks.redis.histories import histories

EVERY_S: Final = 300.0  # the past of values is read no more often
_log = logging.getLogger(__name__)


class Judgement:
    """Reads and judges when somebody asks, in a thread, over a connection of its own.

    While Redis cannot be reached, ``verdict`` is by the past that was read last, or by the catalog alone.
    """

    def __init__(
        self,
        catalog: Catalog,
        address: RedisAddress,
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._address = address
        self._every_s = every_s
        self._clock = clock
        self._zone = ZoneInfo(catalog.calendar.timezone)
        self._asking = asyncio.Lock()
        self._history: History = NO_HISTORY
        self._read_at: float | None = None
        self._judged: tuple[date, Verdict] | None = None  # of which day

    async def verdict(self, now: datetime) -> Verdict:
        """Of the day of ``now`` in the catalog's time zone; who asks while the past is being read waits for it."""
        day = now.astimezone(self._zone).date()
        async with self._asking:
            due = self._read_at is None or self._clock() - self._read_at >= self._every_s
            if due:
                self._read_at = self._clock()  # now: what does not answer is not asked again at once
                await self._read()
            if due or self._judged is None or self._judged[0] != day:
                self._judged = day, await asyncio.to_thread(judge, self._catalog, day, self._history)
            return self._judged[1]

    async def _read(self) -> None:
        try:
            self._history = await asyncio.to_thread(lambda: asyncio.run(self._histories()))
        except (RedisError, OSError) as error:
            told = sink_error(self._address, error)
            _log.warning("findings are without the latest values: %s", told)

    async def _histories(self) -> History:
        redis = connect(self._address)
        try:
            return await histories(redis, self._catalog)
        finally:
            await redis.aclose()
