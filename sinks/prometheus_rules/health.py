"""What Prometheus watches of the engine itself: workers, lag, watermarks, refused events, sinks, notifications, KPIs.

Where a bound depends on the catalog it follows from it: a source may be late by its own watermark's delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.catalog.model import Catalog, Source
from engine.plan import KpiPlan, plan_catalog
from sinks import names
from sinks.prometheus_rules.rules import Alerting, any_of, equal, selector

_MINUTE_US: Final = 60_000_000
PREFIX: Final = "Streamgauge"
CATCH_UP_S: Final = 300  # to work off what waits may take as long, at the present pace
LITTLE_RECORDS: Final = 100
LATE_S: Final = 300  # beyond what the source allows for
REFUSED_SHARE: Final = 0.01
STALE_S: Final = 600  # beyond what the source and the KPI's windows explain


@dataclass(frozen=True)
class Health:
    """The engine's own alerts for one catalog, scraped in this job."""

    catalog: Catalog
    job: str

    def alerts(self) -> list[Alerting]:
        return [
            self._no_worker(),
            self._worker_down(),
            *(self._lag(source) for source in self.catalog.sources.values()),
            *(self._watermark(source) for source in self.catalog.sources.values()),
            self._dead_letters(),
            self._sink_failing(),
            self._notifications_failing(),
            self._stale(),
            self._absent(),
        ]

    def _no_worker(self) -> Alerting:
        return self._alert(
            "NoWorker",
            f"absent({self._up} == 1)",
            2,
            "critical",
            f"No worker of catalog {self.catalog.name} answers: nothing is counted",
        )

    def _worker_down(self) -> Alerting:
        summary = "Worker {{ $labels.instance }} does not answer; the others take over what it had"
        return self._alert("WorkerDown", f"{self._up} == 0", 2, "warning", summary)

    def _lag(self, source: Source) -> Alerting:
        behind = f"sum by (topic) (max by (topic, partition) ({self._of(names.CONSUMER_LAG, topic=source.topic)}))"
        pace = f"scalar(sum(rate({self._of(names.EVENTS, source=source.name)}[5m])))"
        summary = (
            '{{ printf "%.0f" $value }} records of {{ $labels.topic }} wait, more than the workers read in '
            f"{CATCH_UP_S // 60} minutes at their present pace"
        )
        expr = f"{behind} > {LITTLE_RECORDS} + {CATCH_UP_S} * {pace}"
        return self._alert("ConsumerLag", expr, 10, "warning", summary, source=source.name)

    def _watermark(self, source: Source) -> Alerting:
        expr = f"max by (source) ({self._of(names.WATERMARK_DELAY, source=source.name)}) > {late_after_s(source)}"
        summary = (
            "Event time of source {{ $labels.source }} is {{ humanizeDuration $value }} behind: windows close late"
        )
        return self._alert("WatermarkDelay", expr, 10, "warning", summary, source=source.name)

    def _dead_letters(self) -> Alerting:
        refused = [*self._own, 'outcome=~"invalid|late"', any_of("source", self.catalog.sources)]
        seen = [*self._own, any_of("source", self.catalog.sources)]
        expr = (
            f"sum by (source, outcome) (increase({selector(names.EVENTS, refused)}[15m]))\n"
            f"> on (source) group_left ()\n"
            f"({REFUSED_SHARE} * sum by (source) (increase({selector(names.EVENTS, seen)}[15m])))"
        )
        summary = (
            '{{ printf "%.0f" $value }} events of source {{ $labels.source }} were refused as {{ $labels.outcome }} '
            "within 15 minutes: `streamgauge dlq list` says why"
        )
        return self._alert("DeadLetters", expr, 5, "warning", summary)

    def _sink_failing(self) -> Alerting:
        lost = selector(names.SINK_WRITES, [*self._own, 'outcome=~"failed|dropped"'])
        summary = "Values do not reach {{ $labels.sink }}: what is shown there is old"
        return self._alert("SinkFailing", f"sum by (sink) (increase({lost}[5m])) > 0", 5, "critical", summary)

    def _notifications_failing(self) -> Alerting:
        lost = selector(names.NOTIFICATIONS, [*self._own, 'outcome=~"failed|dropped"'])
        summary = "Receiver {{ $labels.receiver }} does not take what alerts tell it: somebody is not told"
        expr = f"sum by (receiver) (increase({lost}[5m])) > 0"
        return self._alert("NotificationsFailing", expr, 5, "critical", summary)

    def _stale(self) -> Alerting:
        expr = "\nor\n".join(self._stale_of(group) for group in stale_groups(self.catalog))
        summary = (
            "{{ $labels.kpi }} shows what was known {{ humanizeDuration $value }} ago, though its sources have events"
        )
        return self._alert("KpiStale", expr, 10, "warning", summary)

    def _stale_of(self, group: StaleGroup) -> str:
        by = f"{names.CATALOG_LABEL}, {names.KPI_LABEL}"
        watermark = selector(names.recorded(names.KPI_WATERMARK), [*self._catalog, any_of(names.KPI_LABEL, group.kpis)])
        read = selector(names.EVENTS, [*self._own, 'outcome="accepted"', any_of("source", group.sources)])
        old = f"time() - max by ({by}) ({watermark}) > {group.after_s}"
        return f"{old} and on () sum(increase({read}[10m])) > 0"

    def _absent(self) -> Alerting:
        own = selector(names.RECORDED_SERIES, self._catalog)
        summary = "{{ $labels.kpi }} had values within a day, and no worker shows any"
        return self._alert("KpiAbsent", f"max_over_time({own}[1d]) unless {own}", 15, "warning", summary)

    @property
    def _own(self) -> list[str]:
        return equal(job=self.job)

    @property
    def _catalog(self) -> list[str]:
        return equal(catalog=self.catalog.name)

    @property
    def _up(self) -> str:
        return selector("up", self._own)

    def _of(self, metric: str, **labels: str) -> str:
        return selector(metric, [*self._own, *equal(**labels)])

    def _alert(self, name: str, expr: str, minutes: int, severity: str, summary: str, **labels: str) -> Alerting:
        labels = {"severity": severity, names.CATALOG_LABEL: self.catalog.name, **labels}
        return Alerting(PREFIX + name, expr, labels, {"summary": summary}, minutes * _MINUTE_US)


@dataclass(frozen=True, slots=True)
class StaleGroup:
    """KPIs of the same sources whose newest value may be as old."""

    kpis: tuple[str, ...]
    sources: tuple[str, ...]
    after_s: int


def stale_groups(catalog: Catalog) -> Iterator[StaleGroup]:
    """A KPI that counts every event of its sources has a new value with each; of others, with each window's end."""
    found: dict[tuple[tuple[str, ...], int], list[str]] = {}
    for plan in plan_catalog(catalog).kpis:
        sources = tuple(sorted(plan.sources))
        after_s = max(_allowed_s(catalog.sources[name]) for name in sources) + STALE_S
        if _picks(plan):
            after_s += 2 * -(-plan.windows.max_step_us // 1_000_000)
        found.setdefault((sources, after_s), []).append(plan.kpi.name)
    for (sources, after_s), kpis in found.items():
        yield StaleGroup(tuple(kpis), sources, after_s)


def _picks(plan: KpiPlan) -> bool:
    return plan.kpi.where is not None or any(term.metric.filter is not None for term in plan.terms)


def late_after_s(source: Source) -> int:
    return _allowed_s(source) + LATE_S


def _allowed_s(source: Source) -> int:
    return -(-(source.watermark.delay_us + source.watermark.idle_after_us) // 1_000_000)
