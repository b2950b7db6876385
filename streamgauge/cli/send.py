"""`streamgauge send`: events from files to a source's topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.catalog.model import Source
from streamgauge.cli.failures import reaching_kafka, refused, usage
from streamgauge.cli.loading import counted, source_of, usable_catalog
from streamgauge.cli.options import CatalogPath, SourceName, option, with_connections
from streamgauge.cli.output import say
from streamgauge.settings import KafkaAddress

if TYPE_CHECKING:
    from streamgauge.sending.event_files import Chunk, EventFile
    from streamgauge.sending.shifting import Shift

WRITE_SECONDS = 60.0

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="JSON Lines (.jsonl), CSV (.csv) or Parquet (.parquet).", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    app.command(
        "send", epilog="Example: streamgauge send shop.yaml orders orders.jsonl --brokers localhost:9092 --shift-to-now"
    )(send)


@with_connections
def send(
    catalog: CatalogPath,
    source: SourceName,
    files: Files,
    kafka: KafkaAddress,
    key: Annotated[
        str | None,
        option(
            "key",
            "Send events of one value of this field to one partition.",
            metavar="FIELD",
            show_default="the identity",
        ),
    ] = None,
    rate: Annotated[float | None, option("rate", "At most so many events a second.", metavar="N", min=0.001)] = None,
    shift_to_now: Annotated[
        bool,
        option("shift-to-now", "Move event times by the fewest whole weeks that put the last one at or after now."),
    ] = False,
) -> None:
    """Send events from files to a source's topic.

    Events of one identity go to one partition, where a repeated one is recognised; those of a source without are spread
    in turns. Every event is acknowledged before the command ends.
    """
    from streamgauge.sending.event_files import UnusableFile, open_event_file

    declared = source_of(usable_catalog(catalog), source)
    if key is not None and key not in declared.fields:
        raise usage(f"--key {key}: source {source} has no such field; it has {', '.join(declared.fields)}")
    try:
        opened = [open_event_file(path, declared) for path in files]
        for file in opened:
            file.check(declared)
        shift = _shift(opened, declared) if shift_to_now else None
        with reaching_kafka(kafka):
            field = key or declared.identity
            asyncio.run(_send(declared, opened, kafka, declared.fields[field].path if field else None, rate, shift))
    except UnusableFile as error:
        raise refused(str(error)) from error


def _shift(files: Iterable[EventFile], source: Source) -> Shift:
    from streamgauge.sending.shifting import Shift, time_field, weeks_until

    where = time_field(source)
    try:
        found = [last for file in files for values in file.times(where) if (last := where.latest(values)) is not None]
    except ValueError as error:
        raise refused(f"--shift-to-now: an event time cannot be read: {error}") from error
    if not found:
        raise refused(f"--shift-to-now: no event has a time in {'.'.join(where.path)}")
    weeks = weeks_until(max(found), datetime.now(UTC))
    say(f"event times are moved by {counted(weeks, 'week')}; the last one was {max(found).isoformat()}")
    return Shift(where, weeks)


async def _send(
    source: Source,
    files: list[EventFile],
    kafka: KafkaAddress,
    key: tuple[str, ...] | None,
    rate: float | None,
    shift: Shift | None,
) -> None:
    from streamgauge.cli.progress import pace, sending_progress
    from streamgauge.sending.partitions import UnknownTopic, by_partition, partition_ends
    from streams.producing import BulkWriter

    try:
        partitions = len(await partition_ends(source.topic, kafka))
    except UnknownTopic as error:
        raise refused(str(error)) from error
    started, sent = time.monotonic(), 0
    async with BulkWriter(kafka.brokers, kafka.security, timeout=WRITE_SECONDS, client_id="streamgauge-send") as writer:
        with sending_progress() as progress:
            for file in files:
                bar = progress.add_task(file.path.name, total=file.total, speed="")
                for turn, chunk in enumerate(_parts(file.chunks(key, shift), rate)):
                    parts = by_partition(chunk.values, chunk.keys, partitions, turn)
                    await writer.write({(source.topic, partition): pairs for partition, pairs in parts.items()})
                    sent += len(chunk.values)
                    elapsed = time.monotonic() - started
                    progress.update(bar, advance=chunk.progress, speed=pace(sent, elapsed))
                    if rate and (early := sent / rate - elapsed) > 0:
                        await asyncio.sleep(early)
    elapsed = time.monotonic() - started
    say(f"sent {counted(sent, 'event')} to {source.topic} in {elapsed:.1f} s ({pace(sent, elapsed)})")


def _parts(chunks: Iterator[Chunk], rate: float | None) -> Iterator[Chunk]:
    """Chunks small enough to keep to `rate` evenly: ten a second."""
    from streamgauge.sending.event_files import Chunk

    most = max(1, int(rate / 10)) if rate else 1_000
    for chunk in chunks:
        for start in range(0, len(chunk.values), most):
            last = start + most >= len(chunk.values)
            keys = chunk.keys[start : start + most] if chunk.keys else None
            yield Chunk(chunk.values[start : start + most], keys, chunk.progress if last else 0)
