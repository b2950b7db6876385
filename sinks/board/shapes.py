"""The JSON objects of the API, for its OpenAPI document: nothing is validated with them, the tests compare."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sinks.board.queries import Moment

Status = Literal["ok", "warning", "critical"]


class _Shape(BaseModel):
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Interval(_Shape):
    """A window is [start, end)."""

    start: str
    end: str


class Comparison(_Shape):
    value: float | None
    change: float | None = Field(description="The share by which the value differs: 0.055 is 5.5 % up.")


class Pace(_Shape):
    """How a grain to date stands before its end, where its objective has `pacing`."""

    share: float | None = Field(description="The value as a share of what is expected by now: 0.82 is 82 %.")
    expected: float | None = Field(description="What the value should be by now.")
    elapsed: float = Field(description="The share of the grain that has passed, 0 to 1.")
    forecast: float | None = Field(description="What the value comes to at the grain's end, as it goes.")
    forecast_low: float | None = Field(description="Four of five grains end between this and `forecast_high`.")
    forecast_high: float | None
    way: Literal["linear", "seasonal"]
    reason: str


class Value(_Shape):
    """A value, as in the topic `NAME.values`; numbers come with all their digits."""

    kpi: str
    dims: dict[str, str | int | bool | None]
    window: Interval
    state: Literal["open", "closed", "revised"]
    revision: int
    progress: int
    value: float | None = Field(description="Null only with a `reason`.")
    reason: str | None
    samples: int
    watermark: str | None
    definition: str
    unit: str | None
    target: float | None
    status: Status | None
    status_reason: str | None
    pace: Pace | None
    compare: Comparison | None
    final_after: str | None


class Values(_Shape):
    kpi: str
    values: list[Value]
    next: str | None = Field(description="The `cursor` of the next page; null at the end.")


class Top(_Shape):
    kpi: str
    values: list[Value]


class History(_Shape):
    kpi: str
    dims: dict[str, str | int | bool | None]
    values: list[Value]


class Goal(_Shape):
    name: str
    title: str
    owner: str | None


class Catalog(_Shape):
    name: str
    goals: list[Goal]
    timezone: str
    loaded_definition: str


class Window(_Shape):
    """As in the catalog, and in words."""

    model_config = ConfigDict(extra="allow")

    type: Literal["tumble", "hop", "cumulate"]
    words: str


class Offset(_Shape):
    offset_window: str


class Objective(_Shape):
    op: Literal["gte", "lte", "between"]
    value: float
    upper: float | None = Field(description="Of `between` only.")
    where: dict[str, str]
    valid_from: str | None
    warn_within: float
    share: float | None = Field(description="Of the KPI's own objective, from which this one was computed.")
    pacing: Literal["linear", "seasonal"] | None
    quiet_until: float | None = Field(description="Share of the grain before which pacing says nothing.")


class Review(_Shape):
    every: str
    last: str
    due: str
    overdue: bool


class Kpi(_Shape):
    name: str
    title: str
    description: str | None
    type: Literal["simple", "ratio", "derived"]
    goal: str | None
    owner: str | None
    category: str | None
    indicator: Literal["leading", "lagging"] | None
    favorable: Literal["up", "down", "range"] | None
    unit: str | None
    group_by: list[str]
    window: Window
    timezone: str
    compare: Offset | None
    objectives: list[Objective]
    review: Review | None
    labels: dict[str, str]
    definition: str = Field(description="12 hex digits that change when what is counted changes.")
    series: int


class Kpis(_Shape):
    kpis: list[Kpi]
    next: str | None = Field(description="The `cursor` of the next page; null at the end.")


class Metric(_Shape):
    name: str
    title: str
    description: str | None
    source: str
    agg: str
    expr: str | None
    filter: str | None
    unit: str | None
    words: str


class Finding(_Shape):
    rule: str
    subject: str
    severity: Literal["warning", "advice"]
    message: str
    why: str
    change: str


class Alert(_Shape):
    """The state of an alert of one series, as in the topic `NAME.alerts`; numbers come with all their digits."""

    alert: str
    kpi: str
    dims: dict[str, str | int | bool | None]
    state: Literal["pending", "firing", "resolved", "inactive"] = Field(
        description="`resolved` after firing, `inactive` after pending; neither is among those that are shown."
    )
    severity: Literal["critical", "warning", "info"]
    id: str = Field(description="16 hex digits: the same from pending to the end, another one the next time.")
    order: list[int] = Field(
        min_length=2, max_length=2, description="Of two objects of an alert the one with the higher order is newer."
    )
    at: str = Field(description="The event time of this judgement.")
    since: str | None = Field(description="When its condition began to hold, in event time.")
    fired: str | None
    resolved: str | None
    recovering_since: str | None = Field(description="Still firing, though its condition has ended.")
    reason: str = Field(description="In words: `sales of 812 is below 1000`.")
    condition: str
    value: float | None
    bound: float | None = Field(description="What the value was held against; null where the rule has none.")
    target: float | None
    samples: int | None
    window: Interval | None
    window_state: Literal["open", "closed", "revised"] | None
    compare: Comparison | None
    pace: Pace | None
    unit: str | None
    status: Status | None
    definition: str | None
    title: str | None
    owner: str | None
    goal: str | None
    labels: dict[str, str]
    annotations: dict[str, str]
    runbook_url: str | None


class ActiveAlert(Alert):
    """An alert that is pending or firing, and why nobody is told of it."""

    muted_by: str | None = Field(description="The alert that says it already: `alert|kpi|dims`.")
    silenced_by: str | None = Field(description="The silence that covers it: its name in the catalog, or its id.")


class Alerts(_Shape):
    alerts: list[ActiveAlert]


class Silence(_Shape):
    """Nobody is told of these alerts meanwhile, as in the topic `NAME.silences`; it covers [from, until)."""

    id: str
    comment: str
    until: str
    from_: str = Field(alias="from")
    created: str | None
    by: str | None
    kpis: list[str] = Field(description="Empty: all of them.")
    alerts: list[str] = Field(description="Empty: all of the KPIs'.")
    where: dict[str, str] = Field(description="Only series with these dimension values.")


class Silences(_Shape):
    silences: list[Silence]


class NewSilence(BaseModel):
    """A silence from now on. It has an end: `for` or `until`, at most 90 days away."""

    model_config = ConfigDict(extra="forbid")

    kpis: list[str] = Field(min_length=1, max_length=1_000)
    comment: str = Field(min_length=1, max_length=500, description="Why, for those who wonder.")
    for_: str | None = Field(None, alias="for", description="How long: `30m`, `2h`, `7d`.")
    until: Moment | None = None
    alerts: list[str] = Field([], max_length=1_000, description="Only these alerts of the KPIs; default: all.")
    where: dict[str, str] = Field({}, description="Only series with these dimension values.")


class Described(Kpi):
    words: str = Field(description="The KPI in plain words.")
    yaml: str = Field(description="Its part of the catalog.")
    metrics: list[Metric]
    alerts: list[dict[str, Any]] = Field(description="Its alert rules, as in the catalog.")
    active_alerts: list[ActiveAlert] | None = Field(
        description="Those of its alerts that are pending or firing; null while Redis is away."
    )
    findings: list[Finding]
    file: str
    line: int


class Findings(_Shape):
    findings: list[Finding]
    scores: dict[str, int] = Field(description="By goal, 0 to 100.")


class Session(_Shape):
    name: str
    rights: list[str] | None = Field(description="Null: all of them.")
