"""What the gateway counts for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from sinks.names import GATEWAY_EVENTS, GatewayOutcome
from streams.gateway.answers import AGAIN, STORED


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            GATEWAY_EVENTS.removesuffix("_total"),
            "Events that were sent over HTTP: accepted, refused for a reason, or failed because of Kafka.",
            ("source", "outcome", "reason"),
            registry=registry,
        )

    def count(self, source: str, results: Iterable[dict[str, Any]]) -> None:
        """As the results of an answer tell it."""
        for (status, reason), number in Tally((one["status"], one.get("reason", "")) for one in results).items():
            outcome: GatewayOutcome = "accepted" if status == STORED else "failed" if status == AGAIN else "refused"
            self._events.labels(source, outcome, reason).inc(number)
