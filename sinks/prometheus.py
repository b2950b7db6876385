"""What ``/metrics`` of a worker says: the present value of each series it owns, and how the engine does.

KPI values are written as text by columns: 100,000 series through the client library would take half a second of the
event loop at each scrape. They are gauges without a timestamp: a series that moved away is gone at the next scrape.
"""

from __future__ import annotations

import asyncio
import platform
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol, get_args

import polars as pl
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from engine.catalog.model import Catalog
from engine.values import NULL, KpiFacts, ValueRows, has_pace
from sinks import names
from sinks.newest import NewestValues

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_GZIP_WINDOW: Final = 31
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Family:
    """One gauge: its value as text, null where the series has none."""

    name: str
    help: str
    text: pl.Expr
    paced: bool = False  # only of KPIs with pacing


def _number(column: str) -> pl.Expr:
    text = pl.col(column)
    return pl.when(text.cast(pl.Float64, strict=False).is_finite()).then(text)


def _seconds(column: str) -> pl.Expr:
    time_us = pl.col(column)
    whole = (time_us // _MICROSECONDS).cast(pl.String)
    text = pl.when(time_us % _MICROSECONDS == 0).then(whole).otherwise((time_us / _MICROSECONDS).cast(pl.String))
    return pl.when(time_us.abs() < 2**61).then(text)


_FAMILIES: Final = (
    _Family(names.KPI_VALUE, "The KPI's present value.", _number("value")),
    _Family(names.KPI_TARGET, "What the KPI's value should be.", _number("target")),
    _Family(
        names.KPI_STATUS,
        "How the value stands against its target: 0 ok, 1 warning, 2 critical.",
        pl.col("status").replace_strict(names.STATUS_NUMBERS, default=None, return_dtype=pl.String),
    ),
    _Family(
        names.KPI_PACE,
        "The value as a share of what it should be by now, of KPIs with pacing.",
        pl.when(pl.col("pace_share").is_finite()).then(pl.col("pace_share").cast(pl.String)),
        paced=True,
    ),
    _Family(names.KPI_EXPECTED, "What the value should be by now.", _number("pace_expected"), paced=True),
    _Family(names.KPI_FORECAST, "What the value comes to, as it goes.", _number("pace_forecast"), paced=True),
    _Family(names.KPI_SAMPLES, "Events behind the value.", pl.col("samples").cast(pl.String)),
    _Family(
        names.KPI_REVISION,
        "0 while the value's window is open, 1 at its closing, one more with each later change.",
        pl.col("revision").cast(pl.String),
    ),
    _Family(names.KPI_COMPARE_VALUE, "The value of the window it is compared with.", _number("compare_value")),
    _Family(
        names.KPI_COMPARE_CHANGE,
        "The share by which the value differs from the compared one.",
        pl.when(pl.col("compare_change").is_finite()).then(pl.col("compare_change").cast(pl.String)),
    ),
    _Family(names.KPI_WINDOW_END, "End of the value's window, since the epoch.", _seconds("window_end")),
    _Family(names.KPI_WATERMARK, "Event time up to which events have been seen.", _seconds("watermark")),
)


class PrometheusSink:
    """Offer and drop on the event loop; `exposition` is written in a thread, once for all that ask meanwhile."""

    def __init__(self, engine: CollectorRegistry) -> None:
        self._engine = engine
        self._newest = NewestValues()
        self._lock = asyncio.Lock()
        self._version = -1
        self._values = b""

    def offer(self, rows: ValueRows, partition: int = 0) -> None:
        self._newest.offer(rows, partition)

    def drop(self, partition: int) -> None:
        """Stop showing the series of a partition that another process owns from now on."""
        self._newest.drop(partition)

    async def exposition(self, *, gzipped: bool = False) -> bytes:
        """All metrics in Prometheus' text format (`CONTENT_TYPE`)."""
        async with self._lock:
            if self._version != self._newest.version:
                self._version, rows = self._newest.version, self._newest.rows()
                self._values = await asyncio.to_thread(values_text, rows)
            return await asyncio.to_thread(self._text, gzipped)

    def _text(self, gzipped: bool) -> bytes:
        text = self._values + generate_latest(self._engine)
        if not gzipped:
            return text
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
        return packer.compress(text) + packer.flush()


def values_text(newest: Iterable[ValueRows]) -> bytes:
    """The gauges of these values, and ``streamgauge_kpi_info`` of their KPIs."""
    parts: list[bytes] = []
    labelled = [(rows.frame.lazy().select("*", _labels(rows)).collect()) for rows in newest]
    paced = [frame for frame in labelled if has_pace(frame)]
    for family in _FAMILIES:
        lines = [_lines(family, frame) for frame in (paced if family.paced else labelled)]
        if any(lines):
            parts += [f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n".encode(), *lines]
    infos = {rows.kpi.name: _info(rows.kpi) for rows in newest}
    if infos:
        header = f"# HELP {names.KPI_INFO} What the KPI is, in labels.\n# TYPE {names.KPI_INFO} gauge\n"
        parts.append((header + "".join(infos.values())).encode())
    return b"".join(parts)


def _lines(family: _Family, frame: pl.DataFrame) -> bytes:
    line = pl.concat_str(pl.lit(family.name), "_labels", family.text, pl.lit("\n"))
    text = frame.select(line.str.join("", ignore_nulls=True).cast(pl.Binary)).item()
    return text if isinstance(text, bytes) else b""


def _labels(rows: ValueRows) -> pl.Expr:
    """``{kpi="sales",region="EU"} `` of each row; column ``_labels``."""
    parts: list[pl.Expr] = [pl.lit(f'{{{names.KPI_LABEL}="{_escaped(rows.kpi.name)}"')]
    for name, _ in rows.kpi.dimensions:
        texts = rows.frame[f"dim.{name}"]
        value = pl.col(f"dim.{name}").fill_null(NULL)
        if texts.str.contains(r'["\\\n]').any():
            value = value.str.replace_all("\\", "\\\\", literal=True)
            value = value.str.replace_all('"', '\\"', literal=True).str.replace_all("\n", "\\n", literal=True)
        parts += [pl.lit(f',{name}="'), value, pl.lit('"')]
    return pl.concat_str(*parts, pl.lit("} ")).alias("_labels")


def _info(kpi: KpiFacts) -> str:
    facts = {
        "kpi": kpi.name,
        "title": kpi.title,
        "owner": kpi.owner,
        "goal": kpi.goal,
        "category": kpi.category,
        "indicator": kpi.indicator,
        "unit": kpi.unit,
        "favorable": kpi.favorable,
        "definition": kpi.definition,
    }
    labels = ",".join(f'{name}="{_escaped(text or "")}"' for name, text in facts.items())
    return f"{names.KPI_INFO}{{{labels}}} 1\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class WritingSink(Protocol):
    """A sink that counts what became of its rows (`written`, `failed`, `dropped`) and how many wait."""

    @property
    def counts(self) -> SinkCounts: ...
    @property
    def queue_rows(self) -> int: ...


class SinkCounts(Protocol):
    @property
    def written(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def dropped(self) -> int: ...


class EngineMetrics:
    """How the engine does: every metric beside the KPIs, in one registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._sinks: dict[names.SinkName, Callable[[], tuple[SinkCounts, int]]] = {}
        self._events = Counter(names.EVENTS, "Events read.", ("source", "outcome"), registry=registry)
        self._lag = Gauge(
            names.CONSUMER_LAG,
            "Records between the last one read and the log's end.",
            ("topic", "partition"),
            registry=registry,
        )
        self._watermark_delay = Gauge(
            names.WATERMARK_DELAY, "How far the source's watermark is behind the clock.", ("source",), registry=registry
        )
        self.batch_seconds = Histogram(
            names.BATCH_SECONDS, "Time to fold a batch of events.", buckets=_BUCKETS_S, registry=registry
        )
        self.flush_seconds = Histogram(
            names.FLUSH_SECONDS, "Time until a flush was acknowledged.", buckets=_BUCKETS_S, registry=registry
        )
        self._series = Gauge(names.SERIES, "Series of the KPI that this worker owns.", ("kpi",), registry=registry)
        self._folded = Counter(
            names.SERIES_FOLDED, "Series folded into __other__, beyond the KPI's cap.", ("kpi",), registry=registry
        )
        self._values = Counter(
            names.VALUES, "Values published, by the state of their window.", ("kpi", "state"), registry=registry
        )
        build = Gauge(names.BUILD_INFO, "What runs here.", ("version", "python"), registry=registry)
        build.labels(_version(), platform.python_version()).set(1)
        registry.register(_Sinks(self._sinks))

    def begin(self, catalog: Catalog) -> None:
        """Show the counters of its sources and KPIs at 0, so that the first of a kind is seen as an increase."""
        for source in catalog.sources:
            for outcome in get_args(names.EventOutcome):
                self.events(source, outcome, 0)
        for kpi in catalog.kpis:
            self.folded(kpi, 0)
            for state in names.VALUE_STATES:
                self.published(kpi, state, 0)

    def events(self, source: str, outcome: names.EventOutcome, count: int) -> None:
        self._events.labels(source, outcome).inc(count)

    def lag(self, topic: str, partition: int, records: int) -> None:
        self._lag.labels(topic, str(partition)).set(records)

    def no_lag(self, topic: str, partition: int) -> None:
        """Stop showing the lag of a partition that moved away."""
        self._lag.remove_by_labels({"topic": topic, "partition": str(partition)})

    def watermark_delay(self, source: str, seconds: float) -> None:
        self._watermark_delay.labels(source).set(seconds)

    def series(self, kpi: str, count: int) -> None:
        self._series.labels(kpi).set(count)

    def folded(self, kpi: str, count: int) -> None:
        self._folded.labels(kpi).inc(count)

    def published(self, kpi: str, state: str, count: int) -> None:
        self._values.labels(kpi, state).inc(count)

    def watch_process(self) -> None:
        """Show memory, processor time and open files of this process from now on, on Linux."""
        ProcessCollector(registry=self.registry)

    def watch(self, name: names.SinkName, sink: WritingSink) -> None:
        """Show the counts of this sink from now on."""
        self._sinks[name] = lambda: (sink.counts, sink.queue_rows)


class _Sinks(Collector):
    """Reads the sinks' own counts when asked."""

    def __init__(self, sinks: dict[names.SinkName, Callable[[], tuple[SinkCounts, int]]]) -> None:
        self._sinks = sinks

    def collect(self) -> Iterator[Metric]:
        writes = CounterMetricFamily(names.SINK_WRITES, "Values given to the sink.", labels=("sink", "outcome"))
        queue = GaugeMetricFamily(names.SINK_QUEUE, "Values that wait for the sink.", labels=("sink",))
        for name, read in self._sinks.items():
            counts, waiting = read()
            outcomes: dict[names.WriteOutcome, int] = {
                "written": counts.written,
                "failed": counts.failed,
                "dropped": counts.dropped,
            }
            for outcome, count in outcomes.items():
                writes.add_metric([name, outcome], count)
            queue.add_metric([name], waiting)
        yield writes
        yield queue


def _version() -> str:
    try:
        return version("streamgauge")
    except PackageNotFoundError:
        return "unknown"
