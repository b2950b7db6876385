"""Who is measured: how each is started, and how its results read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec

from streamgauge.services import free_port
from tests.bench.collecting import Decode, Reading
from tests.bench.orders import REGIONS, By

HERE = Path(__file__).parent
_JOBS = HERE / "kstreams"
_REGION = {name: number for number, name in enumerate(REGIONS)}
HEAPS: Mapping[By, str] = {"region": "2g", "customer": "4g"}


@dataclass(frozen=True)
class Setting:
    """One run: where to read and write, under which name, with a folder of its own."""

    brokers: str
    redis: str
    topic: str
    name: str
    by: By
    folder: Path
    partitions: int = 2


class Contender(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def parts(self) -> tuple[str, ...]: ...
    def out(self, setting: Setting) -> str:
        """The topic of its results; made before it starts, unless ``prepare`` makes it."""
        ...

    def prepare(self, setting: Setting) -> Sequence[str]:
        """What need not be measured; returns topics to be made."""
        ...

    def commands(self, setting: Setting) -> Sequence[tuple[Sequence[str], Mapping[str, str]]]:
        """One command and environment per process."""
        ...

    def decode(self, setting: Setting) -> Decode: ...


# -- Kafka Streams


class _Tally(msgspec.Struct):
    window_start: int
    count: int
    sum: float
    region: str | None = None
    customer_id: int | None = None
    avg: float | None = None


def _tallies() -> Decode:
    decoder = msgspec.json.Decoder(_Tally)

    def decode(value: bytes) -> Iterable[Reading]:
        tally = decoder.decode(value)
        key = _REGION[tally.region] if tally.region is not None else tally.customer_id
        assert key is not None
        yield "count", key, tally.window_start, tally.count
        yield "sum", key, tally.window_start, round(tally.sum * 100)
        if tally.avg is not None:
            yield "average", key, tally.window_start, tally.avg * 100

    return decode


def built_jobs() -> Path:
    """The jar of the jobs here, built with Maven where it is missing or older than its sources."""
    jar = _JOBS / "target" / "bench-kstreams.jar"
    sources = [_JOBS / "pom.xml", *_JOBS.glob("src/**/*.java")]
    if jar.exists() and jar.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return jar
    maven = shutil.which("mvn")
    if maven is None:
        raise FileNotFoundError("Maven (mvn) is needed to build the Kafka Streams jobs")
    subprocess.run([maven, "-q", "package"], cwd=_JOBS, check=True)
    return jar


@dataclass(frozen=True)
class KafkaStreams:
    """The jobs in ``kstreams/``."""

    name: str = "Kafka Streams"
    parts: tuple[str, ...] = ("count", "sum")
    settings: Mapping[str, str] = field(default_factory=dict)

    def out(self, setting: Setting) -> str:
        return f"{setting.name}.out"

    def prepare(self, setting: Setting) -> Sequence[str]:
        built_jobs()
        return [self.out(setting)]

    def commands(self, setting: Setting) -> Sequence[tuple[Sequence[str], Mapping[str, str]]]:
        command = (*_java(setting.by), "-cp", str(built_jobs()), "bench.MinuteTallies", setting.by)
        return [(command, {**_streams_environment(setting, self.out(setting)), **self.settings})]

    def decode(self, setting: Setting) -> Decode:
        return _tallies()


@dataclass(frozen=True)
class OtherJar:
    """Another jar with jobs of the same environment variables and results, to check ours against."""

    jar: Path
    classes: Mapping[By, str]
    name: str = "other jar"
    parts: tuple[str, ...] = ("count", "sum")
    settings: Mapping[str, str] = field(default_factory=dict)

    def out(self, setting: Setting) -> str:
        return f"{setting.name}.out"

    def prepare(self, setting: Setting) -> Sequence[str]:
        return [self.out(setting)]

    def commands(self, setting: Setting) -> Sequence[tuple[Sequence[str], Mapping[str, str]]]:
        command = (*_java(setting.by), "-cp", str(self.jar), self.classes[setting.by])
        return [(command, {**_streams_environment(setting, self.out(setting)), "STORE": "mem", **self.settings})]

    def decode(self, setting: Setting) -> Decode:
        return _tallies()


def _java(by: By) -> Sequence[str]:
    java = shutil.which("java")
    if java is None:
        raise FileNotFoundError("a Java (17 or newer) is needed on PATH to run the Kafka Streams jobs")
    return java, f"-Xms{HEAPS[by]}", f"-Xmx{HEAPS[by]}", "-XX:+UseParallelGC"


def _streams_environment(setting: Setting, out: str) -> dict[str, str]:
    return {
        "BROKERS": setting.brokers,
        "TOPIC": setting.topic,
        "OUT": out,
        "GROUP": setting.name,
        "STATE_DIR": str(setting.folder / "state"),
        "THREADS": "2",
        "COMMIT_MS": "1000",
        "CACHE_MB": "512" if setting.by == "customer" else "10",
    }


# -- Streamgauge


_OPEN = b'"state":"open"'


class _Window(msgspec.Struct):
    start: str


class _Value(msgspec.Struct):
    kpi: str
    dims: dict[str, str | int | None]
    window: _Window
    state: str
    value: float | None


@lru_cache(maxsize=10_000)
def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass(frozen=True)
class Streamgauge:
    """A worker (or several) on a catalog of ``catalogs/``; its closed values of the KPIs count, sum and average are
    counted."""

    catalog: str
    name: str = "Streamgauge"
    parts: tuple[str, ...] = ("count", "sum")
    workers: int = 1
    redis: bool = False  # a Kafka Streams job writes to Kafka only

    def out(self, setting: Setting) -> str:
        return f"{setting.name}.values"

    def prepare(self, setting: Setting) -> Sequence[str]:
        template = (HERE / "catalogs" / f"{self.catalog}.yaml").read_text(encoding="utf-8")
        self._catalog(setting).write_text(template.format(name=setting.name, topic=setting.topic), encoding="utf-8")
        command = [*streamgauge(), "topics", str(self._catalog(setting)), "--brokers", setting.brokers]
        subprocess.run([*command, "--partitions", str(setting.partitions)], check=True, stdout=subprocess.DEVNULL)
        return []

    def commands(self, setting: Setting) -> Sequence[tuple[Sequence[str], Mapping[str, str]]]:
        given = ("--brokers", setting.brokers, *(("--redis", setting.redis) if self.redis else ()))
        command = (*streamgauge(), "worker", str(self._catalog(setting)), *given)
        ports: list[int] = []
        for _ in range(self.workers):
            ports.append(free_port(0, frozenset(ports)))
        return [
            ((*command, "--data-dir", str(setting.folder / f"worker-{n}"), "--port", str(port)), {})
            for n, port in enumerate(ports)
        ]

    def decode(self, setting: Setting) -> Decode:
        decoder = msgspec.json.Decoder(_Value)
        dimension: Callable[[_Value], int] = (
            (lambda value: _REGION.get(str(value.dims["region"]), -1))
            if setting.by == "region"
            else (lambda value: int(value.dims["customer_id"] or 0))
        )

        def decode(record: bytes) -> Iterable[Reading]:
            if _OPEN in record:
                return
            value = decoder.decode(record)
            if value.kpi in self.parts and value.value is not None:
                cents = value.value if value.kpi == "count" else value.value * 100
                number = cents if value.kpi == "average" else round(cents)
                yield value.kpi, dimension(value), _epoch_ms(value.window.start), number

        return decode

    def _catalog(self, setting: Setting) -> Path:
        return setting.folder / "catalog.yaml"


def streamgauge() -> Sequence[str]:
    """The command, of the environment this runs in."""
    beside = Path(sys.executable).with_name("streamgauge")
    found = str(beside) if beside.exists() else shutil.which("streamgauge", path=os.environ.get("PATH"))
    if found is None:
        raise FileNotFoundError("the command streamgauge is not installed: run make setup")
    return (found,)
