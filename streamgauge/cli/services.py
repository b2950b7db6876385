"""`streamgauge services`: a Kafka and a Valkey to try things with."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import unreachable
from streamgauge.cli.options import DataDir, OutputFormat, option
from streamgauge.cli.output import Format, print_json, result, say, warn

DEFAULT_DATA = Path(".streamgauge") / "services"
LOOK_SECONDS = 1.0


def add_to(app: typer.Typer) -> None:
    app.command("services", epilog="Example: streamgauge services --data-dir .streamgauge/services")(services)


def services(
    data_dir: DataDir = DEFAULT_DATA,
    kafka_port: Annotated[
        int, option("kafka-port", "Kafka's port; 0 for any free one.", metavar="PORT", min=0, max=65535)
    ] = 9092,
    redis_port: Annotated[
        int, option("redis-port", "Valkey's port; 0 for any free one.", metavar="PORT", min=0, max=65535)
    ] = 6379,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Run a real Apache Kafka and a real Valkey in the foreground, for development and for trying things out.

    Prints their addresses once both are ready, and ends both on Ctrl-C. Data is kept in the data directory.
    """
    from streamgauge.services import ServiceError, embedded_services

    asked_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_end.set())
    try:
        with embedded_services(data_dir, kafka_port=kafka_port, redis_port=redis_port, tell=say) as running:
            for notice in running.notices:
                warn(notice)
            if format_ is Format.JSON:
                print_json({"brokers": running.kafka, "redis": running.redis})
            else:
                result(f"export STREAMGAUGE_BROKERS={running.kafka}")
                result(f"export STREAMGAUGE_REDIS={running.redis}")
            say("Kafka and Valkey are ready; Ctrl-C ends both")
            _flush()
            while not asked_to_end.wait(LOOK_SECONDS):
                failure = running.failure()
                if failure is not None:
                    raise unreachable(failure)
    except ServiceError as error:
        raise unreachable(str(error)) from error


def _flush() -> None:
    """Whoever reads this through a pipe is waiting for it."""
    import sys

    sys.stdout.flush()
