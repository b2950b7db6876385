"""The worker's own small web server: is it alive, is it ready, and its metrics."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from sinks.names import LIVE_PATH, METRICS_PATH, READY_PATH
from sinks.prometheus import CONTENT_TYPE

STALLED_SECONDS = 60.0


class PortTaken(Exception):
    """The worker's port is in use; the message names it."""


@dataclass
class Health:
    """What the worker says of itself. Written by the streams, read by the server; times are of a monotonic clock.

    ``unready`` holds a reason for each thing that keeps the worker from being ready; ``progress`` when each loop of the
    worker last went round.
    """

    unready: dict[str, str] = field(default_factory=lambda: {"assignment": "no partitions are assigned yet"})
    progress: dict[str, float] = field(default_factory=dict)

    def round(self, loop: str) -> None:
        """The loop of this name went round once more."""
        self.progress[loop] = time.monotonic()

    def gone(self, loop: str) -> None:
        """The loop of this name ended as it should."""
        self.progress.pop(loop, None)

    def stalled(self, now: float) -> str | None:
        """Which loop has not gone round for too long; None while all do."""
        for loop, last in self.progress.items():
            if now - last > STALLED_SECONDS:
                return f"{loop} has not moved for {now - last:.0f} s"
        return None


@asynccontextmanager
async def health_server(
    health: Health, exposition: Callable[[bool], Awaitable[bytes]], host: str, port: int
) -> AsyncIterator[int]:
    """Serves `/livez`, `/readyz` and `/metrics`; yields the port, a free one where `port` is 0.

    `exposition(gzipped)` gives the metrics. Raises PortTaken.
    """

    async def live(_: web.Request) -> web.Response:
        stalled = health.stalled(time.monotonic())
        return web.Response(text=f"{stalled or 'ok'}\n", status=503 if stalled else 200)

    async def ready(_: web.Request) -> web.Response:
        reasons = list(health.unready.values())
        return web.Response(text="\n".join(reasons or ["ok"]) + "\n", status=503 if reasons else 200)

    async def metrics(request: web.Request) -> web.Response:
        gzipped = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"Content-Type": CONTENT_TYPE} | ({"Content-Encoding": "gzip"} if gzipped else {})
        return web.Response(body=await exposition(gzipped), headers=headers)

    app = web.Application()
    app.add_routes([web.get(LIVE_PATH, live), web.get(READY_PATH, ready), web.get(METRICS_PATH, metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            # asyncio's own text repeats the address
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise PortTaken(f"port {port} on {host} cannot be used: {why}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
