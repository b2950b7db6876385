"""``make bench``: Streamgauge beside Kafka Streams on one real Kafka, and what else is promised in numbers.

Prints tables and writes a JSON file with every run. The machine's speed drifts: compare only within one file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streamgauge.services import embedded_services
from tests.bench.comparing import Place, Topics, compare, contenders_of, jobs, shown, table_of
from tests.bench.contenders import HERE
from tests.bench.latency import PACE, measure_latency
from tests.bench.measuring import spread
from tests.bench.recovery import measure_recovery
from tests.bench.retail_year import retailer
from tests.bench.serving import REQUESTS_PER_SECOND, SERIES, STREAMS, measure_serving

_WIDTH = 130
_LATENCY_SECONDS = 45.0
_SERIES_PANES = 1_000_000
_SERVE_SECONDS = 30.0
_SMALLER = 10
Measured = tuple[dict[str, Any], Table]


def main(arguments: Sequence[str] | None = None) -> None:
    others: dict[str, Callable[[Place, bool], Measured]] = {
        "latency": _latency,
        "recovery": _recovery,
        "retail": _retail,
        "serve": _serve,
    }
    comparisons = {job.name: job for job in jobs()}
    options = _options([*comparisons, *others]).parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(stderr=True)
    results: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "turns": options.turns,
    }
    began = time.monotonic()
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamgauge-bench-"))
        folder = options.data_dir or Path(temporary)
        services = stack.enter_context(
            embedded_services(folder / "services", kafka_port=0, redis_port=0, heap="1g", tell=console.print)
        )
        assert services.kafka is not None and services.redis is not None
        place = Place(services.kafka, services.redis, folder, options.turns, console.print)
        topics = Topics(place)
        for name in options.names or [*comparisons, *others]:
            if name in comparisons:
                job = comparisons[name]
                if options.small:
                    job = dataclasses.replace(job, sizes=(job.sizes[0] // _SMALLER, job.sizes[1] // _SMALLER))
                if options.sizes:
                    job = dataclasses.replace(job, sizes=tuple(options.sizes))
                contenders = contenders_of(job, options.only, options.other_jar)
                if not contenders:
                    continue
                results[name] = compare(job, contenders, topics)
                table = table_of(results[name])
            else:
                results[name], table = others[name](place, options.small)
            Console(width=_WIDTH).print(table)
            results["minutes"] = round((time.monotonic() - began) / 60, 1)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {options.out}, after {results.get('minutes', 0)} minutes")


def _options(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure, of {', '.join(names)}; default all")
    parser.add_argument("--turns", type=int, default=3, help="how often each contender runs")
    parser.add_argument("--small", action="store_true", help="a tenth of the sizes: to see that it works")
    parser.add_argument("--sizes", type=int, nargs=2, metavar="N", help="two numbers of events for all comparisons")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this contender (repeatable)")
    parser.add_argument("--other-jar", type=Path, metavar="JAR", help="also run the Kafka Streams jobs of another jar")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="a new folder, kept afterwards with the logs")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "bench.json", help="where the numbers go")
    return parser


def _latency(place: Place, small: bool) -> Measured:
    runs = []
    for turn in range(place.turns):
        seconds = _LATENCY_SECONDS / (3 if small else 1)
        name = f"bench-latency-{turn}"
        found = measure_latency(place.brokers, place.redis, name, place.folder / name, seconds)
        place.tell(f"latency turn {turn + 1}: p50 {found.p50 * 1000:.0f} ms, p99 {found.p99 * 1000:.0f} ms")
        runs.append(dataclasses.asdict(found))
    summary = _spreads(runs, "p50", "p99", "highest", "cpu_share", "memory")
    table = Table(title=f"From sending to Redis at {PACE:,} events/s (median of runs, lowest to highest)")
    _rows(
        table,
        summary,
        {
            "p50": ("p50, ms", ",.0f", 1e3),
            "p99": ("p99, ms", ",.0f", 1e3),
            "highest": ("highest, ms", ",.0f", 1e3),
            "cpu_share": ("cores used", ".2f", 1.0),
            "memory": ("MiB", ",.0f", 2**-20),
        },
    )
    return summary, table


def _recovery(place: Place, small: bool) -> Measured:
    name = "bench-recovery"
    panes = _SERIES_PANES // (_SMALLER if small else 1)
    found = measure_recovery(place.brokers, name, place.folder / name, panes, place.turns)
    for run in found:
        place.tell(f"ready after {run.seconds:.1f} s, {run.empty:.1f} s with nothing: {'; '.join(run.log)}")
    summary = _spreads([dataclasses.asdict(run) for run in found], "seconds", "empty", "memory")
    table = Table(title=f"From a process's start to ready, with {found[0].series_panes:,} series-panes to take up")
    _rows(
        table,
        summary,
        {
            "seconds": ("ready, s", ".1f", 1.0),
            "empty": ("ready with no state, s", ".1f", 1.0),
            "memory": ("MiB", ",.0f", 2**-20),
        },
    )
    return summary, table


def _retail(place: Place, small: bool) -> Measured:
    year = retailer(place.brokers, place.redis, place.folder / "retail")
    year.prepare(place.folder / "retail-year")
    answers, runs = year.answers(), []
    for turn in range(1 if small else place.turns):
        name = f"bench-retail-{turn}"
        found = year.run(name, place.folder / name, answers, redis=True)
        place.tell(f"retail turn {turn + 1}: {found.wall:.1f} s, {found.cpu:.1f} s CPU, {found.values:,} values")
        runs.append(dataclasses.asdict(found))
    summary = _spreads(runs, "wall", "cpu", "memory", "values")
    table = Table(title=f"{year.lines.rows:,} retail lines, all KPIs, one worker with Redis, start-up included")
    _rows(
        table,
        summary,
        {
            "wall": ("until the last closed value, s", ".1f", 1.0),
            "cpu": ("CPU, s", ".1f", 1.0),
            "values": ("values", ",.0f", 1.0),
            "memory": ("MiB", ",.0f", 2**-20),
        },
    )
    return summary, table


def _serve(place: Place, small: bool) -> Measured:
    asked, followed = [], []
    for turn in range(place.turns):
        seconds = _SERVE_SECONDS / (3 if small else 1)
        answering, streaming = measure_serving(place.redis, place.folder / f"bench-serve-{turn}", seconds)
        place.tell(
            f"serve turn {turn + 1}: p99 {answering.p99 * 1000:.1f} ms, "
            f"of /livez {answering.beside_p99 * 1000:.1f} ms; "
            f"{streaming.memory / 2**20:.0f} MiB with {streaming.streams:,} streams"
        )
        asked.append(dataclasses.asdict(answering))
        followed.append(dataclasses.asdict(streaming))
    summary = {
        "answering": _spreads(asked, "p50", "p99", "highest", "beside_p99", "cpu_share", "memory"),
        "streaming": _spreads(followed, "memory_before", "memory", "cpu_share", "values"),
    }
    table = Table(
        title=f"{SERIES:,} values {REQUESTS_PER_SECOND} times a second while all change twice a second; "
        f"then {STREAMS:,} streams"
    )
    answers, streams = summary["answering"], summary["streaming"]
    columns = {
        "p50, ms": shown(answers["p50"], ",.1f", 1e3),
        "p99, ms": shown(answers["p99"], ",.1f", 1e3),
        "p99 of /livez": shown(answers["beside_p99"], ",.1f", 1e3),
        "cores": shown(answers["cpu_share"], ".2f", 1.0),
        "MiB": shown(answers["memory"], ",.0f", 2**-20),
        "cores, streams": shown(streams["cpu_share"], ".2f", 1.0),
        "MiB, streams": shown(streams["memory"], ",.0f", 2**-20),
    }
    for title in columns:
        table.add_column(title, justify="right")
    table.add_row(*columns.values())
    return summary, table


def _spreads(runs: Sequence[dict[str, Any]], *names: str) -> dict[str, Any]:
    return {**{name: spread([float(run[name]) for run in runs]) for name in names}, "runs": runs}


def _rows(table: Table, summary: dict[str, Any], columns: dict[str, tuple[str, str, float]]) -> None:
    for title, _, _ in columns.values():
        table.add_column(title, justify="right")
    table.add_row(*(shown(summary[name], form, scale) for name, (_, form, scale) in columns.items()))


if __name__ == "__main__":
    main()
