"""The tree of routes: by severity, and below it by owner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.alerts.muting import SEVERITIES
from engine.catalog.alerting import Severity
from engine.catalog.model import Catalog
from engine.plan import plan_catalog
from sinks import names
from sinks.alertmanager_config.kinds import NOBODY, Receiver

# What becomes worse meanwhile is told at the next group_interval, so that stays short.
_PACE: Final[Mapping[Severity, tuple[str, str, str]]] = {  # group_wait, group_interval, repeat_interval
    "critical": ("10s", "1m", "4h"),
    "warning": ("30s", "5m", "24h"),
    "info": ("1m", "5m", "72h"),
}
_GROUPED_BY: Final = [names.CATALOG_LABEL, names.KPI_LABEL, "alertname"]


def matcher(label: str, sign: str, value: str) -> str:
    return f"{label}{sign}{json.dumps(value, ensure_ascii=False)}"


@dataclass(frozen=True)
class Routing:
    """``kinds``: how people are told of each severity."""

    catalog: Catalog
    kinds: Mapping[Severity, str]

    def tree(self) -> dict[str, Any]:
        """What has no severity goes where warnings go: rather told than lost."""
        return {
            "receiver": Receiver(self.kinds["warning"]).name,
            "group_by": _GROUPED_BY,
            **_pace("warning"),
            "routes": [self._severity(severity) for severity in SEVERITIES],
        }

    def receivers(self) -> list[Receiver]:
        found = {Receiver(kind) for kind in self.kinds.values()}
        found.update(Receiver(kind, owner) for severity, kind in self.kinds.items() for owner in self._owners(severity))
        return sorted(found)

    def _severity(self, severity: Severity) -> dict[str, Any]:
        kind = self.kinds[severity]
        routes = [
            {"receiver": Receiver(kind, owner).name, "matchers": [matcher("owner", "=", owner)]}
            for owner in self._owners(severity)
        ]
        return {
            "receiver": Receiver(kind).name,
            "matchers": [matcher("severity", "=", severity)],
            **_pace(severity),
            **({"routes": routes} if routes else {}),
        }

    def _owners(self, severity: Severity) -> list[str]:
        """Who owns a KPI with an alert as severe."""
        return [] if self.kinds[severity] == NOBODY else sorted(set(self._all_owners(severity)))

    def _all_owners(self, severity: Severity) -> Iterator[str]:
        for plan in plan_catalog(self.catalog).kpis:
            if plan.facts.owner and any(rule.severity == severity for rule in plan.kpi.alerts):
                yield plan.facts.owner


def _pace(severity: Severity) -> dict[str, str]:
    return dict(zip(("group_wait", "group_interval", "repeat_interval"), _PACE[severity], strict=True))
