"""Seasonal pace out of the panes: what the whole engine says, against arithmetic by hand; the same after a crash."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import pytest

from engine.plan import plan_catalog
from tests.engine.rig import DAY, HOUR, T0, Event, Rig, Value, end, load, order, planned, shop

KPIS = """
  sales:
    metric: revenue
    group_by: [region]
    window: {type: cumulate, grain_to_date: day, step: 1h}
    compare: {offset_window: 7d}
    objectives: [{op: gte, value: 2000, pacing: seasonal}]
  plain: {metric: revenue, window: {type: cumulate, grain_to_date: day, step: 1h}}
"""
DAYS = 62


def events(days: int = DAYS, seed: int = 1) -> list[Event]:
    """Some an hour from 8 to 20, more on some weekdays; US begins on the 50th day."""
    rng = random.Random(seed)
    found = []
    for day in range(days):
        for hour in range(8, 20):
            for region in ("EU", "US") if day >= 50 else ("EU",):
                at = T0 + day * DAY + hour * HOUR + rng.randrange(HOUR)
                found.append(order(at, region, (day % 7 + 1) * 10 + hour + rng.randrange(9)))
    return sorted(found, key=lambda event: int(str(event["at"])))


def run_days(rig: Rig, of: Sequence[Event], first: int, last: int) -> None:
    for day in range(first, last):
        part = [event for event in of if T0 + day * DAY <= int(str(event["at"])) < T0 + (day + 1) * DAY]
        for p in range(rig.partitions):
            rig.send(p, part[p :: rig.partitions])
            rig.flush(p)
        rig.publish()


def pace_of(value: Value) -> dict[str, object]:
    pace = value["pace"]
    assert isinstance(pace, dict)
    return pace


def expected_by_hand(of: Sequence[Event], day: int, hour: int, settled: int = 1) -> float:
    """2000, as far as past weeks had it by that hour: means by weekday and hour of the 56 settled days."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    days: dict[int, int] = defaultdict(int)
    for past in range(day - settled - 56, day - settled):
        days[past % 7] += 1
    for event in of:
        past, within = divmod(int(str(event["at"])) - T0, DAY)
        if day - settled - 56 <= past < day - settled and event["region"] == "EU":
            sums[past % 7, within // HOUR] += float(str(event["amount"]))
    mean = [sums[day % 7, h] / days[day % 7] for h in range(24)]
    return 2000 * sum(mean[:hour]) / sum(mean)


def test_what_is_expected_is_what_the_weeks_before_had() -> None:
    rig, of = Rig(planned(shop(KPIS))), events()
    run_days(rig, of, 0, DAYS)
    newest = rig.newest("sales")
    for day in (58, 59, 60):
        for hour in range(9, 24):
            pace = pace_of(newest["EU", end(day * 24 + hour)])
            assert pace["way"] == "seasonal"
            assert float(str(pace["expected"])) == pytest.approx(expected_by_hand(of, day, hour), rel=1e-9)
            value = newest["EU", end(day * 24 + hour)]["value"]
            assert isinstance(value, Decimal)
            assert float(str(pace["share"])) == pytest.approx(float(value) / float(str(pace["expected"])), abs=1e-6)
            assert pace["forecast_low"] <= pace["forecast"] <= pace["forecast_high"]  # type: ignore[operator]
    young = pace_of(newest["US", end(60 * 24 + 12)])
    assert (young["way"], young["forecast_low"]) == ("linear", None)
    assert str(young["reason"]).endswith("; linear: 8 days of history, seasonal needs 14")


def test_a_kpi_without_pacing_has_none() -> None:
    rig = Rig(planned(shop(KPIS)))
    run_days(rig, events(3), 0, 3)
    assert {value["pace"] for value in rig.values if value["kpi"] == "plain"} == {None}


def test_a_crash_changes_no_pace() -> None:
    plan, of = planned(shop(KPIS)), events()
    calm, shaken = Rig(plan), Rig(plan)
    run_days(calm, of, 0, DAYS)
    for day in range(DAYS):
        run_days(shaken, of, day, day + 1)
        if day in (20, 57, 58, 60):
            shaken.restart_merge()
            shaken.restart(0)
    left, right = calm.newest("sales"), shaken.newest("sales")
    assert len(left) > 1000
    assert {key: (v["pace"], v["status"]) for key, v in left.items()} == {
        key: (v["pace"], v["status"]) for key, v in right.items()
    }


def test_what_comes_late_changes_no_profile_that_is_in_use() -> None:
    """History ends where nothing can change any more: two ways to the same numbers have the same pace."""
    plan, of = planned(shop(KPIS)), events()
    late = order(T0 + 58 * DAY + 23 * HOUR, "EU", 5000)  # within the allowed day, while the 59th day goes on
    first, then = Rig(plan), Rig(plan)
    run_days(first, [*of, late], 0, DAYS)
    run_days(then, of, 0, 59)
    half = [event for event in of if 0 <= int(str(event["at"])) - T0 - 59 * DAY < 12 * HOUR]
    then.send(0, half)
    then.send(1, [late])
    for p in range(2):
        then.flush(p)
    then.publish()
    run_days(then, [event for event in of if event not in half], 59, DAYS)
    at = end(60 * 24 + 15)
    assert pace_of(first.newest("sales")["EU", at]) == pace_of(then.newest("sales")["EU", at])


def test_panes_are_kept_for_the_weeks_that_pacing_looks_back() -> None:
    retained = [
        {view.retain_us for view in plan_catalog(load(shop(text))).views}
        for text in (KPIS, KPIS.replace("pacing: seasonal", ""))
    ]
    assert max(retained[0]) >= 57 * DAY > 10 * DAY > max(retained[1])


def test_days_and_hours_are_those_of_the_kpis_time_zone() -> None:
    """In Kathmandu, 5:45 ahead, shops that are open from 8 to 20 of UTC take nothing from 1:45 to 13:45. Profiles go by
    whole hours of the wall clock.
    """
    text = KPIS.replace("    compare:", "    timezone: Asia/Kathmandu\n    compare:")
    rig = Rig(planned(shop(text)))
    run_days(rig, events(), 0, DAYS)
    by_end = {at: pace_of(value) for (region, at), value in rig.newest("sales").items() if region == "EU"}
    at = [by_end[f"2026-03-02T{hour}:45:00+05:45"]["expected"] for hour in ("00", "02", "12", "13", "14", "23")]
    assert 0 < at[0] < at[1] == at[2] < at[3] < at[4] < at[5] < 2000  # type: ignore[operator]
