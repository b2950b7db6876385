"""``python -m tests.bench.run``: Streamgauge beside Kafka Streams, on one real Kafka, in turns.

Prints a table of ratios and writes a JSON file with every run. The machine's speed drifts: compare only within one
file.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streamgauge.services import embedded_services
from tests.bench.contenders import HERE, Contender, KafkaStreams, OtherJar, Setting, Streamgauge
from tests.bench.loading import load
from tests.bench.measuring import Measurement, Slope, measure, ratios, run_folder, slope, spread
from tests.bench.orders import MINUTE_MS, By, Expected, Orders

_WIDTH = 130
_PEER_CLASSES: Mapping[By, str] = {"region": "kpi.Kpi", "customer": "kpi.KpiHc"}


@dataclass(frozen=True)
class Job:
    """What is compared: a kind of orders in two sizes. The first contender is what the others are measured against."""

    name: str
    title: str
    by: By
    sizes: tuple[int, int]
    contenders: tuple[Contender, ...]


def jobs() -> tuple[Job, ...]:
    three = ("count", "sum", "average")
    return (
        Job(
            "few",
            "1-minute windows, 8 regions",
            "region",
            (1_000_000, 9_000_000),
            (KafkaStreams(parts=three), Streamgauge("few", parts=three)),
        ),
        Job(
            "customers",
            "1-minute windows, 100,000 customers",
            "customer",
            (500_000, 2_000_000),
            (KafkaStreams(), Streamgauge("customers")),
        ),
        Job(
            "ten",
            "ten KPIs against one",
            "region",
            (1_000_000, 9_000_000),
            (Streamgauge("one", "one KPI", ("sum",)), Streamgauge("ten", "ten KPIs", ("sum",))),
        ),
        Job(
            "dedupe",
            "each event once against all events",
            "region",
            (1_000_000, 9_000_000),
            (
                Streamgauge("few", "no identity", three),
                Streamgauge("dedupe", "identity, dedupe 10m", three),
            ),
        ),
        Job(
            "workers",
            "two workers against one",
            "region",
            (1_000_000, 9_000_000),
            (Streamgauge("few", "one worker", three), Streamgauge("few", "two workers", three, workers=2)),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options().parse_args(arguments)
    chosen = [job for job in jobs() if job.name in options.jobs]
    console = Console(stderr=True)
    results: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": platform.platform(),
    }
    with (
        tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as folder,
        embedded_services(Path(folder) / "services", kafka_port=0, redis_port=0) as services,
    ):
        assert services.kafka is not None and services.redis is not None
        loaded: dict[tuple[By, int], tuple[str, Expected]] = {}
        for job in chosen:
            sizes = tuple(options.sizes) if options.sizes else job.sizes
            for size in sizes:
                if (job.by, size) not in loaded:
                    console.print(f"loading {size:,} orders by {job.by}")
                    topic = f"orders-{job.by}-{size}"
                    base = (int(time.time() * 1000) - 15 * MINUTE_MS) // MINUTE_MS * MINUTE_MS
                    loaded[job.by, size] = topic, load(services.kafka, topic, Orders(job.by, size, base))
            contenders = _contenders(job, options)
            runs: dict[str, list[tuple[Measurement, Measurement]]] = {contender.name: [] for contender in contenders}
            for turn in range(options.turns):
                for contender in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
                    pair = []
                    for size in sizes:
                        topic, expected = loaded[job.by, size]
                        name = f"bench-{job.name}-{contenders.index(contender)}-{turn}-{size}"
                        setting = Setting(
                            services.kafka, services.redis, topic, name, job.by, run_folder(Path(folder), name)
                        )
                        measured = measure(contender, setting, expected, size)
                        console.print(
                            f"{job.name} turn {turn + 1} {contender.name} {size:,}: {measured.wall:.1f} s, "
                            f"{measured.cpu:.1f} s CPU, {measured.memory / 2**20:.0f} MiB"
                        )
                        pair.append(measured)
                    runs[contender.name].append((pair[0], pair[1]))
            results[job.name] = _summary(job, runs)
            _print(Console(width=_WIDTH), job, results[job.name])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {options.out}")


def _options() -> argparse.ArgumentParser:
    names = [job.name for job in jobs()]
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("jobs", nargs="*", default=["few", "customers"], choices=[*names, []], help="what to measure")
    parser.add_argument("--turns", type=int, default=3, help="how often each contender runs")
    parser.add_argument(
        "--sizes", type=int, nargs=2, metavar="N", help="two numbers of events instead of each job's own"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="only this contender (again for more)")
    parser.add_argument("--other-jar", type=Path, metavar="JAR", help="also run the Kafka Streams jobs of another jar")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "bench.json", help="where the numbers go")
    return parser


def _contenders(job: Job, options: argparse.Namespace) -> list[Contender]:
    contenders = [contender for contender in job.contenders if not options.only or contender.name in options.only]
    if options.other_jar is not None and any(isinstance(contender, KafkaStreams) for contender in contenders):
        contenders.append(OtherJar(options.other_jar, _PEER_CLASSES, parts=contenders[0].parts))
    if not contenders:
        raise SystemExit(
            f"{job.name}: none of {', '.join(contender.name for contender in job.contenders)} was asked for"
        )
    return contenders


def _summary(job: Job, runs: Mapping[str, Sequence[tuple[Measurement, Measurement]]]) -> dict[str, Any]:
    slopes: dict[str, list[Slope]] = {name: [slope(*pair) for pair in pairs] for name, pairs in runs.items()}
    against = next(iter(slopes))
    base = slopes[against]
    return {
        "title": job.title,
        "against": against,
        "contenders": {
            name: {
                "cpu_us_per_event": spread([s.cpu_us for s in mine]),
                "events_per_second": spread([s.events_per_second for s in mine]),
                "memory_bytes": spread([float(s.memory) for s in mine]),
                "cpu_ratio": ratios([s.cpu_us for s in mine], [s.cpu_us for s in base]),
                "wall_ratio": ratios([s.wall_us for s in mine], [s.wall_us for s in base]),
                "runs": [[asdict(measurement) for measurement in pair] for pair in runs[name]],
            }
            for name, mine in slopes.items()
        },
    }


def _print(console: Console, job: Job, summary: Mapping[str, Any]) -> None:
    table = Table(title=f"{job.title} (ratios to {summary['against']}, median, lowest to highest)")
    for column in ("", "CPU ratio", "wall ratio", "CPU us/event", "events/s", "MiB"):
        table.add_column(column, justify="right" if column else "left")

    def shown(values: Mapping[str, float], form: str, scale: float = 1.0) -> str:
        low, high = format(values["min"] * scale, form), format(values["max"] * scale, form)
        return f"{format(values['median'] * scale, form)} ({low} to {high})"

    for name, numbers in summary["contenders"].items():
        table.add_row(
            name,
            shown(numbers["cpu_ratio"], ".2f"),
            shown(numbers["wall_ratio"], ".2f"),
            shown(numbers["cpu_us_per_event"], ".2f"),
            shown(numbers["events_per_second"], ",.0f"),
            shown(numbers["memory_bytes"], ",.0f", 2**-20),
        )
    console.print(table)


if __name__ == "__main__":
    main()
