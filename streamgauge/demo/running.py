"""The demo from its first start-up message to the end of its last child."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.catalog.model import Catalog
from sinks.names import METRICS_PATH
from streamgauge.catalog_files import catalog_texts
from streamgauge.cli.output import say, stdout, warn
from streamgauge.demo.browser import open_page
from streamgauge.demo.children import Child, running_serve, running_worker
from streamgauge.demo.events import Sending, kept_lines, retail_source, send_lines
from streamgauge.demo.show import Show
from streamgauge.demo.waiting import done_unless
from streamgauge.services import embedded_services, free_port
from streamgauge.settings import kafka_address, redis_address
from streams.definitions import Definitions
from streams.topics import ensure_topics

PARTITIONS = 2
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command's options say. `seconds` None means until Ctrl-C."""

    catalog: Path
    folder: Path
    seconds: float | None
    speed: float
    days: float | None
    kafka_port: int
    redis_port: int
    metrics_port: int
    port: int
    browser: bool
    picture: Path | None


async def run(catalog: Catalog, wanted: Wanted) -> None:
    """The whole demo, until its time is over or it is told to stop. Raises DemoError, ServiceError, NoRetailData."""
    source = retail_source(catalog)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    say(f"data directory: {wanted.folder}")
    lines = kept_lines(wanted.folder / "retail", datetime.now(UTC), wanted.days)
    with embedded_services(
        wanted.folder, kafka_port=wanted.kafka_port, redis_port=wanted.redis_port, tell=say
    ) as services:
        for notice in services.notices:
            warn(notice)
        assert services.kafka and services.redis
        kafka, address = kafka_address(services.kafka, environment={}), redis_address(services.redis, environment={})
        say(f"Kafka is at {services.kafka}, Valkey at {services.redis}")
        await ensure_topics(catalog, services.kafka, kafka.security, partitions=PARTITIONS, replication=1, create=True)
        definitions = Definitions(catalog.name, catalog_texts(wanted.catalog), services.kafka, kafka.security)
        replaced_by = await definitions.replaced_by()  # whoever undoes an edit wants just that, in a demo
        port = free_port(wanted.metrics_port)
        if port != wanted.metrics_port and wanted.metrics_port:
            warn(f"port {wanted.metrics_port} is taken, the worker listens on {port}")
        page = free_port(wanted.port, frozenset({port}))
        if page != wanted.port and wanted.port:
            warn(f"port {wanted.port} is taken, the board listens on {page}")
        with (
            running_worker(wanted.catalog, kafka, address, wanted.folder, port, replaced_by) as worker,
            running_serve(wanted.catalog, kafka, address, wanted.folder, page) as board,
        ):
            if not await done_unless(stop, _all_ready(worker, board)):
                return
            say(f"the worker is ready; metrics at {worker.address}{METRICS_PATH}, log in {worker.log}")
            say(f"the board is at {board.address}, log in {board.log}")
            if wanted.browser and stdout().is_terminal:
                open_page(board.address)
            addresses = (
                f"board {board.address}",
                f"brokers {services.kafka} · redis {services.redis} · metrics {worker.address}{METRICS_PATH}",
                "Ctrl-C ends everything"
                + (" · --speed 60 makes an hour pass in a minute" if wanted.speed == 1 else ""),
            )
            show = Show(catalog, Sending(lines), worker, board, addresses, picture=wanted.picture)
            sending = asyncio.create_task(send_lines(show.sending, source.topic, kafka, wanted.speed))
            try:
                await show.until(stop, wanted.seconds, services, address, sending)
            finally:
                show.sending.stopping.set()
                await asyncio.wait([sending], timeout=STOP_SECONDS)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    say("ended: the board, the worker, Kafka and Valkey are stopped; the same command goes on from here")


async def _all_ready(*children: Child) -> None:
    for child in children:
        await child.wait_until_ready()
