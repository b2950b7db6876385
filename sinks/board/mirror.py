"""The current values of the catalog's KPIs in memory: read from Redis once, then kept up by its `updates` streams.

One process holds every value as the JSON that it answers with, so that an answer is a join of bytes. Nothing is missed:
where a stream was trimmed behind what was read, or a server came back with another content, current values are
read again. While Redis is away the last known values stay, and `Mirror.problem` says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.values import KpiFacts
from sinks.board.changes import Changes
from sinks.board.current import CurrentValues, Head, read_head
from sinks.errors import SinkError
from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect, end, sink_error
from sinks.redis.reading import Update

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 1.0
_BLOCK_MS: Final = 1_000  # less than the client's own timeout, so that a server that went silent is noticed
_AT_ONCE: Final = 400  # changes that are read, of all KPIs: nothing is answered while they are parsed
_AT_LEAST: Final = 20  # of one
_RECENT: Final = 500
_RECONCILE_S: Final = 300.0
_log = logging.getLogger(__name__)


class Mirror:
    """Use as ``async with Mirror(...) as mirror``: entering starts the task that follows Redis, leaving ends it.

    ``kpis`` has the values of each KPI of the catalog, by name; ``changes`` the latest changes of all of them.
    """

    def __init__(self, name: str, kpis: Iterable[KpiFacts], address: RedisAddress) -> None:
        self.name = name
        self._address = address
        self._redis = connect(address)
        self.kpis = {facts.name: CurrentValues(facts) for facts in kpis}
        self.changes = Changes()
        self.problem: SinkError | None = SinkError("values are being read from Redis", retryable=True)
        self._positions: dict[str, str] = {}
        self._at_once = max(_AT_LEAST, _AT_ONCE // max(1, len(self.kpis)))
        self._told_definitions: dict[str, str] = {}
        self._heard = time.monotonic()
        self._lag_ms = 0
        self._reconciled = time.monotonic()
        self.task: asyncio.Task[None]

    @property
    def connected(self) -> bool:
        return self.problem is None

    @property
    def lag_ms(self) -> int:
        """How late the last change came; 0 once no more came, and while Redis is away, how long ago it was heard of.

        Clocks of Redis and of this machine are taken to agree.
        """
        if self.connected:
            return self._lag_ms
        return int((time.monotonic() - self._heard) * 1000)

    @property
    def redis(self) -> Redis:
        """For what is not mirrored: history, alerts."""
        return self._redis

    def sink_error(self, error: RedisError | OSError) -> SinkError:
        return sink_error(self._address, error)

    # --- life ---

    async def check(self) -> None:
        """Reach Redis once. SinkError in one sentence when it cannot be."""
        try:
            await reading.last_ids(self._redis, self.name, list(self.kpis)[:1])
        except (RedisError, OSError) as error:
            raise sink_error(self._address, error) from error

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._run(), name="board-mirror")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await end(self.task)
        finally:
            await self._redis.aclose()

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._take_up()
                self._back()
                pause = FIRST_PAUSE_S
                while True:
                    await self._follow()
            except (RedisError, OSError) as error:
                self._away(sink_error(self._address, error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)

    def _away(self, problem: SinkError) -> None:
        if self.connected:
            _log.warning("%s; the board shows what it knows", problem)
        self.problem = problem

    def _back(self) -> None:
        if self.problem is not None:
            series = sum(len(values.series) for values in self.kpis.values())
            told = "" if series else "; no worker has written values of this catalog there yet"
            _log.info("%d series of %d KPIs read from Redis at %s%s", series, len(self.kpis), self._address, told)
        self.problem = None
        self._heard = time.monotonic()

    # --- taking up, and following ---

    async def _take_up(self) -> None:
        """Go on where the streams were left, or read what cannot be gone on with."""
        first = not self._positions
        for kpi in self.kpis:
            if first or not await self._continues(kpi):
                await self._load(kpi)
        if first:
            await self._recent()

    async def _continues(self, kpi: str) -> bool:
        """Whether nothing was trimmed behind what was read last."""
        return await reading.holds(self._redis, self.name, kpi, self._positions[kpi])

    async def _load(self, kpi: str) -> None:
        """Read a KPI's current values, and go on from where its changes were before that."""
        position = (await reading.last_ids(self._redis, self.name, [kpi]))[kpi]
        members = await reading.members(self._redis, self.name, kpi)
        found: dict[str, Head] = {}
        async for dims, order, json in reading.current_texts(self._redis, self.name, kpi, members):
            found[dims] = read_head(json.encode(), order)
        self.kpis[kpi].replace(found)
        self._compare_definitions(kpi)
        first = kpi not in self._positions
        self._positions[kpi] = position
        ms = int(position.partition("-")[0])  # behind what was told where Redis lost its content
        self.changes.replaced(kpi, 0 if first else max(ms, self.changes.told_ms))

    async def _recent(self) -> None:
        """The last changes before the start, for clients of a process that ended.

        Of a stream with fewer nobody knows whether it began anew after Redis lost it: those clients get a snapshot.
        """
        found: list[tuple[str, Update]] = []
        complete_since_ms = 0
        short: list[str] = []
        for kpi, position in self._positions.items():
            updates = await reading.changes_before(self._redis, self.name, kpi, position, _RECENT)
            if len(updates) == _RECENT:
                complete_since_ms = max(complete_since_ms, updates[0].at[0] + 1)
            else:
                short.append(kpi)
            found += [(kpi, update) for update in updates]
        self._record(found)
        for kpi in short:
            self.changes.replaced(kpi, self.changes.told_ms)
        self.changes.complete_since_ms = max(self.changes.complete_since_ms, complete_since_ms)

    async def _follow(self) -> None:
        batch = await reading.changes(self._redis, self.name, self._positions, count=self._at_once, block_ms=_BLOCK_MS)
        self._heard = time.monotonic()
        if not batch:
            self._lag_ms = 0
        arrived: list[tuple[str, Update]] = []
        untold_ms: dict[str, int] = {kpi: updates[0].at[0] for kpi, updates in batch.items()}
        try:
            for kpi, updates in batch.items():
                full = len(updates) == self._at_once
                if full and not await self._continues(kpi):
                    await self._load(kpi)
                    del untold_ms[kpi]
                    continue
                await self._apply(kpi, updates)
                self._positions[kpi] = updates[-1].id
                arrived += [(kpi, update) for update in updates]
                if full:
                    untold_ms[kpi] = updates[-1].at[0]
                else:
                    del untold_ms[kpi]
        finally:  # what was taken is told, though Redis went away over the rest
            self._record(arrived, min(untold_ms.values(), default=None))
        if not untold_ms and time.monotonic() - self._reconciled > _RECONCILE_S:
            await self._reconcile()

    async def _apply(self, kpi: str, updates: Sequence[Update]) -> None:
        values = self.kpis[kpi]
        unsure = [update.dims for update in updates if not values.apply(update.dims, read_head(update.json.encode()))]
        if unsure:  # only the order in the hash says which definition is the newer
            async for dims, order, json in reading.current_texts(self._redis, self.name, kpi, unsure):
                values.put(dims, read_head(json.encode(), order))
            self._compare_definitions(kpi)

    def _compare_definitions(self, kpi: str) -> None:
        """Say once that workers count something else than the catalog here describes."""
        found, expected = self.kpis[kpi].definition, self.kpis[kpi].facts.definition
        if found and found not in (expected, self._told_definitions.get(kpi)):
            _log.warning(
                "values of %s are of definition %s, and here it is %s: serve the catalog that the workers have",
                kpi, found, expected,
            )  # fmt: skip
        self._told_definitions[kpi] = found

    def _record(self, arrived: list[tuple[str, Update]], untold_ms: int | None = None) -> None:
        """``untold_ms`` is from when there may be more, None where there is not."""
        if not arrived:
            return
        arrived.sort(key=lambda pair: pair[1].at)
        newest_ms = arrived[-1][1].at[0]
        self._lag_ms = max(0, time.time_ns() // 1_000_000 - newest_ms)
        self.changes.told_ms = max(self.changes.told_ms, newest_ms if untold_ms is None else untold_ms)
        for kpi, update in arrived:
            self.changes.add(kpi, update.at[0], update.dims, update.json.encode())

    async def _reconcile(self) -> None:
        """Forget series that expired, and take up anew what was emptied or filled behind our back."""
        self._reconciled = time.monotonic()
        for kpi, values in self.kpis.items():
            there = await reading.existing(self._redis, self.name, kpi)
            if there != values.series.keys() or not await self._continues(kpi):
                await self._load(kpi)
