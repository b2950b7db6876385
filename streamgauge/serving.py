"""`serve`: the API, the page and their server in one process, from the first look at Redis to the last open stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

import uvicorn
import uvloop

from sinks.board.access import Access
from sinks.board.app import Board, Part, build_app
from sinks.board.facts import CatalogFacts, Told
from sinks.board.judging import Judgement
from sinks.board.limits import Limits, Rates
from sinks.board.metrics import BoardMetrics
from sinks.board.mirror import Mirror
from sinks.board.streaming import Streams
from sinks.redis.connection import RedisAddress
from streamgauge.http_protocol import BoundedHttp
from streams.log_lines import configure_logging

STOP_SECONDS: Final = 5  # for answers that are being written
KEPT_SECONDS: Final = 75  # an idle connection; longer than proxies keep theirs, so that none is closed under a request
_BACKLOG: Final = 2_048
_FILES: Final = 65_536  # a connection is an open file
_log = logging.getLogger(__name__)


class PortTaken(Exception):
    """The port is in use, or may not be used; the message names it."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What a server is told.

    ``origins`` are those whose pages may use it (CORS). ``proxies`` are addresses or networks that are believed who a
    request comes from. ``parts`` are entered before the first request, and left after the last.
    """

    told: Told
    redis: RedisAddress
    access: Access
    host: str = "127.0.0.1"
    port: int = 8080
    limits: Limits = field(default_factory=Limits)
    origins: Sequence[str] = ()
    proxies: Sequence[str] = ()
    parts: Sequence[Callable[[Board], AbstractAsyncContextManager[Part]]] = ()


def run_serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SinkError where Redis cannot be reached at the start, and PortTaken."""
    configure_logging()
    logging.getLogger("streamgauge").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a request that makes no sense is no news
    _allow_many_connections()
    with listening(settings.host, settings.port) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        run.run(_until_signalled(settings, listener))


async def _until_signalled(settings: ServeSettings, listener: socket.socket) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    await serve(settings, listener, ending)


async def serve(settings: ServeSettings, listener: socket.socket, ending: asyncio.Event) -> None:
    """Serve until ``ending`` is set; then streams end, and what is being answered is answered. Raises SinkError."""
    facts = CatalogFacts(settings.told)
    mirror = Mirror(facts.catalog.name, facts.kpis.values(), settings.redis)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(mirror)
        await mirror.check()
        streams = await stack.enter_async_context(Streams(mirror, settings.access, settings.limits.streams))
        board = Board(
            facts,
            Judgement(facts.catalog, settings.redis),
            mirror,
            streams,
            settings.access,
            settings.limits,
            Rates(settings.limits),
            BoardMetrics(),
            loopback=is_loopback(settings.host),
            origins=settings.origins,
        )
        parts = [await stack.enter_async_context(part(board)) for part in settings.parts]
        server = _Server(
            uvicorn.Config(
                build_app(board, parts),
                http=BoundedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.proxies),
                forwarded_allow_ips=list(settings.proxies),
                timeout_keep_alive=KEPT_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.info("catalog %s: board and API at http://%s:%d", facts.catalog.name, shown, port)
        serving = asyncio.create_task(server.serve([listener]))
        asked = asyncio.create_task(ending.wait())
        working = {mirror.task, streams.task, *(part.task for part in parts if part.task is not None)}
        done, _ = await asyncio.wait({serving, asked, *working}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        _log.info("ending")
        streams.end()
        server.should_exit = True
        await serving
        for task in done & working:  # each of them works for ever, or fails
            await task


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
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise PortTaken(f"port {port} on {host} cannot be used: {why}") from error
    with listener:
        yield listener


def is_loopback(host: str) -> bool:
    """Whether who listens on this host is reached from this machine alone."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ip_address(address[0]).is_loopback for *_, address in found)


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
