"""The catalog as values: what the loader makes of the YAML, and what everything else reads.

Nothing here is computed from the data; every instance was checked by the loader, so readers need not check again.
Times are microseconds since the Unix epoch, or lengths in microseconds, wherever a name ends in ``_us``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from engine.catalog.alerting import Alert, Holidays, Leads, Silence

FieldKind = Literal["string", "integer", "number", "decimal", "boolean", "timestamp"]
TimeUnit = Literal["s", "ms", "us", "ns"]
DurationUnit = Literal["s", "m", "h", "d", "w"]
Grain = Literal["day", "week", "month", "quarter", "year"]
OffsetUnit = Literal["s", "m", "h", "d", "w", "month", "quarter", "year"]
AggregationName = Literal[
    "count",
    "sum",
    "average",
    "min",
    "max",
    "first",
    "last",
    "variance",
    "stddev",
    "count_distinct",
    "percentile",
    "median",
    "rate",
]

LintRule = Literal[
    "achievable",
    "doubles",
    "dressed",
    "few",
    "finished",
    "flapping",
    "leading",
    "measurable",
    "relevant",
    "reviews",
    "runbook",
    "specific",
    "time_bound",
    "unused",
]


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: ``s``, ``m`` and ``h`` are exact; ``d`` and ``w`` are local calendar days and weeks."""

    amount: int
    unit: DurationUnit

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


@dataclass(frozen=True, slots=True)
class Offset:
    """How far back a compared window lies: a duration, or a number of calendar months, quarters or years."""

    amount: int
    unit: OffsetUnit

    def __str__(self) -> str:
        return f"{self.amount} {self.unit}" if len(self.unit) > 1 else f"{self.amount}{self.unit}"


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field's type. ``precision`` and ``scale`` are those of a decimal, else 0."""

    kind: FieldKind
    precision: int = 0
    scale: int = 0

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})" if self.kind == "decimal" else self.kind


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field of a source. ``path`` is where it lies in the event, outermost name first."""

    name: str
    type: FieldType
    path: tuple[str, ...]
    optional: bool = False
    unit: TimeUnit | None = None  # numeric timestamps only
    max_values: int = 1000


@dataclass(frozen=True, slots=True)
class Watermark:
    delay_us: int = 0
    idle_after_us: int = 60_000_000
    max_future_us: int = 3_600_000_000
    seal_idle_after_us: int = 86_400_000_000


@dataclass(frozen=True, slots=True)
class LintIgnore:
    """A rule of `engine.catalog.lint` that is not to give advice here, and why."""

    rule: LintRule
    reason: str


@dataclass(frozen=True, slots=True)
class Lint:
    """What `engine.catalog.lint` is not to say of a thing."""

    ignore: tuple[LintIgnore, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A topic of events. ``event_time`` and ``identity`` name fields; None: the CloudEvent's envelope has it."""

    name: str
    topic: str
    format: Literal["json", "cloudevents"]
    timezone: str
    event_time: str | None
    identity: str | None
    dedupe_us: int | None  # None: no deduplication
    watermark: Watermark
    allowed_lateness_us: int
    fields: dict[str, Field]
    lint: Lint = Lint()


@dataclass(frozen=True, slots=True)
class Metric:
    """One aggregate over one source. ``expr`` and ``filter`` are SQL text over the source's fields."""

    name: str
    source: str
    agg: AggregationName
    expr: str | None = None
    filter: str | None = None
    unit: str | None = None
    fill_nulls_with: Decimal | None = None
    percentile: Decimal | None = None
    accuracy: Decimal | None = None  # a share: 1% is 0.01
    exact_below: int = 10_000
    per: Literal["second", "minute", "hour"] = "second"
    title: str | None = None
    description: str | None = None
    lint: Lint = Lint()


@dataclass(frozen=True, slots=True)
class Tumble:
    """Windows side by side: of a fixed ``size``, or one calendar ``grain`` each (exactly one of the two)."""

    size: Duration | None = None
    grain: Grain | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """Rolling windows: of ``size``, one ending every ``slide``."""

    size: Duration
    slide: Duration


@dataclass(frozen=True, slots=True)
class Cumulate:
    """Grain to date: from the grain's start to every ``step`` within it, and to its end."""

    grain: Grain
    step: Duration


Window = Tumble | Hop | Cumulate


@dataclass(frozen=True, slots=True)
class Calendar:
    """What local days, weeks, quarters and years mean for a KPI."""

    timezone: str = "UTC"
    week_start: int = 0  # 0 = Monday ... 6 = Sunday, as datetime.weekday()
    fiscal_year_start: int = 1  # month, 1..12


@dataclass(frozen=True, slots=True)
class Objective:
    """What the KPI should be. ``where`` picks series by dimension value; ``upper`` is for ``between`` only.

    ``share``: that of the KPI's own objective (one without ``where``) which ``value`` and ``upper`` were computed from.
    """

    op: Literal["gte", "lte", "between"]
    value: Decimal
    upper: Decimal | None = None
    where: dict[str, str] = field(default_factory=dict)
    valid_from: str | None = None  # ISO date, local to the KPI
    warn_within: Decimal = Decimal("0.1")
    pacing: Literal["linear", "seasonal"] | None = None
    quiet_until: Decimal | None = None  # share of the grain before which pacing says nothing
    share: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Review:
    every: Duration
    last: str  # ISO date


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    title: str
    owner: str | None = None
    description: str | None = None
    lint: Lint = Lint()


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI. Which of ``metric``, ``numerator``/``denominator`` and ``expr`` is set follows from ``type``.

    ``where`` is SQL text over the source's fields, joined to each metric's filter by AND.
    """

    name: str
    type: Literal["simple", "ratio", "derived"]
    window: Window
    calendar: Calendar
    metric: str | None = None
    numerator: str | None = None
    denominator: str | None = None
    expr: str | None = None
    group_by: tuple[str, ...] = ()
    where: str | None = None
    compare: Offset | None = None
    unit: str | None = None
    title: str | None = None
    description: str | None = None
    goal: str | None = None
    owner: str | None = None
    category: str | None = None
    indicator: Literal["leading", "lagging"] | None = None
    favorable: Literal["up", "down", "range"] | None = None
    review: Review | None = None
    objectives: tuple[Objective, ...] = ()
    alerts: tuple[Alert, ...] = ()
    drivers: tuple[str, ...] = ()  # KPIs whose values explain this one's
    leads: Leads | None = None
    labels: dict[str, str] = field(default_factory=dict)
    max_series: int = 100_000
    expires: Duration | None = None
    lint: Lint = Lint()


@dataclass(frozen=True, slots=True)
class Catalog:
    name: str
    calendar: Calendar
    goals: dict[str, Goal]
    sources: dict[str, Source]
    metrics: dict[str, Metric]
    kpis: dict[str, Kpi]
    text: str = ""  # as loaded, every file of a folder in name order
    lint: Lint = Lint()  # of the catalog as a whole
    silences: tuple[Silence, ...] = ()
    holidays: Holidays | None = None
