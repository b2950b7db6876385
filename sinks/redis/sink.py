"""Values to Redis: offered without waiting, written by a task of its own, newest wins (``write.lua``).

Offering never blocks and never fails, whatever Redis does. A write that fails is tried again with growing pauses of at
most `MAX_PAUSE_S`; after an outage the current values of all series go first, since Redis may have come back empty.
While there is nothing to write, Redis is looked at every `LOOK_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from importlib.resources import files
from types import TracebackType
from typing import Final, Self

from redis.exceptions import NoScriptError, RedisError

from engine.values import KpiFacts, ValueRows
from sinks.errors import SinkError
from sinks.names import redis_key
from sinks.newest import NewestValues
from sinks.redis.connection import RedisAddress, connect, end, sink_error
from sinks.redis.pending import Pending
from sinks.redis.refill import Messages, by_series
from sinks.redis.rows import arguments, keys, payloads, refill_arguments

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 2.0
LOOK_S: Final = 2.0
# What an acknowledged write may still be lost by: a server that syncs its log every second, and clocks that differ.
_MAY_BE_LOST_MS: Final = 10_000
_SLICE_ROWS: Final = 2_000  # rendered in one go, about 5 ms of the event loop
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps in Redis, and of what waits for it. A KPI of very many series keeps less history of each."""

    history: int = 500  # entries of one series
    kpi_history: int = 200_000  # entries of all series of a KPI
    updates: int = 10_000  # entries of a KPI
    past_rows: int = 200_000  # of past windows that wait in this process
    chunk_rows: int = 250  # one script call; the server does nothing else meanwhile
    pipeline_chunks: int = 8


@dataclass(slots=True)
class Counts:
    """Rows since the start. ``failed`` counts rows of writes that failed, each time; they are tried again."""

    written: int = 0
    failed: int = 0
    dropped: int = 0


@dataclass(slots=True)
class _Health:
    problem: SinkError | None = None
    acknowledged_ms: int | None = None
    kpis: dict[str, KpiFacts] = field(default_factory=dict)


class RedisSink:
    """Use as ``async with RedisSink(...) as sink``: entering starts the writing task, leaving ends it.

    ``gap_since_ms`` is set when history in Redis may lack values that were offered after that wall-clock time
    (milliseconds since the epoch; 0: since ever): read `NAME.values` from there and give it to `refill`.
    """

    def __init__(self, name: str, address: RedisAddress, limits: Limits | None = None) -> None:
        self._name = name
        self._address = address
        self._limits = limits or Limits()
        self._redis = connect(address)
        self._write = files(__package__).joinpath("write.lua").read_text()
        self._refill = files(__package__).joinpath("refill.lua").read_text()
        self._digest: str | None = None
        self._pending = Pending(self._limits.past_rows)
        self._newest = NewestValues()
        self._writing: ValueRows | None = None
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._health = _Health()
        self._counts = Counts()
        self._task: asyncio.Task[None] | None = None
        self.gap_since_ms: int | None = None

    # --- for the event loop's other tasks: nothing here waits ---

    def offer(self, rows: ValueRows, partition: int = 0) -> None:
        """Take values to be written; ``partition`` is what `drop` names when another process owns them.

        Raises only what ended the writing task: a defect, never the state of Redis.
        """
        if self._task is not None and self._task.done():
            self._task.result()
        if rows.frame.is_empty():
            return
        self._health.kpis[rows.kpi.name] = rows.kpi
        self._newest.offer(rows, partition)
        dropped = self._pending.dropped
        self._pending.offer(rows)
        if self._pending.dropped > dropped:
            self._note_gap(self._unsure_since_ms())
        self._idle.clear()
        self._work.set()

    def drop(self, partition: int) -> None:
        """Stop keeping the values of a partition that moved to another process; what was offered is still written."""
        self._newest.drop(partition)

    @property
    def counts(self) -> Counts:
        return Counts(self._counts.written, self._counts.failed, self._pending.dropped)

    @property
    def queue_rows(self) -> int:
        return self._pending.rows + (self._writing.frame.height if self._writing is not None else 0)

    @property
    def problem(self) -> SinkError | None:
        """Why Redis cannot be written to at the moment, None when it can."""
        return self._health.problem

    # --- life ---

    async def check(self) -> None:
        """Reach Redis once. SinkError in one sentence, retryable unless credentials or permissions are wrong."""
        try:
            await self._load()
        except (RedisError, OSError) as error:
            raise sink_error(self._address, error) from error

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="redis-sink")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await end(self._task)
        await self._redis.aclose()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until all that was offered is written; False when it is not after so many seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    # --- the writing task ---

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                if self._health.problem is None:
                    await self._offered_or_seen()
                else:
                    await self._come_back()
                await self._drain()
                pause = FIRST_PAUSE_S
            except (RedisError, OSError) as error:
                self._failed(sink_error(self._address, error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)

    async def _offered_or_seen(self) -> None:
        """Wait for values; each time that none come, see whether Redis is there, and is the one that was written to."""
        while not self._work.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._work.wait()
                    return
            digest = self._digest or await self._load()
            if not all(await self._redis.script_exists(digest)):  # it started anew
                self._note_gap(self._unsure_since_ms())
                await self._come_back()
                return

    async def _drain(self) -> None:
        while (rows := self._writing or self._pending.take()) is not None:
            self._writing = rows
            while not rows.frame.is_empty():
                await self._write_slice(ValueRows(rows.kpi, rows.frame.head(_SLICE_ROWS)))
                self._writing = rows = ValueRows(rows.kpi, rows.frame.slice(_SLICE_ROWS))
            self._writing = None
        self._work.clear()
        self._idle.set()

    async def _write_slice(self, rows: ValueRows) -> None:
        chunks = payloads(rows, self._limits.chunk_rows)
        for start in range(0, len(chunks), self._limits.pipeline_chunks):
            await self._write_chunks(rows.kpi, chunks[start : start + self._limits.pipeline_chunks])

    async def _write_chunks(self, kpi: KpiFacts, chunks: list[tuple[int, bytes]]) -> None:
        """One round trip. Writing again what was written already changes nothing."""
        digest = self._digest or await self._load()
        limits = self._limits
        caps = {"history": limits.history, "kpi_history": limits.kpi_history, "updates": limits.updates}
        names = keys(self._name, kpi.name)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for _, payload in chunks:
                    pipeline.evalsha(digest, len(names), *names, *arguments(self._name, kpi, payload, **caps))
                answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError):
            self._counts.failed += sum(count for count, _ in chunks)
            raise
        retry: RedisError | None = None
        for (count, _), answer in zip(chunks, answers, strict=True):
            if not isinstance(answer, RedisError):
                self._counts.written += count
                continue
            self._counts.failed += count
            problem = sink_error(self._address, answer)
            if isinstance(answer, NoScriptError):
                self._digest = None  # the server restarted
            if problem.retryable:
                retry = answer
            else:
                _log.error("%d values of KPI %s were not written: %s", count, kpi.name, problem)
        if retry is not None:
            raise retry
        self._health.acknowledged_ms = time.time_ns() // 1_000_000

    async def _load(self) -> str:
        self._digest = str(await self._redis.script_load(self._write))
        return self._digest

    def _failed(self, problem: SinkError) -> None:
        if self._health.problem is None:
            _log.warning("%s; values wait", problem)
            self._note_gap(self._unsure_since_ms())
        self._health.problem = problem

    async def _come_back(self) -> None:
        """After an outage: all current values once more, before anything else."""
        await self._load()
        kpis = list(self._health.kpis)
        if kpis and not await self._redis.exists(*(redis_key(self._name, kpi, "newest") for kpi in kpis)):
            self.gap_since_ms = 0  # it came back empty
        unfinished, self._writing = self._writing, None
        for rows in (*self._newest.rows(), *([unfinished] if unfinished else [])):
            self._pending.offer(rows)
        self._idle.clear()
        self._health.problem = None
        _log.info("Redis at %s is back, %d values wait", self._address, self.queue_rows)

    def _note_gap(self, since_ms: int) -> None:
        self.gap_since_ms = since_ms if self.gap_since_ms is None else min(self.gap_since_ms, since_ms)

    def _unsure_since_ms(self) -> int:
        return max(0, (self._health.acknowledged_ms or 0) - _MAY_BE_LOST_MS)

    # --- history that is missing ---

    async def refill(self, messages: Messages, kpis: dict[str, KpiFacts] | None = None) -> int:
        """Complete history from messages of `NAME.values` (key, value), in any order and as often as wanted.

        Values of KPIs that were neither offered nor given are passed over. Returns how many series changed; raises
        SinkError when Redis fails, after which the gap is still noted.
        """
        noted, self.gap_since_ms = self.gap_since_ms, None
        changed = 0
        try:
            async for kpi, payload in by_series(messages, self._health.kpis | (kpis or {})):
                limits = self._limits
                given = refill_arguments(
                    self._name, kpi, payload, history=limits.history, kpi_history=limits.kpi_history
                )
                changed += int(await self._redis.eval(self._refill, 1, keys(self._name, kpi.name)[0], *given))
        except (RedisError, OSError) as error:
            if noted is not None:
                self._note_gap(noted)
            raise sink_error(self._address, error) from error
        return changed
