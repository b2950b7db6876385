"""Streamgauge beside Kafka Streams, and beside itself, on one real Kafka, in turns: the slope between two sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.contenders import Contender, KafkaStreams, OtherJar, Setting, Streamgauge
from tests.bench.loading import load
from tests.bench.measuring import Measurement, Slope, measure, ratios, run_folder, slope, spread
from tests.bench.orders import MINUTE_MS, By, Expected, Orders

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
            (
                KafkaStreams(parts=three),
                Streamgauge("few", parts=three),
                Streamgauge("few", "Streamgauge with Redis", three, redis=True),
            ),
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


@dataclass(frozen=True)
class Place:
    """Where the runs take place, and how many turns each contender has."""

    brokers: str
    redis: str
    folder: Path
    turns: int
    tell: Callable[[str], None]


@dataclass
class Topics:
    """Filled topics, shared by the jobs."""

    place: Place
    loaded: dict[tuple[By, int], tuple[str, Expected]] = field(default_factory=dict)

    def of(self, by: By, size: int) -> tuple[str, Expected]:
        if (by, size) not in self.loaded:
            self.place.tell(f"loading {size:,} orders by {by}")
            topic = f"orders-{by}-{size}"
            base = (int(time.time() * 1000) - 15 * MINUTE_MS) // MINUTE_MS * MINUTE_MS
            self.loaded[by, size] = topic, load(self.place.brokers, topic, Orders(by, size, base))
        return self.loaded[by, size]


def compare(job: Job, contenders: Sequence[Contender], topics: Topics) -> dict[str, Any]:
    """Runs the contenders in turns over both sizes; the summary with every run in it."""
    place = topics.place
    loaded = [(size, *topics.of(job.by, size)) for size in job.sizes]
    runs: dict[str, list[tuple[Measurement, Measurement]]] = {contender.name: [] for contender in contenders}
    for turn in range(place.turns):
        first = turn % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            pair = []
            for size, topic, expected in loaded:
                name = f"bench-{job.name}-{contenders.index(contender)}-{turn}-{size}"
                folder = run_folder(place.folder, name)
                setting = Setting(place.brokers, place.redis, topic, name, job.by, folder)
                measured = measure(contender, setting, expected, size)
                place.tell(
                    f"{job.name} turn {turn + 1} {contender.name} {size:,}: {measured.wall:.1f} s, "
                    f"{measured.cpu:.1f} s CPU, {measured.memory / 2**20:.0f} MiB"
                )
                pair.append(measured)
            runs[contender.name].append((pair[0], pair[1]))
    return _summary(job, runs)


def contenders_of(job: Job, only: Collection[str], other_jar: Path | None) -> list[Contender]:
    """Those of `job` with the names `only` (all when empty), and the Kafka Streams jobs of another jar."""
    contenders = [contender for contender in job.contenders if not only or contender.name in only]
    if other_jar is not None and any(isinstance(contender, KafkaStreams) for contender in contenders):
        contenders.append(OtherJar(other_jar, _PEER_CLASSES, parts=contenders[0].parts))
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


def table_of(summary: Mapping[str, Any]) -> Table:
    table = Table(title=f"{summary['title']} (ratios to {summary['against']}; median, lowest to highest)")
    for column in ("", "CPU ratio", "wall ratio", "CPU us/event", "events/s", "MiB"):
        table.add_column(column, justify="right" if column else "left")
    for name, numbers in summary["contenders"].items():
        table.add_row(
            name,
            shown(numbers["cpu_ratio"], ".2f"),
            shown(numbers["wall_ratio"], ".2f"),
            shown(numbers["cpu_us_per_event"], ".2f"),
            shown(numbers["events_per_second"], ",.0f"),
            shown(numbers["memory_bytes"], ",.0f", 2**-20),
        )
    return table


def shown(values: Mapping[str, float], form: str, scale: float = 1.0) -> str:
    """``median (lowest to highest)``."""
    low, high = format(values["min"] * scale, form), format(values["max"] * scale, form)
    return f"{format(values['median'] * scale, form)} ({low} to {high})"
