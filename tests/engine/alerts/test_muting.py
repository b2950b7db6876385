"""Who says nothing new: each row is a sentence about one alert and one that fires beside it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.alerts.muting import Muting, alert_key, may_be_muted, muted_by, parents_of
from engine.catalog.alerting import Alert, Anomaly, BurnRate, Change, NoData, PaceBelow, Threshold
from engine.catalog.model import Calendar, Catalog, Duration, Kpi, Tumble
from tests.engine.alerts.judged import Sighting

BELOW, ABOVE = Threshold(lower=Decimal(10)), Threshold(upper=Decimal(90))
OUTSIDE = Threshold(lower=Decimal(10), upper=Decimal(90))
RULES = (
    Alert("Low", BELOW, "critical"),
    Alert("High", ABOVE, "critical"),
    Alert("Outside", OUTSIDE, "critical"),
    Alert("LowWarning", BELOW, "warning"),
    Alert("LowInfo", BELOW, "info"),
    Alert("Slow", PaceBelow(Decimal("0.9"), Decimal("0.95")), "critical"),
    Alert("Dropped", Change(Threshold(lower=Decimal("-0.2"))), "critical"),
    Alert("Swung", Change(Threshold(lower=Decimal("-0.2"), upper=Decimal("0.2"))), "critical"),
    Alert("Odd", Anomaly(Decimal(4), Decimal(3)), "critical"),
    Alert("OddlyHigh", Anomaly(Decimal(4), Decimal(3), direction="up"), "critical"),
    Alert("Silent", NoData(1), "critical"),
    Alert("Burning", BurnRate(()), "critical"),
)
DECLARED = Alert("Few", BELOW, "critical", muted_by="visits")


def kpi(name: str, *group_by: str, minutes: int = 5, alerts: tuple[Alert, ...] = RULES, metric: str = "sales") -> Kpi:
    window = Tumble(size=Duration(minutes, "m"))
    return Kpi(name, "simple", window, Calendar(), metric=metric, group_by=group_by, alerts=alerts)


def catalog(*kpis: Kpi) -> Catalog:
    return Catalog("shop", Calendar(), {}, {}, {}, {each.name: each for each in kpis})


SHOP = catalog(
    kpi("total"),
    kpi("by_region", "region"),
    kpi("by_store", "region", "store"),
    kpi("by_product", "product"),
    kpi("daily", minutes=1440),
    kpi("visits", metric="visits"),
    kpi("conversion", "region", metric="conversion", alerts=(DECLARED,)),
)
EU, US = {"region": "EU"}, {"region": "US"}
STORE: dict[str, str | None] = {"region": "EU", "store": "7"}


def at(alert: str, kpi: str, dims: Any = None, **more: Any) -> Sighting:
    rules = {rule.name: rule for rule in (*RULES, DECLARED)}
    return Sighting(alert, kpi, dims or {}, **{"severity": rules[alert].severity, **more})


LOW_STORE = at("Low", "by_store", STORE)

ROWS: list[tuple[str, Sighting, Sighting, bool]] = [
    ("nothing is muted by itself", at("Low", "total"), at("Low", "total"), False),
    ("a warning is muted by a critical of its series", at("LowWarning", "total"), at("Low", "total"), True),
    ("whatever the critical is about", at("LowWarning", "total"), at("High", "total"), True),
    ("but not before it fires", at("LowWarning", "total"), at("Low", "total", state="pending"), False),
    ("nor when it is over", at("LowWarning", "total"), at("Low", "total", state="resolved"), False),
    ("nor by one of another series", at("LowWarning", "by_region", EU), at("Low", "by_region", US), False),
    ("an info is muted by a warning", at("LowInfo", "total"), at("LowWarning", "total"), True),
    ("a critical is not muted by a warning", at("Low", "total"), at("LowWarning", "total"), False),
    ("two of the same severity are both told", at("Low", "total"), at("Slow", "total"), False),
    ("a segment is muted by the whole", at("Low", "by_region", EU), at("Low", "total"), True),
    ("and a part of it by the segment", LOW_STORE, at("Low", "by_region", EU), True),
    ("but not by another segment", LOW_STORE, at("Low", "by_region", US), False),
    ("and by the whole at once", LOW_STORE, at("Low", "total"), True),
    ("the whole is not muted by a part", at("Low", "total"), LOW_STORE, False),
    ("nor one dimension by another", at("Low", "by_region", EU), at("Low", "by_product", {"product": "a"}), False),
    ("a critical is not muted by a parent's warning", LOW_STORE, at("LowWarning", "total"), False),
    ("a warning is muted by a parent's critical", at("LowWarning", "by_store", STORE), at("Low", "total"), True),
    ("other windows are another cause", LOW_STORE, at("Low", "daily"), False),
    ("another metric is another cause", LOW_STORE, at("Low", "visits"), False),
    ("the other direction is another cause", LOW_STORE, at("High", "total"), False),
    ("behind pace is the same direction as below", LOW_STORE, at("Slow", "total"), True),
    ("fallen is the same direction as below", LOW_STORE, at("Dropped", "total"), True),
    ("swung may be either direction", LOW_STORE, at("Swung", "total"), True),
    ("odd may be either direction", LOW_STORE, at("Odd", "total"), True),
    ("oddly high is the other direction", LOW_STORE, at("OddlyHigh", "total"), False),
    ("silence is another cause than a low value", LOW_STORE, at("Silent", "total"), False),
    ("silence of a part is muted by that of the whole", at("Silent", "by_store", STORE), at("Silent", "total"), True),
    ("burning is another cause than a low value", LOW_STORE, at("Burning", "total"), False),
    (
        "outside by being too low is the same as below",
        LOW_STORE,
        at("Outside", "total", value=Decimal(9), bound=Decimal(10)),
        True,
    ),
    (
        "outside by being too high is not",
        LOW_STORE,
        at("Outside", "total", value=Decimal(91), bound=Decimal(90)),
        False,
    ),
    (
        "outside nobody knows where may be",
        LOW_STORE,
        at("Outside", "total"),
        True,
    ),
    (
        "the same name is the same cause in any direction",
        at("Outside", "by_store", STORE, value=Decimal(91), bound=Decimal(90)),
        at("Outside", "total", value=Decimal(9), bound=Decimal(10)),
        True,
    ),
    ("a declared parent mutes whatever its metric", at("Few", "conversion", EU), at("Low", "visits"), True),
    ("and in any direction", at("Few", "conversion", EU), at("High", "visits"), True),
    ("but not with a warning", at("Few", "conversion", EU), at("LowWarning", "visits"), False),
]


@pytest.mark.parametrize(("alert", "other", "muted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_who_mutes_whom(alert: Sighting, other: Sighting, muted: bool) -> None:
    assert muted_by(alert, [alert, other], SHOP) == (alert_key(other) if muted else None)
    if muted:
        assert may_be_muted(alert.kpi, alert.alert, SHOP)


def test_the_most_severe_is_named_whatever_the_order() -> None:
    info, warning, critical = at("LowInfo", "total"), at("LowWarning", "total"), at("Low", "total")
    for active in ([info, warning, critical], [critical, warning, info]):
        muting = Muting(active, SHOP)
        assert [muting.of(each) for each in (info, warning, critical)] == ["Low|total|-", "Low|total|-", None]


@pytest.mark.parametrize(
    ("kpi", "parents"),
    [("by_store", ("total", "by_region")), ("by_region", ("total",)), ("total", ()), ("conversion", ())],
)
def test_parents_count_the_same_by_fewer_dimensions(kpi: str, parents: tuple[str, ...]) -> None:
    assert parents_of(kpi, SHOP) == parents


def test_what_nothing_can_mute_need_not_wait() -> None:
    assert not may_be_muted("total", "Low", SHOP)
    assert may_be_muted("total", "LowWarning", SHOP)
    assert may_be_muted("by_store", "Low", SHOP)
    assert may_be_muted("conversion", "Few", SHOP)
    alone = catalog(kpi("total", alerts=()), kpi("by_region", "region"))
    assert not may_be_muted("by_region", "Low", alone)


def test_what_the_catalog_does_not_know_any_more_is_muted_by_nothing() -> None:
    gone = Sighting("Low", "gone")
    assert muted_by(gone, [at("Low", "total")], SHOP) is None
    assert not may_be_muted("gone", "Low", SHOP)
    assert not may_be_muted("total", "Gone", SHOP)


def test_the_key_is_that_of_the_topic() -> None:
    assert alert_key(Sighting("Low", "k", {"a": "x|y", "b": None})) == "Low|k|a=x%7Cy,b=__null__"
