"""`streamgauge topics`: every topic a catalog needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.cli.failures import reaching_kafka, refused
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import CatalogPath, OutputFormat, option, with_connections
from streamgauge.cli.output import Format, print_rows

if TYPE_CHECKING:
    from streamgauge.settings import KafkaAddress


def add_to(app: typer.Typer) -> None:
    app.command("topics", epilog="Example: streamgauge topics retail.yaml --brokers localhost:9092 --partitions 6")(
        topics
    )


@with_connections
def topics(
    catalog: CatalogPath,
    kafka: KafkaAddress,
    partitions: Annotated[
        int,
        option(
            "partitions", "Partitions of topics that are made: how many workers can share the work.", metavar="N", min=1
        ),
    ] = 2,
    replication: Annotated[
        int | None,
        option("replication", "Replicas of topics that are made; default: the broker's.", metavar="N", min=1),
    ] = None,
    check: Annotated[bool, option("check", "Make nothing; exit with 1 where a topic is missing or differs.")] = False,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Make every topic that a catalog needs, or check the ones that are there and name what differs.

    Run it before the first worker: workers refuse to start while a topic is missing.
    """
    from streams.topics import ensure_topics

    found = usable_catalog(catalog)
    with reaching_kafka(kafka):
        states = asyncio.run(
            ensure_topics(
                found,
                kafka.brokers,
                kafka.security,
                partitions=partitions,
                replication=replication,
                create=not check,
            )
        )
    rows = [
        {
            "topic": state.topic,
            "partitions": state.partitions,
            "state": state.state,
            "difference": state.difference or None,
        }
        for state in states
    ]
    headings = {"topic": "topic", "partitions": "partitions", "state": "state", "difference": "difference"}
    print_rows(rows, headings, format_, right=["partitions"])
    wrong = [state.topic for state in states if state.state in ("missing", "differs")]
    if wrong:
        raise refused(f"not as the catalog needs them: {', '.join(wrong)}")
