"""What is published bit by bit, against what a merge publishes that is given everything at once."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pytest

from engine.merging import MergePartition
from engine.values import render
from tests.engine.rig import HOUR, T0, Rig, Value, order, orders, planned, shop

METRICS = """
  p90: {source: orders, agg: percentile, percentile: 0.9, expr: amount, accuracy: 1%}
  early: {source: orders, agg: first, expr: amount}
  pace: {source: orders, agg: rate, per: hour}
"""
KPIS = """
  by_region: {metric: revenue, group_by: [region], window: {type: hop, size: 24h, slide: 1h}}
  buyers_by_region:
    {metric: buyers, group_by: [region], window: {type: hop, size: 6h, slide: 1h}, compare: {offset_window: 6h}}
  buyers_today: {metric: buyers, window: {type: cumulate, grain_to_date: day, step: 1h}, compare: {offset_window: 1d}}
  p90_today: {metric: p90, window: {type: tumble, grain: day}}
  first_of_day: {metric: early, window: {type: tumble, grain: day}}
  pace_today: {metric: pace, window: {type: tumble, grain: day}}
  share: {type: ratio, numerator: revenue, denominator: orders, window: {type: hop, size: 24h, slide: 6h}}
  growth: {type: derived, expr: orders - orders@1d, window: {type: tumble, size: 6h}}
"""
Shown = dict[tuple[str, str, str], tuple[object, ...]]


def shown(values: list[Value]) -> Shown:
    """The last value of each window that is open."""
    return {
        (str(value["kpi"]), str(value["dims"]), str(value["window"])): (
            value["value"],
            value["samples"],
            str(value["compare"]),
        )
        for value in values
        if value["state"] == "open"
    }


def at_once(rig: Rig) -> Shown:
    """What is open, by merges that have seen nothing before."""
    values: list[Value] = []
    for number, log in enumerate(rig.log):
        merge = MergePartition(rig.plan, number, len(rig.log))
        merge.apply([(key, value, offset) for offset, (key, value) in enumerate(log)])
        merge.republish()
        for rows in merge.publish().values:
            values += [json.loads(value, parse_float=Decimal) for _, value in render(rows)]
    return shown(values)


@pytest.mark.parametrize(("regions", "seed"), [(50, 1), (50, 2), (2, 3)], ids=["", "another", "above the cap"])
def test_windows_that_are_open_are_the_same_whether_merged_bit_by_bit_or_at_once(regions: int, seed: int) -> None:
    """Each event is published alone; some come late, into panes that were merged long before."""
    rng = random.Random(seed)
    rig = Rig(planned(shop(KPIS, metrics=METRICS, regions=regions)), partitions=2)
    for event in orders(120, seed=seed, hours=40):
        late_us = rng.randrange(20 * HOUR) if rng.random() < 0.1 else 0
        rig.send(rng.randrange(2), [event | {"at": int(str(event["at"])) - late_us}])
        for p in range(2):
            rig.flush(p)
        rig.publish(open_windows=rng.random() < 0.8)
    for hour in range(3):  # in the same windows, one after the other
        for minute in range(12):
            late_us = 7 * HOUR if minute % 4 == 3 else 0  # into windows that the open ones are compared with
            at = T0 + 41 * HOUR + hour * HOUR // 8 + minute - late_us
            rig.send(minute % 2, [order(at, rng.choice(["EU", "US"]), buyer=40 + minute)])
            rig.flush(minute % 2)
            rig.publish()
        expected = at_once(rig)
        assert len({kpi for kpi, _, _ in expected}) == 8
        found = shown(rig.values)
        assert {key: found.get(key) for key in expected} == expected
