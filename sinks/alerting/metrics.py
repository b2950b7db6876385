"""How alerts and their delivery are: on the worker that delivers."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from sinks import names
from sinks.alerting.notices import Notice


class AlertMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._alerts = Gauge(
            names.ALERTS, "Alerts that are pending or firing.", ("state", "severity"), registry=registry
        )
        self._notifications = Counter(
            names.NOTIFICATIONS.removesuffix("_total"),
            "Notifications that a receiver took (of Alertmanager, each replica), attempts that failed, those given up.",
            ("receiver", "outcome"),
            registry=registry,
        )
        self._queue = Gauge(
            names.NOTIFICATION_QUEUE, "Notifications that wait for a receiver.", ("receiver",), registry=registry
        )
        self._success = Gauge(
            names.NOTIFICATION_SUCCESS, "When the receiver last took one.", ("receiver",), registry=registry
        )

    def begin(self, receivers: Iterable[str]) -> None:
        """Show the counters at 0, so that the first of a kind is seen as an increase."""
        for receiver in receivers:
            for outcome in get_args(names.NotificationOutcome):
                self.told(receiver, outcome, 0)
            self.waiting(receiver, 0)

    def active(self, notices: Iterable[Notice]) -> None:
        counts = Counts((one.state, one.severity) for one in notices if one.state in ("pending", "firing"))
        for state in ("pending", "firing"):
            for severity in ("critical", "warning", "info"):
                self._alerts.labels(state, severity).set(counts[state, severity])

    def not_delivering(self) -> None:
        """Another worker does: what this one knew is not shown any more."""
        self._alerts.clear()

    def told(self, receiver: str, outcome: names.NotificationOutcome, count: int = 1) -> None:
        self._notifications.labels(receiver, outcome).inc(count)
        if outcome == "sent" and count:
            self._success.labels(receiver).set(time.time())

    def waiting(self, receiver: str, count: int) -> None:
        self._queue.labels(receiver).set(count)
