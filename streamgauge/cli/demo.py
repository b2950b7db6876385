"""`streamgauge demo`: everything on one machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import reaching_redis, refused, told_of_kafka, unreachable, usage
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import DataDir, option

DEFAULT_DATA = Path(".streamgauge") / "demo"


def add_to(app: typer.Typer) -> None:
    app.command("demo", epilog="Example: streamgauge demo --speed 60 --for 120")(demo)


def demo(
    data_dir: DataDir = DEFAULT_DATA,
    catalog: Annotated[
        Path | None,
        option(
            "catalog", "A catalog for the same events; default: the retail catalog that comes with it.", metavar="PATH"
        ),
    ] = None,
    for_: Annotated[
        float | None,
        option(
            "for", "End so many seconds after the first values, and print the last ones.", metavar="SECONDS", min=0.1
        ),
    ] = None,
    speed: Annotated[
        float,
        option(
            "speed",
            "How fast time passes for the events after the history; 60: an hour in a minute.",
            metavar="N",
            min=0.1,
        ),
    ] = 1.0,
    days: Annotated[
        float | None,
        option("days", "Send only so many days of history; default: the year. For a first start.", metavar="N", min=1),
    ] = None,
    kafka_port: Annotated[
        int, option("kafka-port", "Kafka's port; the next free one when it is taken.", metavar="PORT", min=0, max=65535)
    ] = 9092,
    redis_port: Annotated[
        int,
        option("redis-port", "Valkey's port; the next free one when it is taken.", metavar="PORT", min=0, max=65535),
    ] = 6379,
    metrics_port: Annotated[
        int,
        option(
            "metrics-port", "The worker's port; the next free one when it is taken.", metavar="PORT", min=0, max=65535
        ),
    ] = 9108,
    port: Annotated[
        int, option("port", "The board's port; the next free one when it is taken.", metavar="PORT", min=0, max=65535)
    ] = 8080,
    no_browser: Annotated[bool, option("no-browser", "Do not open the board in a browser.")] = False,
    picture: Annotated[
        Path | None, option("picture", "At the end, write the view to this file as SVG.", metavar="FILE")
    ] = None,
) -> None:
    """Watch KPIs of a grocery retailer live: real Kafka, real Valkey, one worker, the board, 1.47 million till lines.

    Needs nothing installed. Ctrl-C ends everything; a second start goes on from where the first one was.
    """
    from streamgauge.demo import DemoError, running
    from streamgauge.retail import NoRetailData, catalog_path
    from streamgauge.services import ServiceError

    path = catalog or catalog_path()
    wanted = running.Wanted(
        path,
        data_dir.absolute(),
        for_,
        speed,
        days,
        kafka_port,
        redis_port,
        metrics_port,
        port,
        not no_browser,
        picture,
    )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage(f"--data-dir {data_dir}: {error.strerror or error}") from error
    try:
        with told_of_kafka("the demo's address"), reaching_redis("the demo's address"):
            asyncio.run(running.run(usable_catalog(path), wanted))
    except KeyboardInterrupt:
        return
    except (DemoError, NoRetailData) as error:
        raise refused(str(error)) from error
    except ServiceError as error:
        raise unreachable(str(error)) from error
