"""What a person sees of the demo: the values and what goes on around them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from redis.asyncio import Redis
from rich.console import Console, RenderableType
from rich.live import Live

from engine.catalog.model import Catalog
from engine.series import dims_text
from sinks.names import METRICS_PATH
from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect
from streamgauge.cli.output import say, stdout
from streamgauge.demo import DemoError
from streamgauge.demo.children import Child
from streamgauge.demo.counters import Counters
from streamgauge.demo.events import Sending
from streamgauge.demo.screen import SERIES_SHOWN, Activity, screen, series_key, values_table
from streamgauge.demo.waiting import came
from streamgauge.live import TREND_WIDTH, Value
from streamgauge.services import Services

LOOK_SECONDS = 0.5
SPEAK_SECONDS = 5.0
TRENDS_A_LOOK = 2
PICTURE_SIZE = (148, 45)  # columns, lines
FIRST_VALUE_SECONDS = 120.0


@dataclass
class Show:
    """What the person sees: on a terminal a view that is redrawn, elsewhere a line now and then, and the end."""

    catalog: Catalog
    sending: Sending
    worker: Child
    board: Child
    addresses: Sequence[str]
    values: dict[str, list[Value]] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    picture: Path | None = None
    trends: dict[tuple[str, str], list[Decimal]] = field(default_factory=dict)
    looks: int = 0

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
                    failure = self.worker.ended() or self.board.ended() or services.failure()
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
            if self.picture is not None and self.values:
                self._draw(self.picture)
        if live is None:
            console.print(values_table(self.catalog, self.values, trends=self.trends))
        if self.counters.lag:
            say(f"{self.counters.lag:,} lines were not folded yet; they are when the demo goes on")

    async def _look(self, redis: Redis) -> None:
        """Takes in what Redis and the worker's metrics say now."""
        for name, kpi in self.catalog.kpis.items():
            if kpi.group_by:
                found = await reading.top(redis, self.catalog.name, name, SERIES_SHOWN)
            else:
                found = await reading.current(redis, self.catalog.name, name)
            if found:
                self.values[name] = [Value.read(value) for value in found]
        names = list(self.values)
        for turn in range(min(TRENDS_A_LOOK, len(names))):  # the past changes slowly
            await self._look_back(redis, names[(self.looks * TRENDS_A_LOOK + turn) % len(names)])
        self.looks += 1
        status, metrics = await asyncio.to_thread(self.worker.get, METRICS_PATH)
        if status == 200:
            self.counters.read(metrics, time.monotonic())

    async def _look_back(self, redis: Redis, name: str) -> None:
        """Takes in the past of the series shown of a KPI."""
        for value in self.values[name]:
            dims = dims_text(list(value.dims), [None if text is None else str(text) for text in value.dims.values()])
            past = [Value.read(found) for found in await reading.history(redis, self.catalog.name, name, dims)]
            ends = {one.end: one.value for one in [*past, value] if one.value is not None}
            self.trends[series_key(value)] = list(ends.values())[-TREND_WIDTH:]

    def _screen(self, console: Console) -> RenderableType:
        size = console.size
        return screen(
            self.catalog,
            self.values,
            self._activity(),
            self.addresses,
            width=size.width,
            height=size.height,
            trends=self.trends,
        )

    def _draw(self, path: Path) -> None:
        """The view as it is now, as a picture."""
        width, height = PICTURE_SIZE
        canvas = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
        footer = ["Ctrl-C ends everything, and the same command goes on from there"]
        view = screen(
            self.catalog, self.values, self._activity(), footer, width=width, height=height, trends=self.trends
        )
        canvas.print(view)
        drawn = canvas.export_svg(title="streamgauge demo", unique_id="streamgauge")
        path.write_text(
            re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8"
        )  # no font is fetched

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
