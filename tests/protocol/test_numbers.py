"""Protocol rules 17 and 18 through both stages; tests/engine/aggregations has the laws of each aggregation."""

from __future__ import annotations

import statistics
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plan import Plan
from tests.engine.rig import HOUR, T0, Event, Rig, end, order, planned, run, shop

METRICS = """
  total: {source: orders, agg: sum, expr: ratio}
  deviation: {source: orders, agg: stddev, expr: ratio}
  spread: {source: orders, agg: variance, expr: amount}
  p90: {source: orders, agg: percentile, percentile: 0.9, expr: ratio, accuracy: 1%}
  few: {source: orders, agg: count_distinct, expr: buyer, accuracy: 2%, exact_below: 100}
  opening: {source: orders, agg: first, expr: amount}
  closing: {source: orders, agg: last, expr: amount}
  pace: {source: orders, agg: rate, expr: amount, per: minute}
  units: {source: orders, agg: sum, expr: buyer}
"""
NAMES = ("total", "deviation", "spread", "p90", "few", "opening", "closing", "pace", "units", "revenue")


def plan_of(*names: str) -> Plan:
    kpis = [f"  k_{name}: {{metric: {name}, window: {{type: tumble, size: 1h}}}}\n" for name in names]
    return planned(shop("".join(kpis), metrics=METRICS))


PLAN, TOTAL, P90 = plan_of(*NAMES), plan_of("total"), plan_of("p90")


def closed(events: list[Event], chunk: int = 100, partitions: int = 2, plan: Plan = PLAN) -> dict[str, object]:
    """The values of the first hour, by metric, of those that have any."""
    rig = Rig(plan, partitions=partitions)
    run(rig, events, chunk)
    for p in range(partitions):
        rig.send(p, [order(T0 + 2 * HOUR)])
        rig.flush(p)
    rig.publish()
    assert not rig.rejects
    return {kpi.removeprefix("k_"): value for (kpi, _, at), (value, _) in rig.answers().items() if at == end(1)}


def test_rule_17_integers_and_decimals_are_summed_beyond_64_bits() -> None:
    events = [order(T0 + at, amount=9999999999.99, buyer=2**63 - 1) for at in range(5)]
    values = closed(events)
    assert values["units"] == 5 * (2**63 - 1)
    assert values["revenue"] == 5 * Decimal("9999999999.99")


@settings(max_examples=12)
@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=12), st.integers(1, 12), st.integers(1, 3))
def test_rule_17_sums_of_doubles_do_not_depend_on_batches_order_or_partitions(
    numbers: list[float], chunk: int, partitions: int
) -> None:
    events = [order(T0 + at, ratio=number) for at, number in enumerate(numbers)]
    one = closed(events, 100, 1, TOTAL)["total"]
    assert closed(events[::-1], chunk, partitions, TOTAL)["total"] == one
    exact = sum((Fraction(round(Fraction(number) * 2**40), 2**40) for number in numbers), Fraction(0))
    # Shown to 15 digits, at most 12 of them of the fraction.
    assert abs(Fraction(str(one)) - exact) <= max(Fraction(1, 2 * 10**12), abs(exact) * Fraction(5, 10**15))


def test_rule_17_what_is_made_of_a_sum_of_doubles_has_the_digits_of_a_sum_of_doubles() -> None:
    """Not the forty binary digits that it is scaled to."""
    kpis = "  both: {type: derived, expr: total + revenue, window: {type: tumble, size: 1h}}\n"
    plan = planned(shop(kpis, metrics=METRICS))
    events = [order(T0, amount=0.1, ratio=0.1), order(T0 + 1, amount=1.2, ratio=0.53)]
    assert closed(events, plan=plan)["both"] == Decimal("1.93")


@pytest.mark.parametrize("number", [2.0**80, -(2.0**80), float("inf"), float("nan")])
def test_rule_17_doubles_beyond_what_is_summed_are_invalid(number: float) -> None:
    rig = Rig(PLAN, partitions=1)
    rig.send(0, [order(T0, ratio=number)])
    assert rig.sources[0].take_counts()["invalid"] == 1


def test_rule_17_decimals_with_more_digits_than_declared_are_invalid() -> None:
    rig = Rig(PLAN, partitions=1)
    rig.send(0, [order(T0, amount=1.005)])
    assert rig.sources[0].take_counts()["invalid"] == 1


def test_rule_17_variance_and_deviation_are_those_of_a_sample() -> None:
    numbers = [1e9 + 1, 1e9 + 2, 1e9 + 4, 1e9 + 4]
    values = closed([order(T0 + at, amount=number, ratio=number) for at, number in enumerate(numbers)], chunk=1)
    assert Fraction(str(values["spread"])) == Fraction("2.25")
    assert float(str(values["deviation"])) == pytest.approx(statistics.stdev(numbers), rel=1e-11)


@settings(max_examples=10)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_rule_18_a_percentile_is_the_value_at_rank_ceil_q_n_to_its_accuracy(numbers: list[float]) -> None:
    numbers = [0.0 if abs(number) < 1e-6 else number for number in numbers]
    value = closed([order(T0 + at, ratio=number) for at, number in enumerate(numbers)], 7, 2, P90)["p90"]
    expected = sorted(numbers)[ceil(Fraction(9, 10) * len(numbers)) - 1]
    assert float(str(value)) == pytest.approx(expected, rel=0.0101, abs=1e-9)


def test_rule_18_distinct_is_exact_while_the_union_is_small_and_does_not_depend_on_order_above() -> None:
    small = [order(T0 + at, buyer=at % 90) for at in range(180)]
    assert closed(small, chunk=13)["few"] == 90
    large = [order(T0 + at, buyer=at % 3000) for at in range(4000)]
    first, second = closed(large, chunk=700)["few"], closed(large[::-1], chunk=4000)["few"]
    assert first == second
    assert float(str(first)) == pytest.approx(3000, rel=0.08)


def test_rule_18_first_and_last_are_by_time_partition_and_offset() -> None:
    """Two partitions, equal times: the lower partition comes first, in it the lower offset."""
    rig = Rig(PLAN, partitions=2)
    rig.send(1, [order(T0 + 5, amount=3), order(T0 + 5, amount=4), order(T0 + 2 * HOUR)])
    rig.send(0, [order(T0 + 5, amount=1), order(T0 + 5, amount=2), order(T0 + 2 * HOUR)])
    for p in (1, 0):
        rig.flush(p)
    rig.publish()
    assert rig.newest("k_opening")["", end(1)]["value"] == 1
    assert rig.newest("k_closing")["", end(1)]["value"] == 4


def test_rule_18_a_rate_is_by_the_elapsed_time_of_its_window() -> None:
    assert closed([order(T0, amount=30), order(T0 + 1, amount=60)])["pace"] == Decimal("1.5")
