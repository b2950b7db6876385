"""What `engine.alerts.muting` decides, for all alerts that come to Alertmanager, those of Prometheus' rules as well.

Alertmanager compares labels and knows no values. So a rule for both sides of a band, whose direction is in its value,
mutes and is muted across KPIs by name only (the same alert's, or ``muted_by``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engine.alerts.muting import SEVERITIES, Way, parents_of, ways
from engine.catalog.alerting import Alert, Condition, Threshold
from engine.catalog.model import Catalog
from sinks import names
from sinks.alertmanager_config.routing import matcher
from sinks.prometheus_rules.health import PREFIX

# A drill is no reason to keep quiet about what is real; neither are the engine's own alerts about a KPI's value.
_ALWAYS: Final = [names.CATALOG_LABEL, "drill"]
_NO_WORKER: Final = f"{PREFIX}NoWorker"
_OF_NO_WORKER: Final = ("ConsumerLag", "KpiAbsent", "KpiStale", "WatermarkDelay", "WorkerDown")
Rule = dict[str, Any]


def inhibit_rules(catalog: Catalog) -> list[Rule]:
    return [_no_worker(catalog), *_severities(catalog), *_segments(catalog)]


def _no_worker(catalog: Catalog) -> Rule:
    target = matcher("alertname", "=~", f"{PREFIX}({'|'.join(_OF_NO_WORKER)})")
    return _rule(catalog, [matcher("alertname", "=", _NO_WORKER)], [target], [])


def _severities(catalog: Catalog) -> Iterator[Rule]:
    """Of one series, the more severe one. A label that neither of the two has is equal."""
    dims = sorted({name for kpi in catalog.kpis.values() for name in kpi.group_by})
    of_kpis = [matcher(names.KPI_LABEL, "=~", ".+"), matcher("alertname", "!~", f"{PREFIX}.+")]
    for rank, severity in enumerate(SEVERITIES[:-1]):
        less = matcher("severity", "=~", "|".join(SEVERITIES[rank + 1 :]))
        yield _rule(catalog, [matcher("severity", "=", severity), *of_kpis], [less, *of_kpis], [names.KPI_LABEL, *dims])


def _segments(catalog: Catalog) -> Iterator[Rule]:
    for kpi in catalog.kpis.values():
        for rule in kpi.alerts:
            for parent in (rule.muted_by,) if rule.muted_by is not None else parents_of(kpi.name, catalog):
                whole = catalog.kpis.get(parent)
                if whole is None:
                    continue
                muting = [other.name for other in whole.alerts if _mutes(other, rule, whole is kpi)]
                if muting:
                    source = [matcher(names.KPI_LABEL, "=", parent), matcher("alertname", "=~", "|".join(muting))]
                    target = [matcher(names.KPI_LABEL, "=", kpi.name), matcher("alertname", "=", rule.name)]
                    yield _rule(catalog, source, target, sorted({*whole.group_by} & {*kpi.group_by}))


def _mutes(other: Alert, rule: Alert, same_kpi: bool) -> bool:
    if SEVERITIES.index(other.severity) > SEVERITIES.index(rule.severity):
        return False
    if same_kpi and other.name == rule.name:
        return False
    return rule.muted_by is not None or other.name == rule.name or bool(_ways(other.when) & _ways(rule.when))


def _ways(condition: Condition) -> frozenset[Way]:
    """Those that hold whatever the value is."""
    if isinstance(condition, Threshold) and condition.lower is not None and condition.upper is not None:
        return frozenset()
    return ways(condition, None, None)


def _rule(catalog: Catalog, source: list[str], target: list[str], equal: list[str]) -> Rule:
    of = matcher(names.CATALOG_LABEL, "=", catalog.name)
    return {"source_matchers": [of, *source], "target_matchers": [of, *target], "equal": [*_ALWAYS, *equal]}
