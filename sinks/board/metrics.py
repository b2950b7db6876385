"""What the server says of itself to Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sinks.board.mirror import Mirror
from sinks.board.streaming import Streams
from sinks.names import (
    BOARD_CONNECTED,
    BOARD_LAG,
    BUILD_INFO,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_STREAMS,
    STREAM_PATH,
)

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class BoardMetrics:
    """Its own registry, to which other parts of the process may add."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Gauge(BUILD_INFO, "What runs here.", ("version", "python"), registry=self.registry)
        build.labels(version("streamgauge"), platform.python_version()).set(1)
        self._requests = Counter(
            HTTP_REQUESTS.removesuffix("_total"),
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            HTTP_SECONDS,
            "From a request's head to the end of its answer; not of streams.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def watch(self, mirror: Mirror, streams: Streams) -> None:
        self.registry.register(_Watching(mirror, streams))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        if route != STREAM_PATH:
            self._seconds.labels(route).observe(seconds)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)


class _Watching(Collector):
    def __init__(self, mirror: Mirror, streams: Streams) -> None:
        self._mirror = mirror
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(HTTP_STREAMS, "Event streams that are open.", self._streams.open)
        yield GaugeMetricFamily(BOARD_CONNECTED, "Whether Redis is followed.", int(self._mirror.connected))
        yield GaugeMetricFamily(BOARD_LAG, "How far values are behind Redis.", self._mirror.lag_ms / 1000)
