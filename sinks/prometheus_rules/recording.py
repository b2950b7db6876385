"""One series for each series of a KPI, whichever workers show it: what rules, dashboards and queries of one's own read.

A series that moves is shown by two workers for the length of a scrape. `max` makes that one number; `sum` would make it
twice the number.
"""

from __future__ import annotations

from typing import Final

from engine.catalog.model import Catalog
from sinks import names
from sinks.prometheus_rules.rules import OF_WORKERS, Recording, any_of, equal, selector
from sinks.prometheus_rules.scenarios import Scenario, Value, steady

_GAUGES: Final = (
    names.KPI_VALUE,
    names.KPI_TARGET,
    names.KPI_STATUS,
    names.KPI_PACE,
    names.KPI_EXPECTED,
    names.KPI_FORECAST,
    names.KPI_SAMPLES,
    names.KPI_REVISION,
    names.KPI_COMPARE_VALUE,
    names.KPI_COMPARE_CHANGE,
    names.KPI_WINDOW_END,
    names.KPI_WATERMARK,
)


def recordings(catalog: Catalog, job: str) -> list[Recording]:
    """Of each gauge of KPIs one, and how many series each KPI has."""
    labels = {names.CATALOG_LABEL: catalog.name}
    matchers = [*equal(job=job), any_of(names.KPI_LABEL, catalog.kpis)]
    found = [
        Recording(names.recorded(metric), f"max without ({OF_WORKERS}) ({selector(metric, matchers)})", labels)
        for metric in _GAUGES
    ]
    own = selector(names.recorded(names.KPI_SAMPLES), equal(catalog=catalog.name))
    by = f"{names.CATALOG_LABEL}, {names.KPI_LABEL}"
    return [*found, Recording(names.RECORDED_SERIES, f"count by ({by}) ({own})")]


def scenarios(catalog: Catalog, job: str) -> list[Scenario]:
    """Two workers during a hand-over, then one; and a series that is gone."""
    kpi = next(iter(catalog.kpis.values()))
    dims = dict.fromkeys(kpi.group_by, "a")
    found = []
    for metric in _GAUGES:
        own = {names.KPI_LABEL: kpi.name, **dims}
        former = selector(metric, equal(job=job, instance="worker-1", pod="one", **own))
        next_ = selector(metric, equal(job=job, instance="worker-2", pod="two", **own))
        record = names.recorded(metric)
        found.append(
            Scenario(
                f"{record}: two workers, one number",
                series={former: f"{steady(5, 5)} stale", next_: f"_x3 {steady(5, 1)} {steady(7, 4)} stale"},
                values=[
                    Value(record, 2, [(selector(record, equal(catalog=catalog.name, **own)), "5")]),
                    Value(record, 3, [(selector(record, equal(catalog=catalog.name, **own)), "5")]),
                    Value(record, 7, [(selector(record, equal(catalog=catalog.name, **own)), "7")]),
                    Value(record, 11, []),
                ],
            )
        )
    return found
