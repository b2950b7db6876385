"""What promtool plays through the engine's own alerts: nothing there, healthy, in breach, healthy again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.catalog.model import Catalog
from sinks import names
from sinks.prometheus_rules.health import LITTLE_RECORDS, PREFIX, StaleGroup, late_after_s, stale_groups
from sinks.prometheus_rules.rules import equal, selector
from sinks.prometheus_rules.scenarios import GONE, Scenario, Value, missing, steady

_WORKER: Final = "worker-1"


def scenarios(catalog: Catalog, job: str) -> list[Scenario]:
    """Where nothing is said of a metric, no alert is raised by it, but for the one of workers."""
    return [*_Play(catalog, job).scenarios()]


class _Play:
    def __init__(self, catalog: Catalog, job: str) -> None:
        self._catalog, self._job = catalog, job

    def scenarios(self) -> list[Scenario]:
        up = self._name("up")
        firing = self._fires("NoWorker")
        found = [
            Scenario(
                "no worker",
                {up: f"{missing(5)} {steady(1, 5)} {steady(0, 5)}"},
                values=[firing(1, False), firing(3, True), firing(7, False), firing(11, False), firing(12, True)],
            ),
            self._play("WorkerDown", 2, {up: ("1", "0")}),
            self._play("SinkFailing", 5, {self._name(names.SINK_WRITES, sink="redis", outcome="failed"): ("0", "+")}),
            self._play(
                "NotificationsFailing",
                5,
                {self._name(names.NOTIFICATIONS, receiver="pager", outcome="failed"): ("0", "+")},
            ),
        ]
        for source in self._catalog.sources.values():
            lag = self._name(names.CONSUMER_LAG, topic=source.topic, partition="0")
            read = self._name(names.EVENTS, source=source.name, outcome="accepted")
            refused = self._name(names.EVENTS, source=source.name, outcome="invalid")
            delay = self._name(names.WATERMARK_DELAY, source=source.name)
            late = late_after_s(source)
            found += [
                self._play("ConsumerLag", 10, {lag: (f"{LITTLE_RECORDS}", f"{LITTLE_RECORDS + 1}"), read: ("0", "0")}),
                self._play("WatermarkDelay", 10, {delay: (f"{late}", f"{late + 1}")}),
                self._play("DeadLetters", 5, {refused: ("0", "+"), read: ("0", "0")}),
            ]
        return [*found, *(self._stale(group) for group in stale_groups(self._catalog)), self._absent()]

    def _stale(self, group: StaleGroup) -> Scenario:
        """The watermark stands still from the beginning, and is too old from minute 40 on."""
        watermark = self._name(names.KPI_WATERMARK, kpi=group.kpis[0])
        read = self._name(names.EVENTS, source=group.sources[0], outcome="accepted")
        still = 40 * 60 - 30 - group.after_s
        series = {watermark: f"{missing(20)} {steady(still, 40)} {steady(6000, 30)} {GONE}", read: "0+10x110"}
        firing = self._fires("KpiStale")
        moments = [(19, False), (49, False), (50, True), (59, True), (61, False), (100, False)]
        name = f"KpiStale {group.kpis[0]}: with events"
        return Scenario(name, series, values=[firing(minute, on) for minute, on in moments])

    def _absent(self) -> Scenario:
        samples = self._name(names.KPI_SAMPLES, kpi=next(iter(self._catalog.kpis)))
        series = {samples: f"{missing(20)} {steady(9, 20)} {GONE} {missing(19)} {steady(9, 20)}"}
        firing = self._fires("KpiAbsent")
        moments = [(19, False), (39, False), (54, False), (55, True), (61, False)]
        return Scenario("KpiAbsent", series, values=[firing(minute, on) for minute, on in moments])

    def _play(self, alert: str, wait: int, series: dict[str, tuple[str, str]]) -> Scenario:
        """Twenty minutes each of no data, health, breach, health and no data again."""
        written = {
            name: f"{missing(20)} {steady(well, 20)} {_ill(ill)} {steady(_after(well, ill), 40)} {GONE}"
            for name, (well, ill) in series.items()
        }
        firing = self._fires(alert)
        moments = [(19, False), (39, False), (40 + wait - 1, False), (59, True), (99, False), (110, False)]
        return Scenario(f"{alert} {min(series)}", written, values=[firing(minute, on) for minute, on in moments])

    def _fires(self, alert: str) -> Callable[[int, bool], Value]:
        expr = f'count(ALERTS{{alertname="{PREFIX}{alert}",alertstate="firing"}})'

        def value(minute: int, on: bool) -> Value:
            return Value(expr, minute, [("{}", "1")] if on else [])

        return value

    def _name(self, metric: str, **labels: str) -> str:
        return selector(metric, equal(job=self._job, instance=_WORKER, **labels))


def _ill(ill: str) -> str:
    return "10+10x19" if ill == "+" else steady(ill, 20)


def _after(well: str, ill: str) -> str:
    return "200" if ill == "+" else well
