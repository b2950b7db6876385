"""Which alerts say nothing new: what another one that fires says already mutes them.

Two reasons. A less severe alert is muted by a more severe one of the same KPI and series. And a segment's alert is
muted by one of its parent, if that is at least as severe: the parent is the KPI that the rule names (``muted_by``), or
else a KPI that counts the same over the same windows by fewer dimensions; of the latter only an alert with the same
name or in the same direction has the same cause. Whether the alert that mutes is itself muted or silenced does not
matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal, Protocol

from engine.alerts import objects
from engine.catalog.alerting import (
    Alert,
    Anomaly,
    BurnRate,
    Change,
    Condition,
    NoData,
    PaceBelow,
    Severity,
    Threshold,
)
from engine.catalog.model import Catalog, Kpi
from engine.series import dims_text

Way = Literal["down", "up", "silent", "burning"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "info")  # the most severe first


class Judged(Protocol):
    """What has to be known of an alert: which, where, and how it stands.

    ``state`` is one of those on `NAME.alerts`; ``bound`` is what ``value`` was held against, null where there is none.
    """

    @property
    def alert(self) -> str: ...
    @property
    def kpi(self) -> str: ...
    @property
    def dims(self) -> Mapping[str, str | None]: ...
    @property
    def state(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def value(self) -> Decimal | None: ...
    @property
    def bound(self) -> Decimal | None: ...


def alert_key(alert: Judged) -> str:
    """The key on `NAME.alerts`: ``<alert>|<kpi>|<dims>``."""
    return objects.alert_key(alert.alert, alert.kpi, dims_text(list(alert.dims), list(alert.dims.values())))


def muted_by(alert: Judged, active: Iterable[Judged], catalog: Catalog) -> str | None:
    """The key of the firing alert that says it already, the most severe first; None where there is none."""
    return Muting(active, catalog).of(alert)


class Muting:
    """`muted_by` for many alerts and the same active ones."""

    def __init__(self, active: Iterable[Judged], catalog: Catalog) -> None:
        self._catalog = catalog
        self._firing: dict[str, list[Judged]] = {}  # by KPI, the most severe first
        for other in sorted(active, key=lambda each: (SEVERITIES.index(each.severity), alert_key(each))):
            if other.state == "firing":
                self._firing.setdefault(other.kpi, []).append(other)

    def of(self, alert: Judged) -> str | None:
        kpi = self._catalog.kpis.get(alert.kpi)
        if kpi is None:
            return None
        rank = SEVERITIES.index(alert.severity)
        for other in self._firing.get(kpi.name, ()):
            if SEVERITIES.index(other.severity) < rank and dict(other.dims) == dict(alert.dims):
                return alert_key(other)
        declared = rule_of(kpi, alert.alert)
        named = declared.muted_by if declared is not None else None
        for parent in (named,) if named is not None else parents_of(kpi.name, self._catalog):
            for other in self._firing.get(parent, ()):
                if SEVERITIES.index(other.severity) > rank or not _agree(alert, other):
                    continue
                same = named is not None or other.alert == alert.alert or self._ways(alert) & self._ways(other)
                if same and alert_key(other) != alert_key(alert):
                    return alert_key(other)
        return None

    def _ways(self, alert: Judged) -> frozenset[Way]:
        kpi = self._catalog.kpis.get(alert.kpi)
        declared = rule_of(kpi, alert.alert) if kpi is not None else None
        return ways(declared.when, alert.value, alert.bound) if declared is not None else frozenset()


def may_be_muted(kpi: str, alert: str, catalog: Catalog) -> bool:
    """Whether there is a rule whose alert could mute this one, so that waiting a moment for it is worth while."""
    of = catalog.kpis.get(kpi)
    rule = rule_of(of, alert) if of is not None else None
    if of is None or rule is None:
        return False
    rank = SEVERITIES.index(rule.severity)
    if any(SEVERITIES.index(other.severity) < rank for other in of.alerts):
        return True
    parents = (rule.muted_by,) if rule.muted_by is not None else parents_of(kpi, catalog)
    return any(
        SEVERITIES.index(other.severity) <= rank
        for parent in parents
        if parent in catalog.kpis
        for other in catalog.kpis[parent].alerts
        if (parent, other.name) != (kpi, alert)
    )


def rule_of(kpi: Kpi, alert: str) -> Alert | None:
    return next((rule for rule in kpi.alerts if rule.name == alert), None)


def parents_of(kpi: str, catalog: Catalog) -> tuple[str, ...]:
    """The KPIs that count the same over the same windows by fewer dimensions, those with the fewest first."""
    of = catalog.kpis[kpi]
    found = [
        each for each in catalog.kpis.values() if set(each.group_by) < set(of.group_by) and counts_the_same(each, of)
    ]
    return tuple(each.name for each in sorted(found, key=lambda each: (len(each.group_by), each.name)))


def counts_the_same(one: Kpi, other: Kpi) -> bool:
    """Whether two KPIs differ in nothing but their dimensions: metrics or expression, filter, windows, calendar."""
    return _counted(one) == _counted(other)


def _counted(kpi: Kpi) -> tuple[object, ...]:
    return (kpi.type, kpi.metric, kpi.numerator, kpi.denominator, kpi.expr, kpi.where, kpi.window, kpi.calendar)


def ways(condition: Condition, value: Decimal | None, bound: Decimal | None) -> frozenset[Way]:
    """To which side the value of such an alert is wrong: both, where that is not known."""
    match condition:
        case Threshold(lower=lower, upper=upper) | Change(bounds=Threshold(lower=lower, upper=upper)):
            if lower is not None and upper is not None:
                if isinstance(condition, Change) or value is None or bound is None:
                    return frozenset(("down", "up"))
                return frozenset(("down",)) if value < bound else frozenset(("up",))
            return frozenset(("down",)) if lower is not None else frozenset(("up",))
        case PaceBelow():
            return frozenset(("down",))
        case Anomaly(direction=direction):
            return frozenset(("down", "up")) if direction == "both" else frozenset((direction,))
        case NoData():
            return frozenset(("silent",))
        case BurnRate():
            return frozenset(("burning",))


def _agree(one: Judged, other: Judged) -> bool:
    return all(one.dims[name] == value for name, value in other.dims.items() if name in one.dims)
