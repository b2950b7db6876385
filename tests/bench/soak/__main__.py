"""`python -m tests.bench.soak --for SECONDS`: exit 0 when every number is right."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis.asyncio import Redis

from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from sinks.names import dead_letter_topic, values_topic
from sinks.redis import reading
from streamgauge import retail
from streamgauge.catalog_files import catalog_texts
from streamgauge.demo.events import retail_source
from streamgauge.sending.shifting import WEEK, Shift
from streamgauge.services import free_port
from streams.producing import BulkWriter, WriteFailed
from streams.topics import ensure_topics
from tests.bench.soak.answers import Published, Reader, dead_letters, expected
from tests.bench.soak.faults import Faults, Service, WorkerProcess, keep_running, make_trouble, workers
from tests.bench.soak.lines import Kind, Traffic, traffic

REPORT = Path(__file__).parents[3] / "docs" / "soak-results.md"
LOGS = Path(__file__).parents[1] / "results"
PARTITIONS = 4
WORKERS = 2
CHUNK = 2_000
SETTLE_SECONDS = 300.0
REDIS_KEEPS_US = 7 * 24 * 3600 * 1_000_000
SILENT_SECONDS = 100.0  # beyond which nothing comes any more: idle_after is one minute
_SHARE_SENDING = 0.9


@dataclass
class Outcome:
    """What a run came to. Empty `wrong` means that every number was right."""

    seconds: float
    traffic: Traffic
    faults: Faults
    sent_again: int
    settled: float = 0.0
    compared: int = 0
    published: Published = field(default_factory=Published)
    letters: dict[str, int] = field(default_factory=dict)
    tracebacks: int = 0
    peak_bytes: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--for", dest="seconds", type=float, default=3600.0, help="how long events and faults go on")
    parser.add_argument("--pause", type=float, default=12.0, help="seconds between faults, on average; 0 for none")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the faults and the events' order")
    parser.add_argument("--data-dir", type=Path, help="a new folder, kept afterwards with the logs")
    parser.add_argument("--no-report", action="store_true", help="do not append to docs/soak-results.md")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says much while Kafka is away
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamgauge-soak-"))
        folder = options.data_dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(_run(folder, options.seconds, options.pause, options.seed))
        (folder / "faults.log").write_text("\n".join(outcome.faults.events) + "\n", encoding="utf-8")
        if outcome.wrong and options.data_dir is None:
            kept = LOGS / time.strftime("soak-%Y%m%dT%H%M%S")
            kept.mkdir(parents=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, kept)
            sys.stderr.write(f"the logs of workers and faults are in {kept}\n")
    text = _report(outcome, options.seed)
    sys.stdout.write(text)
    if not options.no_report:
        before = REPORT.read_text(encoding="utf-8") if REPORT.exists() else "# Soak runs\n\nWritten by `make soak`.\n"
        REPORT.write_text(before + text, encoding="utf-8")
    sys.exit(1 if outcome.wrong else 0)


async def _run(folder: Path, seconds: float, pause: float, seed: int) -> Outcome:
    path = retail.till_lines(folder / "retail")
    now = datetime.now(UTC)
    # The last line lies in the past, so that silence at the end closes what is left.
    shift = Shift(retail.TIME_FIELD, (now - timedelta(days=1) - retail.last_sold(path)) // WEEK)
    lines = retail.TillLines.open(path, shift)
    made = traffic(lines, PARTITIONS, seed)
    catalog = _catalog()
    topic = retail_source(catalog).topic
    kafka = Service("Kafka", folder / "services", free_port(0))
    valkey = Service("Valkey", folder / "services", free_port(0, frozenset({kafka.port})))
    faults = Faults()
    brokers, redis = f"127.0.0.1:{kafka.port}", f"redis://127.0.0.1:{valkey.port}/0"
    running = workers(WORKERS, retail.catalog_path(), brokers, redis, folder)
    outcome = Outcome(seconds, made, faults, 0)
    with ExitStack() as stack:
        for service in (kafka, valkey):
            service.start()
            stack.callback(service.stop)
        await ensure_topics(catalog, brokers, partitions=PARTITIONS, replication=1)
        for worker in running:
            worker.start()
            stack.callback(_end, worker)
        keeping = asyncio.create_task(keep_running(running, faults))
        troubling = asyncio.create_task(_trouble(running, kafka, valkey, faults, pause, seed))
        try:
            outcome.sent_again = await _send(made, topic, brokers, seconds * _SHARE_SENDING, faults)
            await asyncio.sleep(max(0.0, seconds - (time.monotonic() - faults.began)))
        finally:
            troubling.cancel()
            await asyncio.gather(troubling, return_exceptions=True)
        faults.tell("all is sent, no more faults")
        await _check(outcome, lines, catalog, (brokers, redis))
        if keeping.done():
            keeping.result()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        outcome.peak_bytes = max(worker.peak_bytes for worker in running)
        outcome.tracebacks = sum(worker.log.read_text(errors="replace").count("Traceback") for worker in running)
    return outcome


def _catalog() -> Catalog:
    loaded = parse(catalog_texts(retail.catalog_path())).catalog
    assert loaded is not None
    return loaded


async def _trouble(
    running: list[WorkerProcess], kafka: Service, valkey: Service, faults: Faults, pause: float, seed: int
) -> None:
    if pause:
        try:
            await make_trouble(running, kafka, valkey, faults, pause, seed)
        finally:
            for worker in running:
                worker.signal(signal.SIGCONT)
            for service in (kafka, valkey):
                await asyncio.to_thread(service.until_up)


def _end(worker: WorkerProcess) -> None:
    worker.wanted = False
    worker.process.terminate()
    try:
        worker.process.wait(15)
    except subprocess.TimeoutExpired:
        worker.process.kill()


async def _send(made: Traffic, topic: str, brokers: str, seconds: float, faults: Faults) -> int:
    """Everything, at a steady pace over `seconds`; how many events were sent again since nobody knew."""
    began, sent, again = time.monotonic(), 0, 0
    writer: BulkWriter | None = None
    for parts in made.chunks(CHUNK):
        while True:
            try:
                if writer is None:
                    writer = BulkWriter(brokers, timeout=90, client_id="soak")
                    await writer.start()
                await writer.write({(topic, partition): pairs for partition, pairs in parts.items()})
                break
            except (WriteFailed, OSError) as error:
                faults.tell(f"sending failed, and is done again: {error}")
                again += sum(map(len, parts.values()))
                writer = None
                await asyncio.sleep(1)
        sent += sum(map(len, parts.values()))
        await asyncio.sleep(max(0.0, began + seconds * sent / made.events - time.monotonic()))
    if writer is not None:
        await writer.stop()
    return again


async def _check(outcome: Outcome, lines: retail.TillLines, catalog: Catalog, at: tuple[str, str]) -> None:
    brokers, redis = at
    answers = await asyncio.to_thread(expected, lines, datetime.now(UTC) - timedelta(minutes=10))
    outcome.compared = len(answers)
    began = last = time.monotonic()
    reader = Reader(brokers, values_topic(catalog.name), PARTITIONS)
    outcome.published = reader.published
    try:
        while True:
            came = await asyncio.to_thread(reader.further)
            now = time.monotonic()
            last = now if came else last
            if not reader.published.differences(answers) or now - began > SETTLE_SECONDS or now - last > SILENT_SECONDS:
                break
            await asyncio.sleep(0.2 if came else 1.0)
        outcome.settled = time.monotonic() - began
        await asyncio.sleep(5)  # whether it stays so
        await asyncio.to_thread(reader.further)
        outcome.wrong += reader.published.differences(answers)
        of_redis = await _redis_differences(catalog, redis, reader)
    finally:
        reader.close()
    topic = retail_source(catalog).topic
    outcome.letters = await asyncio.to_thread(dead_letters, brokers, dead_letter_topic(topic), PARTITIONS)
    refused = sum(outcome.letters.values())
    meant = outcome.traffic.count(Kind.LATE) + outcome.traffic.count(Kind.BAD)
    if refused != meant and not outcome.sent_again:
        outcome.wrong.append(f"{refused} dead letters, expected {meant}: {outcome.letters}")
    outcome.wrong += of_redis


async def _redis_differences(catalog: Catalog, url: str, reader: Reader, seconds: float = 30.0) -> list[str]:
    """Where Redis does not show the newest value of a series within `seconds`. Series that ended long before the
    newest window of their KPI may be gone from there."""
    began = time.monotonic()
    async with Redis.from_url(url) as redis:
        while True:
            await asyncio.to_thread(reader.further)
            wrong = []
            for kpi in catalog.kpis:
                shown = {_dims(value["dims"]): value for value in await reading.current(redis, catalog.name, kpi)}
                series = [found for (name, _), found in reader.published.series.items() if name == kpi]
                newest = max((order for order, _ in series), default=(0, 0, 0))[0]
                for (end, _, _), value in series:
                    found = shown.get(_dims(value.dims))
                    if found is None and end < newest - REDIS_KEEPS_US:
                        continue
                    if found is None or (found["value"], found["progress"]) != (value.value, value.progress):
                        wrong.append(f"Redis, {kpi} {value.dims}: {found and found['value']}, expected {value.value}")
            if not wrong or time.monotonic() - began > seconds:
                return wrong
            await asyncio.sleep(0.5)


def _dims(dims: dict[str, str | int | None]) -> tuple[tuple[str, str | int | None], ...]:
    return tuple(dims.items())


def _report(outcome: Outcome, seed: int) -> str:
    made, faults, published = outcome.traffic, outcome.faults, outcome.published
    day = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"\n## {day}, {outcome.seconds:.0f} s: {'every number right' if not outcome.wrong else 'WRONG'}\n",
        f"- {made.count(Kind.LINE):,} lines, {made.count(Kind.AGAIN):,} of them twice; {made.count(Kind.LATE):,} too "
        f"late, {made.count(Kind.BAD):,} unreadable; {outcome.sent_again:,} events sent again after a failed write; "
        f"seed {seed}",
        f"- {WORKERS} workers, {PARTITIONS} partitions; faults: "
        + (", ".join(f"{count} x {kind}" for kind, count in sorted(faults.done.items())) or "none"),
        f"- {outcome.compared:,} closed windows compared with DuckDB, {published.records:,} values published "
        f"({published.went_back:,} older than one before), right {outcome.settled:.1f} s after the last fault",
        f"- dead letters: {', '.join(f'{count:,} {reason}' for reason, count in sorted(outcome.letters.items()))}",
        f"- most memory of a worker: {outcome.peak_bytes / 2**20:.0f} MiB; tracebacks in logs: {outcome.tracebacks}",
    ]
    lines += [f"- a worker ended by itself {count} times, {what}" for what, count in faults.endings.most_common(12)]
    lines += [f"- {text}" for text in faults.slow_ends[:12]]
    lines += [f"- **wrong**: {text}" for text in outcome.wrong[:20]]
    if len(outcome.wrong) > 20:
        lines.append(f"- **wrong**: {len(outcome.wrong) - 20} more")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
