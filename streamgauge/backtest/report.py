"""What each alert would have done: how often, how long, at night, flapping, and what of the incidents it saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec
import numpy as np

from engine.alerts.objects import instant
from engine.alerts.words import condition, length
from engine.catalog.alerting import Alert
from engine.catalog.model import Catalog, Kpi
from engine.event_time.durations import DAY_US, HOUR_US
from engine.event_time.windows import windows_for
from engine.event_time.zones import zone
from streamgauge.backtest.firings import Firing, changes_of, firings
from streamgauge.backtest.incidents import Incident
from streamgauge.backtest.replay import Replay

NIGHT: Final = (22, 6)  # from this hour to that one, on the KPI's clock
FLAPS_US: Final = HOUR_US  # fired again so soon after it resolved
MONTH_US: Final = 30 * DAY_US


class Page(msgspec.Struct, frozen=True):
    """One firing. ``paged``: when somebody was told, null where muted or silenced all the while; ``false``: it meets no
    incident of its KPI, null where none of the KPI are labelled.
    """

    dims: dict[str, str | None]
    fired: str
    resolved: str | None
    paged: str | None
    muted_by: str | None
    silenced_by: str | None
    reason: str
    false: bool | None


class Seen(msgspec.Struct, frozen=True):
    """One incident, as an alert saw it. ``after_seconds``: from its begin to the page, 0 where it was told already."""

    comment: str
    begin: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")
    detected: bool = False
    after_seconds: int | None = None


class AlertReport(msgspec.Struct, frozen=True):
    """Times are event time; lengths are seconds."""

    kpi: str
    alert: str
    severity: str
    condition: str
    patience: str = msgspec.field(name="for")
    evaluator: str
    pages: int = 0
    pages_a_month: float = 0.0
    at_night: int = 0
    fired: int = 0
    muted: int = 0
    silenced: int = 0
    flapping: int = 0
    series: int = 0
    firing_seconds: int = 0
    longest_seconds: int = 0
    still_firing: int = 0
    first: str | None = None
    last: str | None = None
    detected: int | None = None
    missed: int | None = None
    false: int | None = None
    detect_seconds: int | None = None  # the median
    incidents: list[Seen] = []
    firings: list[Page] = []


class Suggested(msgspec.Struct, frozen=True):
    """A better rule, and what it would have done. ``caught`` and ``missed`` name breaches by their begin."""

    kpi: str
    alert: str
    within_budget: bool
    pages_a_month: float
    caught: list[str]
    missed: list[str]
    yaml: str


class Report(msgspec.Struct, frozen=True):
    """A backtest. ``from`` is when counting began: what came before was history only."""

    catalog: str
    begin: str | None = msgspec.field(name="from")
    end: str | None = msgspec.field(name="to")
    night: str
    events: dict[str, int]
    alerts: list[AlertReport]
    missed: list[str] = []  # incidents that no alert saw
    suggestions: list[Suggested] = []


@dataclass(frozen=True, slots=True)
class Span:
    """What is counted, in microseconds."""

    from_us: int
    to_us: int

    @property
    def months(self) -> float:
        return max(self.to_us - self.from_us, 1) / MONTH_US


def counted_firings(replay: Replay, catalog: Catalog, span: Span) -> list[Firing]:
    """Those that fired, or were told, within the span."""
    changes = [change for change in changes_of(replay.objects) if change.at_us < span.to_us]
    found = firings(changes, catalog, span.to_us)
    return [
        one
        for one in found
        if one.fired_us >= span.from_us or (one.paged_us is not None and one.paged_us >= span.from_us)
    ]


def report_of(
    replay: Replay, catalog: Catalog, found: Sequence[Firing], span: Span, incidents: Sequence[Incident]
) -> Report:
    """Of every alert of the catalog, in its order; ``found`` are the firings that count."""
    alerts = [
        _alert(kpi, alert, [one for one in found if (one.change.kpi, one.change.alert) == (kpi.name, alert.name)],
               span, [one for one in incidents if one.kpi == kpi.name])
        for kpi in catalog.kpis.values()
        for alert in kpi.alerts
    ]  # fmt: skip
    missed = []
    for one in incidents:
        if not any(_saw(one, firing, catalog.kpis[one.kpi]) is not None for firing in found):
            missed.append(f"{one.kpi}, {instant(one.from_us)}: {one.comment or 'no comment'}")
    return Report(
        catalog.name, instant(span.from_us), instant(span.to_us), f"{NIGHT[0]}:00-{NIGHT[1]:02}:00",
        dict(replay.counts), alerts, missed,
    )  # fmt: skip


def _alert(kpi: Kpi, alert: Alert, found: Sequence[Firing], span: Span, incidents: Sequence[Incident]) -> AlertReport:
    paged = [one.paged_us for one in found if one.paged_us is not None]
    lengths = [(one.ended_us or span.to_us) - max(one.fired_us, span.from_us) for one in found]
    seen = [_seen(one, found, kpi) for one in incidents]
    after = [one.after_seconds for one in seen if one.after_seconds is not None]
    pages = [_page(one, kpi, incidents) for one in found]
    labelled = bool(incidents)
    return AlertReport(
        kpi.name, alert.name, alert.severity, condition(alert.when), length(alert.for_us), alert.evaluator,
        pages=len(paged),
        pages_a_month=round(len(paged) / span.months, 2),
        at_night=sum(is_night(at, kpi) for at in paged),
        fired=len(found),
        muted=sum(one.muted_by is not None for one in found),
        silenced=sum(one.muted_by is None and one.silenced_by is not None for one in found),
        flapping=_flapping(found),
        series=len({one.key for one in found}),
        firing_seconds=sum(lengths) // 1_000_000,
        longest_seconds=max(lengths, default=0) // 1_000_000,
        still_firing=sum(one.ended_us is None for one in found),
        first=instant(min((one.fired_us for one in found), default=None)),
        last=instant(max((one.fired_us for one in found), default=None)),
        detected=sum(one.detected for one in seen) if labelled else None,
        missed=sum(not one.detected for one in seen) if labelled else None,
        false=sum(bool(one.false) for one in pages) if labelled else None,
        detect_seconds=round(median(after)) if after else None,
        incidents=seen,
        firings=pages,
    )  # fmt: skip


def is_night(at_us: int, kpi: Kpi) -> bool:
    local = int(zone(kpi.calendar.timezone).to_local(np.array([at_us], dtype=np.int64))[0])
    hour = local // HOUR_US % 24
    return hour >= NIGHT[0] or hour < NIGHT[1]


def _flapping(found: Sequence[Firing]) -> int:
    ended: dict[str, int] = {}
    count = 0
    for one in found:
        before = ended.get(one.key)
        count += before is not None and one.fired_us - before <= FLAPS_US
        if one.ended_us is not None:
            ended[one.key] = one.ended_us
    return count


# -- incidents ---------------------------------------------------------------------------------------------------------


def _saw(incident: Incident, one: Firing, kpi: Kpi) -> int | None:
    """How long after an incident began somebody was told by this firing; None where that was not about it.

    A window that holds an incident's end is judged when it ends itself: one step of the KPI's windows is allowed.
    """
    if one.change.kpi != incident.kpi or one.paged_us is None:
        return None
    latest = incident.to_us + windows_for(kpi.window, kpi.calendar).max_step_us
    if one.paged_us > latest or (one.ended_us is not None and one.ended_us <= incident.from_us):
        return None
    return max(0, one.paged_us - incident.from_us)


def _seen(incident: Incident, found: Sequence[Firing], kpi: Kpi) -> Seen:
    after = min((at for one in found if (at := _saw(incident, one, kpi)) is not None), default=None)
    begin, end = str(instant(incident.from_us)), str(instant(incident.to_us))
    return Seen(incident.comment, begin, end, after is not None, None if after is None else after // 1_000_000)


def _page(one: Firing, kpi: Kpi, incidents: Sequence[Incident]) -> Page:
    false = None
    if incidents and one.paged_us is not None:
        false = all(_saw(incident, one, kpi) is None for incident in incidents)
    return Page(
        dict(one.change.dims), str(instant(one.fired_us)), instant(one.ended_us), instant(one.paged_us),
        one.muted_by, one.silenced_by, one.change.reason, false,
    )  # fmt: skip
