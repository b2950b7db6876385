"""Both stages together, without a broker: events in, values out, against sums made by hand."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal

import pytest

from engine.accumulating import Progress
from engine.plan import Plan, plan_catalog
from engine.records import HEARTBEAT, record_kind
from tests.engine.rig import HOUR, T0, Rig, by_hour, iso, load, order, orders, planned, run, shop

CATALOG = """
version: 1
name: shop
goals:
  grow: {title: Grow, owner: ceo}
sources:
  orders:
    topic: shop.orders
    format: json
    event_time: at
    watermark: {delay: 0s, idle_after: 1m, max_future: 1h}
    fields:
      at: {type: timestamp, unit: us}
      region: {type: string, max_values: 50}
      amount: decimal(12,2)
      buyer: integer
metrics:
  revenue: {source: orders, agg: sum, expr: amount, unit: EUR}
  orders: {source: orders, agg: count}
  buyers: {source: orders, agg: count_distinct, expr: buyer, accuracy: 2%}
kpis:
  revenue_hourly:
    metric: revenue
    group_by: [region]
    window: {type: tumble, size: 1h}
  revenue_day:
    metric: revenue
    group_by: [region]
    window: {type: hop, size: 24h, slide: 1h}
    compare: {offset_window: 24h}
  basket:
    type: ratio
    numerator: revenue
    denominator: orders
    window: {type: cumulate, grain_to_date: day, step: 1h}
  buyers_day:
    metric: buyers
    window: {type: hop, size: 24h, slide: 1h}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_catalog(load(CATALOG))


def test_hourly_sums_equal_those_made_by_hand(plan: Plan) -> None:
    rig, events = Rig(plan), orders(2000)
    run(rig, events)
    expected = by_hour(events)
    newest = rig.newest("revenue_hourly")
    closed = {key: value["value"] for key, value in newest.items() if value["samples"]}
    last = max(hour for _, hour in expected)
    assert closed == {(region, iso(hour + 1)): total for (region, hour), total in expected.items() if hour < last}


def test_rolling_day_equals_the_sum_of_its_hours_and_compares_with_the_day_before(plan: Plan) -> None:
    rig, events = Rig(plan), orders(2000)
    run(rig, events)
    hours = by_hour(events)
    newest = rig.newest("revenue_day")
    first = T0 // HOUR
    for end in range(first + 1, first + 59):
        for region in ("EU", "US", "APAC"):
            expected = sum((hours.get((region, hour), Decimal(0)) for hour in range(end - 24, end)), Decimal(0))
            value = newest.get((region, iso(end)))
            if expected:
                assert value is not None
                assert value["value"] == expected
                before = sum((hours.get((region, hour), Decimal(0)) for hour in range(end - 48, end - 24)), Decimal(0))
                compare = value["compare"]
                assert (compare["value"] if isinstance(compare, dict) else None) == (before or None)


def test_distinct_and_ratio(plan: Plan) -> None:
    rig, events = Rig(plan), orders(1500)
    run(rig, events)
    buyers = rig.newest("buyers_day")
    basket = rig.newest("basket")
    first = T0 // HOUR
    for end in range(first + 1, first + 59):
        inside = [event for event in events if end - 24 <= int(str(event["at"])) // HOUR < end]
        assert buyers["", iso(end)]["value"] == len({event["buyer"] for event in inside})
        start = (end - 1) // 24 * 24
        today = [Decimal(str(event["amount"])) for event in events if start <= int(str(event["at"])) // HOUR < end]
        found = basket["", iso(end)]["value"]
        assert isinstance(found, Decimal | int)
        assert abs(Decimal(found) - sum(today) / len(today)) < Decimal("1e-9")


def test_batching_and_restarts_change_no_value(plan: Plan) -> None:
    events = orders(1200)
    plain, cut = Rig(plan), Rig(plan)
    run(plain, events, chunk=1200)
    rng = random.Random(5)
    for first in range(0, len(events), 40):
        part = events[first : first + 40]
        for p in range(2):
            mine = part[p::2]
            cut.send(p, mine)
            fate = rng.randrange(4)
            if fate == 0:  # killed before anything was written: the events come again
                cut.restart(p)
                cut.read(p)
            if fate <= 2:
                cut.flush(p)
        cut.publish()
    for p in range(2):
        cut.flush(p)
    cut.publish()
    for kpi in ("revenue_hourly", "revenue_day", "basket", "buyers_day"):
        left, right = plain.newest(kpi), cut.newest(kpi)
        assert {key: (v["value"], v["samples"]) for key, v in left.items()} == {
            key: (v["value"], v["samples"]) for key, v in right.items()
        }


def test_a_late_event_revises_what_was_closed(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(
        0,
        [
            {"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1},
            {"at": T0 + 2 * HOUR, "region": "EU", "amount": 2, "buyer": 1},
        ],
    )
    rig.flush(0)
    rig.publish()
    closed = rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 1)]
    assert (closed["value"], closed["revision"], closed["state"]) == (Decimal("1.50"), 1, "closed")
    rig.send(0, [{"at": T0 + 20, "region": "EU", "amount": 0.25, "buyer": 2}])
    rig.flush(0)
    rig.publish()
    revised = rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 1)]
    assert (revised["value"], revised["revision"], revised["state"]) == (Decimal("1.75"), 2, "revised")


def test_windows_close_while_the_source_is_idle(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [{"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1}])
    rig.flush(0)
    rig.publish()
    assert not rig.newest("revenue_hourly")
    rig.flush(0, Progress(at_end=True, silent_us=61_000_000, now_us=T0 + 30 * HOUR))
    rig.publish()
    assert rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 1)]["value"] == Decimal("1.50")
    after = rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 2)]
    assert (after["value"], after["samples"]) == (None, 0)
    assert ("EU", iso(T0 // HOUR + 3)) not in rig.newest("revenue_hourly")
    left = [value for key, value in rig.newest("revenue_day").items() if value["samples"] == 0]
    assert len(left) == 1


def test_heartbeats_are_told_apart_from_blocks(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [{"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1}])
    rig.flush(0)
    assert [record_kind(key) == HEARTBEAT for key, _ in rig.log[0]].count(True) == 2


def test_a_restarted_merge_goes_on_with_the_same_values_and_revisions(plan: Plan) -> None:
    events = orders(1000)
    plain, cut = Rig(plan), Rig(plan)
    for rig in (plain, cut):
        for first in range(0, len(events), 100):
            for p in range(2):
                rig.send(p, events[first : first + 100][p::2])
                rig.flush(p)
            rig.publish()
            if rig is cut:
                rig.restart_merge()
    for kpi in ("revenue_hourly", "revenue_day", "basket", "buyers_day"):
        assert plain.newest(kpi) == cut.newest(kpi)


CAPPED = """
version: 1
name: shop
sources:
  orders:
    topic: shop.orders
    format: json
    event_time: at
    fields:
      at: {type: timestamp, unit: us}
      buyer: {type: integer, max_values: CAP}
      amount: decimal(12,2)
metrics:
  revenue: {source: orders, agg: sum, expr: amount, unit: EUR}
  p95: {source: orders, agg: percentile, percentile: 0.95, expr: amount, accuracy: 1%}
kpis:
  revenue_by_buyer: {metric: revenue, group_by: [buyer], window: {type: tumble, size: 1h}}
  p95_by_buyer: {metric: p95, group_by: [buyer], window: {type: tumble, size: 1h}}
"""


@pytest.mark.parametrize(("cap", "buckets"), [(50, 1), (4000, 4)])
def test_above_the_cap_series_go_into_other_and_the_total_adds_up(cap: int, buckets: int) -> None:
    """Rule 16."""
    plan = plan_catalog(load(CAPPED.replace("CAP", str(cap))))
    assert plan.views[0].dimensions.buckets == buckets
    rng = random.Random(3)
    series = cap * 2
    events = [
        {"at": T0 + i * HOUR // (series * 2), "buyer": rng.randrange(series), "amount": rng.randrange(1, 1000) / 100}
        for i in range(series * 2)
    ]
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        expected[str(event["buyer"])] += Decimal(str(event["amount"]))
    results = []
    for chunk in (len(events), len(events) // 5):
        rig = Rig(plan, partitions=2, merges=2)
        for first in range(0, len(events), chunk):
            for p in range(2):
                rig.send(p, events[first : first + chunk][p::2])
                rig.flush(p)
            rig.publish()
        for p in range(2):
            folded = rig.sources[p].take_folded()
            assert folded.keys() == {"revenue_by_buyer", "p95_by_buyer"}
            assert all(count > 0 for count in folded.values())
            assert rig.sources[p].take_folded() == {}
            rig.send(p, [{"at": T0 + 2 * HOUR, "buyer": 0, "amount": 1}])
            rig.flush(p)
        rig.publish()
        rig.publish()
        found = {
            dims: value["value"]
            for (dims, end), value in rig.newest("revenue_by_buyer").items()
            if end == iso(T0 // HOUR + 1)
        }
        other = found.pop("__other__")
        assert all(found[buyer] == expected[buyer] for buyer in found)
        assert isinstance(other, Decimal)
        assert other + sum(Decimal(str(v)) for v in found.values()) == sum(expected.values())
        assert cap <= len(found) <= cap * 1.3
        results.append((found, other))
        percentiles = {dims for dims, end in rig.newest("p95_by_buyer") if end == iso(T0 // HOUR + 1)}
        assert percentiles == {*found, "__other__"}
    assert results[0] == results[1]


def test_series_that_nothing_holds_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.series._MANY", 20)
    text = shop("  by_buyer: {metric: revenue, group_by: [buyer], window: {type: tumble, size: 1h}}\n", lateness="1h")
    rig = Rig(planned(text), partitions=1)
    for hour in range(30):
        rig.send(0, [order(T0 + hour * HOUR, buyer=hour * 5 + i) for i in range(5)])
        rig.flush(0)
        rig.publish()
    assert all(len(directory) <= 25 for directory in rig.sources[0]._directories.values())
    assert all(len(directory) <= 45 for directory in rig.merges[0]._directories.values())
    shown = {dims for dims, _ in rig.newest("by_buyer")}
    assert shown == {str(buyer) for buyer in range(145)}


def test_what_was_closed_last_is_shown_again_after_a_restart_in_a_silence(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [{"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1}])
    rig.flush(0, Progress(at_end=True, silent_us=61_000_000, now_us=T0 + 60 * HOUR))
    rig.publish()
    before = rig.newest("revenue_hourly")
    assert {end for _, end in before} == {iso(T0 // HOUR + 1), iso(T0 // HOUR + 2)}
    rig.restart_merge()
    rig.values.clear()
    rig.merges[0].republish()
    rig.publish()
    assert rig.newest("revenue_hourly") == before
    rig.values.clear()
    rig.publish()
    assert not rig.values
