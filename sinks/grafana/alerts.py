"""Alerts: those of rules that Prometheus evaluates are listed; Alertmanager counts all, the engine's own as well.

No panel of Grafana's core shows what Alertmanager has: that is one link away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel

from sinks import names
from sinks.grafana.palette import TEXT, fixed, missing_as
from sinks.grafana.panels import Column, Look, Query, link, rows, rule_alerts, stats
from sinks.grafana.queries import or_missing

IN_ALERTMANAGER: Final = "/alerting/groups?alertmanager=Alertmanager"
_ACTIVE: Final = 'max(alertmanager_alerts{state="active"})'
_FOR_ROUTES: Final = (names.CATALOG_LABEL, "owner", "goal")  # labels that tell no two rows of a catalog apart
_OF_RULES: Final = "What the engine raises itself is in Alertmanager."


def active_alerts() -> Panel:
    look = Look(
        decimals=0,
        color=fixed(TEXT),
        mappings=missing_as("No Alertmanager"),
        links=[link("In Alertmanager", IN_ALERTMANAGER)],
    )
    why = "All that Alertmanager has, from the engine and from Prometheus' rules."
    return stats("Active alerts", [Query(or_missing(_ACTIVE))], look, description=why)


def alerts_of_rules(kpis: str) -> Panel:
    """``kpis`` is the matcher of the KPIs' names, as in the two below."""
    return rule_alerts("Prometheus' rules: firing and pending", "{" + kpis + "}", description=_OF_RULES)


def alerts_by_series(kpis: str, dimensions: Sequence[str] = ()) -> Panel:
    queries = [Query(f"max without (instance, pod, job) (ALERTS{{{kpis}}})")]
    columns = [
        Column("alertname", "Alert"),
        Column("alertstate", "State"),
        Column("severity", "Severity"),
        Column(names.KPI_LABEL, "KPI"),
        *(Column(name, name) for name in dimensions),
    ]
    hidden = ["Value", "__name__", *(label for label in _FOR_ROUTES if label not in dimensions)]
    title = "Prometheus' rules: alerts by series"
    return rows(title, queries, columns, hidden=hidden, description=_OF_RULES)
