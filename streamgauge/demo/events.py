"""Sending the year: history at once, then the tail as time passes."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.catalog.model import Catalog, Source
from streamgauge import retail
from streamgauge.demo import DemoError
from streamgauge.demo.waiting import came
from streamgauge.sending.partitions import partition_ends
from streamgauge.sending.shifting import Shift, weeks_until
from streamgauge.settings import KafkaAddress
from streams.producing import BulkWriter, Pair, Place

SOURCE = "till_lines"
LINES_AT_ONCE = 20_000
TAIL_SECONDS = 0.25
WRITE_SECONDS = 60.0
QUIET = timedelta(minutes=30)


def retail_source(catalog: Catalog) -> Source:
    """The source that the demo's events are for. Raises DemoError."""
    source = catalog.sources.get(SOURCE)
    if source is None or source.event_time is None or source.fields[source.event_time].path != retail.TIME_FIELD.path:
        raise DemoError(
            f"the demo's events need a source named {SOURCE} with event_time sold_at, as in {retail.catalog_path()}; "
            f"catalog {catalog.name} has {', '.join(catalog.sources)}"
        )
    return source


def kept_lines(folder: Path, now: datetime, days: float | None) -> retail.TillLines:
    """The year's lines, or those of its last so many days before `now` and after it.

    By how much they are moved, and where they begin, is chosen at the first start in `folder`, and the same ever after.
    """
    year, path = retail.till_lines(folder), folder / "shift.json"
    if path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            weeks, first = int(kept["weeks"]), int(kept["first"])
        except (ValueError, KeyError, TypeError) as error:
            raise DemoError(f"{path} is damaged; remove {folder.parent} to start afresh") from error
        return retail.TillLines.open(year, Shift(retail.TIME_FIELD, weeks), first)
    weeks = weeks_until(retail.last_sold(year), now)
    lines = retail.TillLines.open(year, Shift(retail.TIME_FIELD, weeks))
    first = lines.sold_before(now - timedelta(days=days)) if days else 0
    path.write_text(json.dumps({"weeks": weeks, "first": first}) + "\n", encoding="utf-8")
    return retail.TillLines.open(year, lines.shift, first)


@dataclass
class Sending:
    """How far the events are, for the screen."""

    lines: retail.TillLines
    sent: int = 0
    phase: str = "history"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


async def send_lines(sending: Sending, topic: str, kafka: KafkaAddress, speed: float) -> None:
    """Sends history as fast as it goes, then the tail at `speed` times the clock; returns after the last line."""
    lines, held = sending.lines, await partition_ends(topic, kafka)
    following = [retail.next_line(partition, length, len(held)) for partition, length in enumerate(held)]
    position, sending.sent = min(following), sum(held)

    def parts(start: int, stop: int) -> dict[Place, list[Pair]]:
        values = lines.values(start, stop)
        found: dict[Place, list[Pair]] = {}
        for partition, first, end in retail.partition_runs(start, stop, len(held)):
            wanted = (
                values[max(first, following[partition]) - start : end - start] if end > following[partition] else []
            )
            found.setdefault((topic, partition), []).extend((None, value) for value in wanted)
        return found

    def prepare(start: int, stop: int) -> asyncio.Future[dict[Place, list[Pair]]]:
        return asyncio.ensure_future(asyncio.to_thread(parts, start, min(stop, start + LINES_AT_ONCE)))

    async with BulkWriter(kafka.brokers, kafka.security, timeout=WRITE_SECONDS, client_id="streamgauge-demo") as writer:

        async def up_to(stop: int) -> None:
            """While some lines are under way, the next ones are prepared: that is polars' work, in a thread."""
            nonlocal position
            prepared = prepare(position, stop)
            while position < stop and not sending.stopping.is_set():
                found = await prepared
                position = min(stop, position + LINES_AT_ONCE)
                prepared = prepare(position, stop)
                await writer.write(found)
                sending.sent += sum(map(len, found.values()))

        began, clock = datetime.now(UTC), time.monotonic()
        await up_to(lines.sold_before(began))
        # A faster clock goes on from the next line: where it was when it was stopped, and not through closed hours.
        start, clock = (began, clock) if speed == 1 else (max(began, lines.sold_at(position)), time.monotonic())
        while position < lines.rows and not await came(sending.stopping, TAIL_SECONDS):
            now = start + timedelta(seconds=(time.monotonic() - clock) * speed)
            await up_to(lines.sold_before(now))
            sending.phase = _live(lines.sold_at(position), now, speed)
        if position == lines.rows:
            sending.phase = "the year's last line is sent"


def _live(following: datetime, now: datetime, speed: float) -> str:
    """What is going on while time passes; of a till that is silent for long, when it goes on."""
    pace = "live" if speed == 1 else f"live, {speed:g} times as fast"
    if following - now < max(QUIET, timedelta(seconds=15) * speed):
        return pace
    return f"{pace}; shops are closed until {following.astimezone(ZoneInfo(retail.TIMEZONE)):%a %d %b %H:%M}"
