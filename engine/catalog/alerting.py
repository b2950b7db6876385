"""Alerts as values: what the loader makes of ``alerts``, ``silences`` and ``holidays``, and what everything else reads.

Checked by the loader, as `engine.catalog.model` is. Times are microseconds since the Unix epoch, or lengths in
microseconds, wherever a name ends in ``_us``; shares are 0.1 for 10%.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

Severity = Literal["critical", "warning", "info"]
Evaluate = Literal["open", "closed"]
Evaluator = Literal["engine", "prometheus"]
Direction = Literal["both", "up", "down"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

MINUTE_US: Final = 60_000_000

# What an annotation may have in braces, besides the KPI's dimensions.
TEMPLATE_FIELDS: Final = (
    "value",
    "target",
    "bound",
    "alert",
    "kpi",
    "title",
    "unit",
    "since",
    "samples",
    "owner",
)
# What tells alerts apart for Alertmanager, with the KPI's dimensions: labels of people's own have other names.
IDENTITY_LABELS: Final = ("alertname", "kpi", "severity")


@dataclass(frozen=True, slots=True)
class Threshold:
    """Raised below ``lower`` or above ``upper``; ended at or inside of what ``recover`` says (without: the bound)."""

    lower: Decimal | None = None
    upper: Decimal | None = None
    recover_lower: Decimal | None = None
    recover_upper: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PaceBelow:
    """Raised where the value is below this share of what it should be by now; ended at ``recover`` of it."""

    share: Decimal
    recover: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """As a `Threshold` on the change against the compared window: a share of it, or (absolute) the difference."""

    bounds: Threshold
    relative: bool = True


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Raised where the robust z-score against the same time of the last ``weeks`` weeks is above ``score``; ended below
    ``recover``. Silent with fewer than ``at_least`` of those weeks.
    """

    score: Decimal
    recover: Decimal
    weeks: int = 8
    at_least: int = 4
    direction: Direction = "both"


@dataclass(frozen=True, slots=True)
class NoData:
    """Raised where a series has had no event for ``after_us`` of event time; one that is silent for ``expected_us`` is
    not expected any more.
    """

    after_us: int
    expected_us: int = 7 * 24 * 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """Raised where the error budget burns at ``rate`` times its even pace over both windows."""

    long_us: int
    short_us: int
    rate: Decimal


@dataclass(frozen=True, slots=True)
class BurnRate:
    """Multi-window, multi-burn-rate as chapter 5 of The Site Reliability Workbook has it: any of the pairs raises."""

    windows: tuple[BurnWindow, ...]


Condition = Threshold | PaceBelow | Change | Anomaly | NoData | BurnRate


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule of one KPI. ``where`` picks series by dimension value; ``muted_by`` names a KPI whose alerts mute it."""

    name: str
    when: Condition
    severity: Severity = "warning"
    for_us: int = 0
    keep_firing_for_us: int = 0
    min_sample: int = 0
    evaluate: Evaluate = "closed"
    evaluator: Evaluator = "engine"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    runbook_url: str | None = None
    where: dict[str, str] = field(default_factory=dict)
    muted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """When alerts are recorded and nobody is told. Empty ``kpis``: of all KPIs; ``alerts`` likewise.

    Either from ``from_us`` to ``until_us``, or recurring: on these weekdays (empty: all), or on the catalog's holidays,
    from ``start_minute`` to ``end_minute`` of the local day (an end at or before the start is on the next day), and
    that until ``until_us``, where it is given.
    """

    name: str
    comment: str
    kpis: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    where: dict[str, str] = field(default_factory=dict)
    from_us: int | None = None
    until_us: int | None = None
    weekdays: tuple[Weekday, ...] = ()
    holidays: bool = False
    start_minute: int | None = None
    end_minute: int | None = None
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Holidays:
    """Public holidays of a country, or of a part of it, by their ISO 3166 codes."""

    country: str
    subdivision: str | None = None


@dataclass(frozen=True, slots=True)
class Leads:
    """The KPI that this one foretells, and how long before."""

    kpi: str
    by_us: int
