"""`streamgauge simulate ...`: events that nobody recorded, to try a catalog on."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.catalog.model import Catalog
from streamgauge.catalog_files import shipped_catalog
from streamgauge.cli.failures import reaching_kafka, refused, usage
from streamgauge.cli.loading import counted, loaded_catalog, without_problems
from streamgauge.cli.options import option, with_connections
from streamgauge.cli.output import say

if TYPE_CHECKING:
    from streamgauge.settings import KafkaAddress
    from streamgauge.simulate.business import Business
    from streamgauge.simulate.sending import Sending

app = typer.Typer(name="simulate", no_args_is_help=True, help="Send events that nobody recorded, to try a catalog on.")

NOW = "now"


@with_connections
def business(
    kafka: KafkaAddress | None = None,
    catalog: Annotated[
        Path | None,
        option(
            "catalog",
            "A catalog with the same sources; default: the business catalog that comes with it.",
            metavar="PATH",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option("out", "Write history to DIR/SOURCE.jsonl instead of sending it.", metavar="DIR"),
    ] = None,
    days: Annotated[int, option("days", "How long history is.", metavar="N", min=1, max=3650)] = 400,
    until: Annotated[
        str,
        option(
            "until", "Where history ends: a time, or now. What happens is told backwards from here.", metavar="TIME"
        ),
    ] = NOW,
    seed: Annotated[int, option("seed", "The same seed, days and end give the same events.", metavar="N", min=0)] = 1,
    orders: Annotated[
        float,
        option("orders", "Orders of an average day; everything else goes with them.", metavar="N", min=1, max=100_000),
    ] = 600.0,
    rate: Annotated[
        float | None, option("rate", "At most so many events a second of history.", metavar="N", min=0.001)
    ] = None,
    live: Annotated[bool, option("live", "After history, go on as time passes, until Ctrl-C.")] = False,
    speed: Annotated[
        float, option("speed", "With --live: how fast time passes; 60: an hour in a minute.", metavar="N", min=0.1)
    ] = 1.0,
    partitions: Annotated[int, option("partitions", "Partitions of topics that are made.", metavar="N", min=1)] = 2,
) -> None:
    """Simulate an online retailer: orders and refunds, marketing and sign-ups, tickets, probes, the books.

    The same seed gives the same events. Topics that are missing are made, and what they hold already is not sent again.
    """
    from streamgauge.simulate.business import Business, NotThisBusiness, Settings, sources_of

    if kafka is None and out is None:
        raise usage("give --brokers to send the events, or --out to write them to files")
    if live and out is not None:
        raise usage("--live sends events, --out writes them: give one of the two")
    declared = _catalog(catalog or shipped_catalog("business"))
    try:
        sources = sources_of(declared)
    except NotThisBusiness as error:
        raise refused(str(error)) from error
    now = datetime.now(UTC)
    settings = Settings(_instant(until, now, declared), declared.calendar.timezone, seed, days, orders)
    simulated = Business(settings, sources)
    if out is not None:
        _write(simulated, out)
    elif settings.until > now:
        raise usage(f"--until {until}: history ends in the past; --live goes on from there")
    elif kafka is not None:
        with reaching_kafka(kafka):
            asyncio.run(_send(simulated, declared, kafka, rate, live=live, speed=speed, partitions=partitions))


app.command("business", epilog="Example: streamgauge simulate business --days 90 --until 2026-11-01 --out events")(
    business
)


def _catalog(path: Path) -> Catalog:
    """What it says that is not yet active is the worker's matter, not the sender's."""
    return without_problems(path, replace(loaded_catalog(path), notices=()))


def _instant(text: str, now: datetime, catalog: Catalog) -> datetime:
    """A time without a zone is one of the catalog's."""
    from engine.event_time.zones import zone
    from streamgauge.simulate.business import EPOCH
    from streamgauge.simulate.days import instant_us

    if text == NOW:
        return now.replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise usage(f"--until {text}: write a time, as 2026-11-01 or 2026-11-01T12:00:00Z, or now") from error
    if found.tzinfo is not None:
        return found.astimezone(UTC)
    return EPOCH + timedelta(microseconds=instant_us(zone(catalog.calendar.timezone), found))


def _write(simulated: Business, folder: Path) -> None:
    from streamgauge.cli.progress import pace, sending_progress
    from streamgauge.simulate.files import write_history

    began, events = time.monotonic(), 0
    with sending_progress() as progress:
        bar = progress.add_task("history", total=simulated.settings.days + 1, speed="")
        for written in write_history(simulated, folder):
            events += written
            progress.update(bar, advance=1, speed=pace(events, time.monotonic() - began))
    say(f"wrote {counted(events, 'event')} to {counted(len(simulated.wanted), 'file')} in {folder}")


async def _send(
    simulated: Business,
    catalog: Catalog,
    kafka: KafkaAddress,
    rate: float | None,
    *,
    live: bool,
    speed: float,
    partitions: int,
) -> None:
    from streamgauge.cli.progress import pace, sending_progress
    from streamgauge.sending.partitions import UnknownTopic
    from streamgauge.simulate.business import sources_of
    from streamgauge.simulate.sending import Sending, TooFarAhead
    from streams.topics import ensure_topics

    await ensure_topics(catalog, kafka.brokers, kafka.security, partitions=partitions)
    began = time.monotonic()
    sending = Sending(simulated, sources_of(catalog), kafka, rate, speed)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, sending.stopping.set)
    with sending_progress() as progress:
        bar = progress.add_task("history", total=simulated.settings.days + 1, speed="")

        history_is_told = not live or not progress.disable  # the bar says it

        def show(told: Sending) -> None:
            nonlocal history_is_told
            over = told.days > simulated.settings.days
            if over and not history_is_told:
                history_is_told = True
                lasted = time.monotonic() - began
                say(f"history: {counted(told.sent, 'event')} sent in {lasted:.1f} s; goes on as time passes")
            speed = f"{told.sent:,} events" if over else pace(told.sent, time.monotonic() - began)
            progress.update(bar, completed=told.days, description="live" if live and over else "history", speed=speed)

        sending.told = show
        try:
            await sending.run(live=live)
        except (UnknownTopic, TooFarAhead) as error:
            raise refused(str(error)) from error
    say(f"sent {counted(sending.sent, 'event')} in {time.monotonic() - began:.1f} s")
