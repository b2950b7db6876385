"""An alert as other code sees it, for tests that need no more of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.catalog.alerting import Severity


@dataclass(frozen=True)
class Sighting:
    alert: str
    kpi: str
    dims: Mapping[str, str | None] = field(default_factory=dict)
    severity: Severity = "critical"
    state: str = "firing"
    value: Decimal | None = None
    bound: Decimal | None = None
