"""`serve`: the API, the page and their server in one process, from the first look at Redis to the last open stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvicorn

from sinks.board.app import build_app
from sinks.board.facts import CatalogFacts, Told
from sinks.board.mirror import Mirror
from sinks.board.streaming import Streams
from sinks.redis.connection import RedisAddress
from streams.log_lines import configure_logging

STOP_SECONDS = 5  # for answers that are being written
_BACKLOG = 2_048
_log = logging.getLogger(__name__)


class PortTaken(Exception):
    """The port is in use, or may not be used; the message names it."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    told: Told
    redis: RedisAddress
    host: str = "127.0.0.1"
    port: int = 8080


def run_serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SinkError where Redis cannot be reached at the start, and PortTaken."""
    configure_logging()
    logging.getLogger("streamgauge").setLevel(logging.INFO)
    with listening(settings.host, settings.port) as listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, listener))


async def _serve(settings: ServeSettings, listener: socket.socket) -> None:
    facts = CatalogFacts(settings.told)
    async with AsyncExitStack() as stack:
        mirror = Mirror(facts.catalog.name, facts.kpis.values(), settings.redis)
        await mirror.check()
        await stack.enter_async_context(mirror)
        streams = await stack.enter_async_context(Streams(mirror))
        server = _Server(
            uvicorn.Config(
                build_app(facts, mirror, streams),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

        def end() -> None:
            server.should_exit = True
            streams.end()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        host, port = listener.getsockname()[:2]
        _log.info("catalog %s: board and API at http://%s:%d", facts.catalog.name, _shown(host), port)
        await server.serve([listener])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled above: open streams have to hear of them too."""
        yield


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens, on a free port where `port` is 0. Raises PortTaken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise PortTaken(f"port {port} on {host} cannot be used: {error.strerror or error}") from error
    with listener:
        yield listener


def _loop_factory() -> type[asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.Loop


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
