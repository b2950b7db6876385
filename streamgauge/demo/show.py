"""What a person sees of the demo: the values and what goes on around them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis
from rich.console import Console, RenderableType
from rich.live import Live

from engine.catalog.model import Catalog
from sinks.names import METRICS_PATH
from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect
from streamgauge.cli.output import say, stdout
from streamgauge.demo import DemoError
from streamgauge.demo.events import Sending
from streamgauge.demo.waiting import came
from streamgauge.demo.worker_process import Counters, Worker
from streamgauge.live import SERIES_SHOWN, Activity, Value, screen, values_table
from streamgauge.services import Services

LOOK_SECONDS = 0.5
SPEAK_SECONDS = 5.0
FIRST_VALUE_SECONDS = 120.0


@dataclass
class Show:
    """What the person sees: on a terminal a view that is redrawn, elsewhere a line now and then, and the end."""

    catalog: Catalog
    sending: Sending
    worker: Worker
    addresses: Sequence[str]
    values: dict[str, list[Value]] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

    async def until(
        self,
        stop: asyncio.Event,
        seconds: float | None,
        services: Services,
        address: RedisAddress,
        sending: asyncio.Task[None],
    ) -> None:
        """Shows until `stop`, or `seconds` after the first values.

        Raises DemoError when a child ends before, and what `sending` raises.
        """
        console = stdout()
        redis = connect(address)
        live = Live(console=console, auto_refresh=False, screen=False) if console.is_terminal else None
        began, first, spoke = time.monotonic(), None, 0.0
        try:
            with live or contextlib.nullcontext():
                while not await came(stop, LOOK_SECONDS):
                    failure = self.worker.ended() or services.failure()
                    if failure:
                        raise DemoError(failure)
                    if sending.done():
                        sending.result()
                    await self._look(redis)
                    now = time.monotonic()
                    if first is None and self.values:
                        first = now
                        if live is None:
                            say(f"first values after {now - began:.1f} s")
                    if live:
                        live.update(self._screen(console), refresh=True)
                    elif now - spoke >= SPEAK_SECONDS:
                        spoke = now
                        say(self._line())
                    if seconds is not None and (now - (first or now) >= seconds):
                        break
                    if first is None and seconds is not None and now - began > FIRST_VALUE_SECONDS:
                        raise DemoError(
                            f"no values after {FIRST_VALUE_SECONDS:.0f} s; the worker's log is {self.worker.log}"
                        )
        finally:
            await redis.aclose()
        if live is None:
            console.print(values_table(self.catalog, self.values))

    async def _look(self, redis: Redis) -> None:
        """Takes in what Redis and the worker's metrics say now."""
        for name, kpi in self.catalog.kpis.items():
            if kpi.group_by:
                found = await reading.top(redis, self.catalog.name, name, SERIES_SHOWN)
            else:
                found = await reading.current(redis, self.catalog.name, name)
            if found:
                self.values[name] = [Value.read(value) for value in found]
        status, metrics = await asyncio.to_thread(self.worker.get, METRICS_PATH)
        if status == 200:
            self.counters.read(metrics, time.monotonic())

    def _screen(self, console: Console) -> RenderableType:
        size = console.size
        return screen(self.catalog, self.values, self._activity(), self.addresses, width=size.width, height=size.height)

    def _activity(self) -> Activity:
        counters, sending = self.counters, self.sending
        return Activity(
            counters.pace,
            counters.accepted,
            counters.refused,
            sending.sent,
            sending.lines.rows,
            counters.lag,
            sending.phase,
        )

    def _line(self) -> str:
        activity = self._activity()
        pace = "-" if activity.events_per_second is None else f"{activity.events_per_second:,.0f}"
        sent = f"{activity.phase}: {activity.sent:,} of {activity.to_send:,} lines sent"
        return f"{sent}, {activity.accepted:,} folded, {pace} events/s, {len(self.values)} KPIs have values"
