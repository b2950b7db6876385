"""`streamgauge dlq ...`: events that were refused, and sending them again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.cli.failures import reaching_kafka, refused
from streamgauge.cli.loading import counted, source_of, usable_catalog
from streamgauge.cli.options import CatalogPath, OutputFormat, SourceName, option, with_connections
from streamgauge.cli.output import Format, print_rows, say

if TYPE_CHECKING:
    from streamgauge.settings import KafkaAddress

app = typer.Typer(
    name="dlq", no_args_is_help=True, help="Dead letters: events that were refused, and sending them again."
)

Reasons = Annotated[
    list[str] | None, option("reason", "Only those refused for this reason; may be repeated.", metavar="REASON")
]
Limit = Annotated[int | None, option("limit", "At most so many, oldest first.", metavar="N", min=1)]


@with_connections
def list_(
    catalog: CatalogPath,
    source: SourceName,
    kafka: KafkaAddress,
    reason: Reasons = None,
    limit: Limit = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """List the dead letters of a source, with where each came from and why it was refused."""
    from streams.dead_letters import list_dead_letters

    topic = source_of(usable_catalog(catalog), source).topic
    with reaching_kafka(kafka):
        letters = asyncio.run(list_dead_letters(topic, kafka.brokers, kafka.security, reasons=reason, limit=limit))
    rows = [
        {
            "partition": letter.partition,
            "offset": letter.offset,
            "stage": letter.stage,
            "reason": letter.reason,
            "message": letter.message,
            "value": None if letter.value is None else letter.value.decode(errors="replace"),
        }
        for letter in letters
    ]
    shown = ("partition", "offset", "stage", "reason", "message")
    print_rows(rows, {name: name for name in shown}, format_, right=["partition", "offset"])
    say(f"{counted(len(rows), 'dead letter')} of {topic}")


@with_connections
def replay(
    catalog: CatalogPath,
    source: SourceName,
    kafka: KafkaAddress,
    reason: Reasons = None,
    limit: Limit = None,
) -> None:
    """Send dead letters to the source's topic again, each to the partition it came from.

    Deduplication keeps those out that were counted meanwhile. The dead letters stay where they are.
    """
    from streams.dead_letters import replay_dead_letters

    topic = source_of(usable_catalog(catalog), source).topic
    with reaching_kafka(kafka):
        sent = asyncio.run(replay_dead_letters(topic, kafka.brokers, kafka.security, reasons=reason, limit=limit))
    if not sent:
        raise refused(f"{topic} has no such dead letters")
    say(f"sent {counted(sent, 'dead letter')} to {topic} again")


app.command("list", epilog="Example: streamgauge dlq list retail.yaml till_lines --brokers localhost:9092")(list_)
app.command(
    "replay", epilog="Example: streamgauge dlq replay retail.yaml till_lines --reason late --brokers localhost:9092"
)(replay)
