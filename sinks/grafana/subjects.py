"""A KPI as the dashboards show it: its words, its digits, and where to read on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from grafana_foundation_sdk.models.dashboard import DashboardLink

from engine.catalog.model import Catalog
from engine.plan import KpiPlan, plan_catalog
from sinks import names
from sinks.grafana.palette import TEXT, fixed, missing_as
from sinks.grafana.panels import Look, link
from sinks.grafana.queries import JOB
from sinks.grafana.units import SHARES, decimals, grafana_unit
from sinks.grafana.variables import DATASOURCE
from sinks.grafana.wording import literal

_KEPT = f"${{{DATASOURCE}:queryparam}}&${{{JOB}:queryparam}}"


@dataclass(frozen=True)
class Subject:
    """One KPI of a catalog, with the address of the live board."""

    catalog: Catalog
    plan: KpiPlan
    board: str

    @property
    def name(self) -> str:
        return self.plan.kpi.name

    @property
    def title(self) -> str:
        return literal(self.plan.facts.title)

    @property
    def description(self) -> str | None:
        return literal(self.plan.kpi.description) if self.plan.kpi.description else None

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self.plan.kpi.group_by

    @property
    def has_status(self) -> bool:
        return bool(self.plan.kpi.objectives)

    @property
    def has_comparison(self) -> bool:
        return self.plan.kpi.compare is not None

    @property
    def target_title(self) -> str:
        return "Nearer bound" if any(one.op == "between" for one in self.plan.kpi.objectives) else "Target"

    @cached_property
    def look(self) -> Look:
        """How its values are written."""
        facts = self.plan.facts
        return Look(
            unit=grafana_unit(facts.unit),
            decimals=decimals(self.plan),
            color=fixed(TEXT),
            mappings=missing_as("No value"),
        )

    @property
    def lowest_first(self) -> bool:
        """Whether the series to look at first are the lowest: those of a share whose more is better, as of uptime."""
        return self.plan.kpi.favorable == "up" and grafana_unit(self.plan.facts.unit) in SHARES

    @property
    def first(self) -> str:
        """What is said of the series that are shown where not all are."""
        return "lowest" if self.lowest_first else "largest"

    @property
    def pick(self) -> str:
        """PromQL's word for it."""
        return "bottomk" if self.lowest_first else "topk"

    @property
    def series(self) -> str:
        """What a series is called in a legend; nothing where there is but one."""
        return " · ".join(f"{{{{{name}}}}}" for name in self.dimensions)

    @property
    def uid(self) -> str:
        return names.dashboard_uid("kpi", self.catalog.name, self.name)

    @property
    def board_url(self) -> str:
        return f"{self.board}/kpi/{self.name}"

    def runbooks(self) -> list[tuple[str, str]]:
        """(alert, address) of each alert that says what to do about it."""
        return [(alert.name, alert.runbook_url) for alert in self.plan.kpi.alerts if alert.runbook_url is not None]

    def detail_link(self) -> DashboardLink:
        return link("Detail", f"/d/{self.uid}?{_KEPT}")


def subjects(catalog: Catalog, board: str) -> list[Subject]:
    return [Subject(catalog, plan, board.rstrip("/")) for plan in plan_catalog(catalog).kpis]
