"""What alerts look back at, against SQL over the events."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog.alerting import Alert, Anomaly, BurnRate, BurnWindow, Condition
from engine.catalog.model import Objective
from engine.event_time.windows import Spans
from engine.lookback.lookback import Lookback
from engine.lookback.robust import Floats, robust_scores
from engine.plan import Plan, plan_catalog
from engine.series import Hashes
from tests.engine.rig import DAY, HOUR, MINUTE, T0, Event, Rig, load, order, run, shop

WEEK = 7 * DAY
ANOMALY = Anomaly(Decimal("3.5"), Decimal(2), weeks=4, at_least=3)
BURN = BurnRate((BurnWindow(6 * HOUR, 30 * MINUTE, Decimal(6)), BurnWindow(HOUR, 5 * MINUTE, Decimal("14.4"))))
GTE = Objective("gte", Decimal("0.9"))
HOURLY = "  k: {metric: orders, group_by: [region], window: {type: tumble, size: 1h}}"
SALES = "  k: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}"
GOOD = """
  k: {type: ratio, numerator: good, denominator: orders, group_by: [region], window: {type: hop, size: 24h, slide: 1h}}
"""
METRICS = '  good: {source: orders, agg: count, filter: "amount > 10"}'


def planned(kpis: str, *conditions: Condition, zone: str = "UTC") -> Plan:
    catalog = load(
        shop(kpis, metrics=METRICS, lateness="1440h").replace("goals:", f"defaults: {{timezone: {zone}}}\ngoals:", 1)
    )
    alerts = tuple(Alert(f"a{i}", when) for i, when in enumerate(conditions))
    return plan_catalog(replace(catalog, kpis={"k": replace(catalog.kpis["k"], alerts=alerts)}))


def rig_of(plan: Plan) -> Rig:
    """With panes as the alerts need them, where nobody judges them."""
    of = plan.kpis[0]
    return Rig(replace(plan, kpis=(replace(of, kpi=replace(of.kpi, alerts=())),)))


def lookback_of(rig: Rig, *conditions: Condition) -> Lookback:
    publisher = rig.merges[0]._kpis[0]
    alerts = tuple(Alert(f"a{i}", when) for i, when in enumerate(conditions or (ANOMALY, BURN)))
    plan = replace(publisher.plan, kpi=replace(publisher.plan.kpi, alerts=alerts))
    return Lookback(plan, publisher.evaluator)


def hash_of(rig: Rig, region: str) -> np.uint64:
    directory = rig.merges[0]._kpis[0].directory
    at = directory.lookup(directory.frame["h"])["region"].to_list().index(region)
    return np.uint64(directory.frame["h"][at])


def asked(rig: Rig, regions: Sequence[str], ends: Sequence[int]) -> tuple[Hashes, np.ndarray]:
    rows = [(hash_of(rig, region), end) for region in regions for end in ends]
    return np.array([h for h, _ in rows], dtype=np.uint64), np.array([end for _, end in rows], dtype=np.int64)


def events(count: int, seed: int, weeks: int) -> list[Event]:
    rng = random.Random(seed)
    times = sorted(T0 + rng.randrange(weeks * WEEK) for _ in range(count))
    return [order(at, rng.choice(["EU", "US"]), rng.randrange(0, 10_000) / 100) for at in times]


def database(of: Sequence[Event]) -> duckdb.DuckDBPyConnection:
    known = duckdb.connect()
    frame = pl.DataFrame([{"t": e["at"], "region": e["region"], "amount": e["amount"]} for e in of])
    known.register("frame", frame.to_arrow())
    known.execute("CREATE TABLE orders AS SELECT * FROM frame")
    return known


SCORES = f"""
WITH past AS (
  SELECT k, (SELECT count(*) FROM orders WHERE region = $region AND t >= $end - k * {WEEK} - {HOUR}
             AND t < $end - k * {WEEK}) AS x
  FROM range(0, 5) weeks(k)
  WHERE EXISTS (SELECT 1 FROM orders WHERE region = $region AND t >= $end - 4 * {WEEK} - {HOUR}
                AND t < $end - k * {WEEK})
), centre AS (SELECT median(x) AS m, count(*) AS n FROM past WHERE k > 0),
apart AS (SELECT median(abs(x - m)) AS mad, avg(abs(x - m)) AS mean_ad FROM past, centre WHERE k > 0)
SELECT n, m, greatest(CASE WHEN mad > 0 THEN mad / 0.6745 ELSE 1.253314 * mean_ad END, 0.01 * m)
FROM centre, apart
"""


@pytest.mark.parametrize("count", [150, 700, 4000], ids=["sparse", "", "dense"])
def test_scores_are_those_of_sql(count: int) -> None:
    rig, sent = rig_of(planned(HOURLY, ANOMALY)), events(count, seed=2, weeks=6)
    run(rig, sent, chunk=500)
    ends = [T0 + hour * HOUR for hour in range(3 * 168, 5 * 168, 5)]
    h, end_us = asked(rig, ["EU", "US"], ends)
    values: Floats = (np.arange(len(h)) % 7).astype(np.float64)
    found = lookback_of(rig).scores(ANOMALY, h, end_us, values)
    known, scored = database(sent), 0
    for row, (region, end) in enumerate((region, end) for region in ("EU", "US") for end in ends):
        weeks, median, spread = known.execute(SCORES, {"region": region, "end": end}).fetchone() or (0, 0, 0)
        assert found.weeks[row] == weeks
        if weeks < 3 or (spread == 0 and values[row] != median):
            assert np.isnan(found.score[row])
            continue
        expected = 0 if values[row] == median else (values[row] - median) / spread
        assert found.score[row] == pytest.approx(expected, abs=2e-6)
        assert (found.centre[row], found.spread[row]) == pytest.approx((median, spread))
        scored += 1
    assert scored > 20


def test_burn_rates_are_those_of_sql() -> None:
    rig, sent = rig_of(planned(GOOD, BURN)), events(900, seed=4, weeks=1)
    run(rig, sent, chunk=200)
    ends = [T0 + hour * HOUR for hour in range(2, 166)]
    h, end_us = asked(rig, ["EU", "US"], ends)
    found = lookback_of(rig).burns(BURN, GTE, h, end_us)
    known, none = database(sent), 0
    for row, (region, end) in enumerate((region, end) for region in ("EU", "US") for end in ends):
        for i, pair in enumerate(BURN.windows):
            for length, rate in ((pair.long_us, found.long[row, i]), (pair.short_us, found.short[row, i])):
                [(error,)] = known.execute(
                    "SELECT avg(CASE WHEN amount > 10 THEN 0 ELSE 1 END) FROM orders"
                    " WHERE region = $1 AND t >= $2 AND t < $3",
                    [region, end - length, end],
                ).fetchall()
                none += error is None
                assert np.isnan(rate) if error is None else rate == pytest.approx(error / 0.1, abs=1e-8)
    assert none > 100


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), chunk=st.integers(20, 400), shuffled=st.randoms())
def test_batches_order_and_restarts_change_nothing(seed: int, chunk: int, shuffled: random.Random) -> None:
    sent = events(300, seed=seed, weeks=6)
    plain, cut = rig_of(planned(HOURLY, ANOMALY)), rig_of(planned(HOURLY, ANOMALY))
    run(plain, sent, chunk=300)
    run(cut, sent, chunk=chunk)
    ends = [T0 + hour * HOUR for hour in range(4 * 168, 5 * 168, 9)]
    h, end_us = asked(plain, ["EU", "US"], ends)
    value: Floats = (np.arange(len(h)) % 3).astype(np.float64)
    expected = lookback_of(plain).scores(ANOMALY, h, end_us, value)
    cut.restart_merge()
    other, rows = lookback_of(cut), list(range(len(h)))
    shuffled.shuffle(rows)
    for part in (rows[:10], rows[10:]):
        at = np.array(part)
        other.ask(end_us[at])
        found = other.scores(ANOMALY, h[at], end_us[at], value[at])
        np.testing.assert_array_equal(found.score, expected.score[at])
        np.testing.assert_array_equal(found.weeks, expected.weeks[at])


def test_weeks_go_by_the_wall_clock() -> None:
    """On 2026-03-29 the clocks of Amsterdam go forward: 12:00 there is 10:00 UTC after it, 11:00 before."""
    zone = ZoneInfo("Europe/Amsterdam")
    noons = [int(datetime(2026, 3, day, 12, tzinfo=zone).timestamp()) * 1_000_000 for day in (10, 17, 24, 31)]
    sent = [order(noon - 1, "EU") for noon in noons for _ in range(5)]
    rig = rig_of(planned(HOURLY, ANOMALY, zone="Europe/Amsterdam"))
    run(rig, sent, chunk=5)
    h, end_us = asked(rig, ["EU"], noons[-1:])
    assert datetime.fromtimestamp(int(end_us[0]) / 1e6, UTC).hour == 10
    found = lookback_of(rig).scores(ANOMALY, h, end_us, np.array([5.0]))
    assert (found.weeks[0], found.centre[0], found.score[0]) == (3, 5, 0)


def test_weeks_without_a_value_and_weeks_before_the_first_event_do_not_count() -> None:
    first = T0 + 2 * WEEK
    busy = [order(first + week * WEEK + 1, "EU", 5) for week in range(3)]
    late = [order(T0 + 1, "US"), order(first + 3 * WEEK + DAY, "US"), order(first + 3 * WEEK + DAY, "EU")]
    sent = sorted([*busy, *late], key=lambda event: int(str(event["at"])))
    end = [first + 3 * WEEK + HOUR]
    for kpis, weeks in ((HOURLY, 3), (SALES, 3)):
        rig = rig_of(planned(kpis, replace(ANOMALY, at_least=1)))
        run(rig, sent, chunk=2)
        h, end_us = asked(rig, ["EU"], end)
        assert lookback_of(rig).scores(ANOMALY, h, end_us, np.array([1.0])).weeks.tolist() == [weeks]
    quiet = [first + 3 * WEEK + 5 * HOUR]  # an hour in which there never was anything
    for kpis, weeks in ((HOURLY, 3), (SALES, 0)):
        rig = rig_of(planned(kpis, ANOMALY))
        run(rig, sent, chunk=2)
        h, end_us = asked(rig, ["EU"], quiet)
        found = lookback_of(rig).scores(ANOMALY, h, end_us, np.array([9.0]))
        assert found.weeks.tolist() == [weeks]
        assert np.isnan(found.score[0])


@pytest.mark.parametrize(
    ("value", "past", "score"),
    [
        (10.0, [10.0, 10.0, 10.0, 10.0], 0.0),
        (10.01, [10.0, 10.0, 10.0, 10.0], 0.1),
        (11.0, [10.0, 10.0, 10.0, 10.0], 10.0),
        (9.0, [1.0, 2.0, 3.0, 4.0], 0.6745 * 6.5),
        (8.0, [0.0, 0.0, 0.0, 4.0], 8 / 1.253314),
        (0.0, [0.0, 0.0, 0.0, 0.0], 0.0),
        (5.0, [0.0, 0.0, 0.0, 0.0], None),
        (5.0, [1.0, float("nan"), 2.0, float("nan")], None),
        (float("nan"), [1.0, 2.0, 3.0, 4.0], None),
    ],
    ids=["same", "a cent", "10 %", "usual", "MAD 0", "still nothing", "no measure", "few weeks", "no value"],
)
def test_a_score_has_a_measure(value: float, past: list[float], score: float | None) -> None:
    [found] = robust_scores(np.array([value]), np.array([past]), 3).score
    assert np.isnan(found) if score is None else found == pytest.approx(score, abs=1e-6)


def test_panes_change_only_where_they_must() -> None:
    plain = planned(HOURLY).views[0]
    watched = planned(HOURLY, ANOMALY).views[0]
    assert (watched.id, watched.pane_us) == (plain.id, plain.pane_us)
    assert watched.retain_us >= 4 * WEEK + 2 * HOUR
    burning = planned(GOOD, BURN).views[0]
    assert burning.pane_us == 5 * MINUTE and burning.id != planned(GOOD).views[0].id
    sixth = HOURLY.replace("1h", "6h")
    assert planned(sixth, ANOMALY).views[0].pane_us == 6 * HOUR
    assert planned(sixth, ANOMALY, zone="Europe/Amsterdam").views[0].pane_us == HOUR


def test_spans_are_read_once() -> None:
    lookback = lookback_of(rig_of(planned(HOURLY, ANOMALY)))
    ends = T0 + HOUR * np.arange(1000, dtype=np.int64)
    spans: Spans = lookback._weeks(ends).spans
    assert len(spans) == 1000 + 3 * 168


def test_many_windows_are_read_bit_by_bit_with_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, sent = rig_of(planned(HOURLY, ANOMALY)), events(500, seed=7, weeks=6)
    run(rig, sent, chunk=250)
    h, end_us = asked(rig, ["EU", "US"], [T0 + hour * HOUR for hour in range(4 * 168, 5 * 168, 3)])
    value: Floats = (np.arange(len(h)) % 3).astype(np.float64)
    expected = lookback_of(rig).scores(ANOMALY, h, end_us, value)
    assert np.isfinite(expected.score).sum() > 20
    monkeypatch.setattr("engine.lookback.reading._SPANS_AT_ONCE", 7)
    monkeypatch.setattr("engine.lookback.lookback._PLACES_AT_ONCE", 200)
    found = lookback_of(rig).scores(ANOMALY, h, end_us, value)
    np.testing.assert_array_equal(found.score, expected.score)
    np.testing.assert_array_equal(found.weeks, expected.weeks)
