"""Protocol rules 6 to 11: watermarks, floors, what is let go of, and when windows open and close."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accumulating import Progress
from engine.blocks import BLOCK
from engine.event_time import NEVER
from engine.plan import Plan
from engine.records import decode_manifest, record_kind
from tests.engine.rig import DAY, HOUR, MINUTE, T0, Rig, end, order, planned, run, shop

TUMBLE = "  hourly: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}\n"
HOP = "  rolling: {metric: revenue, group_by: [region], window: {type: hop, size: 3h, slide: 1h}}\n"
TO_DATE = "  today: {metric: revenue, group_by: [region], window: {type: cumulate, grain_to_date: day, step: 1h}}\n"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(shop(TUMBLE, lateness="1h"))


def merged(rig: Rig) -> int:
    rig.publish()
    return rig.merges[0]._merged.get("orders", NEVER)


def idle(hours: float, silent: float = 0.1) -> Progress:
    """At the log's end, with nothing for so many hours, at so many hours after T0."""
    return Progress(at_end=True, silent_us=round(silent * HOUR), now_us=T0 + round(hours * HOUR))


# -- rule 6


@settings(max_examples=30)
@given(st.lists(st.integers(0, 8 * 60), min_size=1, max_size=25), st.lists(st.integers(1, 6), min_size=1, max_size=25))
def test_rule_06_what_is_late_does_not_depend_on_the_batches(minutes: list[int], sizes: list[int]) -> None:
    """Nor on the flushes between them: late is what lies more than the lateness behind the highest before it."""
    rig = Rig(planned(shop(TUMBLE, lateness="1h", delay="10m")), partitions=1)
    left = list(enumerate(minutes))
    while left:
        size = sizes.pop() if sizes else len(left)
        rig.send(0, [order(T0 + minute * MINUTE) for _, minute in left[:size]])
        left = left[size:]
        if size % 2:
            rig.flush(0)
    highest, late = -1000, []
    for offset, minute in enumerate(minutes):
        if minute < highest - 10 - 60:
            late.append(offset)
        highest = max(highest, minute)
    assert [reject.offset for reject in rig.rejects] == late


# -- rule 7


def test_rule_07_merge_takes_the_minimum_and_waits_for_those_never_heard_of(plan: Plan) -> None:
    rig = Rig(plan, partitions=2)
    rig.log[0].clear()  # nobody was heard of yet
    rig.send(0, [order(T0 + 5 * HOUR)])
    rig.flush(0)
    assert merged(rig) == NEVER
    rig.send(1, [order(T0 + 2 * HOUR)])
    rig.flush(1)
    assert merged(rig) == T0 + 2 * HOUR


@pytest.mark.parametrize(
    ("what", "other", "expected"),
    [
        ("an idle partition holds no time", idle(5), 5.0),
        ("a silent one holds it until its owner says that it is idle", Progress(at_end=True), 2.0),
        ("it is idle at the log's end only", Progress(at_end=False, silent_us=HOUR, now_us=T0 + 5 * HOUR), 2.0),
    ],
)
def test_rule_07_idle(plan: Plan, what: str, other: Progress, expected: float) -> None:
    rig = Rig(plan, partitions=2)
    rig.send(0, [order(T0 + 5 * HOUR)])
    rig.send(1, [order(T0 + 2 * HOUR)])
    rig.flush(0)
    rig.flush(1, other)
    assert merged(rig) == T0 + expected * HOUR, what


def test_rule_07_an_empty_partition_at_its_end_is_neutral_and_one_that_is_not_at_its_end_holds_time(plan: Plan) -> None:
    rig = Rig(plan, partitions=2)
    rig.send(0, [order(T0 + 5 * HOUR)])
    rig.flush(0)
    rig.flush(1, Progress(at_end=False))
    assert merged(rig) == NEVER
    rig.flush(1)
    assert merged(rig) == T0 + 5 * HOUR


def test_rule_07_when_all_are_idle_the_clock_moves_time_and_time_never_goes_back(plan: Plan) -> None:
    rig = Rig(plan, partitions=2)
    for p in range(2):
        rig.send(p, [order(T0 + p * HOUR)])
        rig.flush(p, idle(7 + p))
    assert merged(rig) == T0 + 7 * HOUR
    rig.send(0, [order(T0 + 2 * HOUR)])
    rig.flush(0)
    assert merged(rig) == T0 + 7 * HOUR
    rig.restart_merge()
    assert merged(rig) == T0 + 7 * HOUR
    rig.publish()
    assert rig.newest("hourly")["EU", end(3)]["value"] == 1, "closing by the clock drops nothing"


# -- rule 8


def test_rule_08_at_the_logs_end_the_clock_raises_the_floor_and_lower_events_are_late() -> None:
    rig = Rig(planned(shop(TUMBLE, lateness="1h", seal_idle_after="24h")), partitions=1)
    rig.send(0, [order(T0)])
    rig.flush(0)
    owner = rig.sources[0]
    assert not owner.floor_is_due(idle(23, silent=23))
    assert not owner.floor_is_due(Progress(at_end=False, silent_us=2 * DAY, now_us=T0 + 2 * DAY))
    assert owner.floor_is_due(idle(30, silent=30))
    flush = owner.flush(idle(30, silent=30))
    assert decode_manifest(flush.manifest[1]).floor_us == flush.heartbeat.floor_us == T0 + 29 * HOUR
    assert flush.heartbeat.watermark_us == T0, "the clock is no watermark"
    rig.write(rig.steps(0, flush))
    rig.send(0, [order(T0 + 29 * HOUR - 1), order(T0 + 29 * HOUR)], fold=False)
    for _ in range(2):
        rig.restart(0)
        rig.rejects.clear()
        rig.read(0)
        assert [(reject.reason, reject.offset) for reject in rig.rejects] == [("late", 1)]


def test_rule_08_a_floor_that_never_became_durable_counts_for_nobody() -> None:
    rig = Rig(planned(shop(TUMBLE, lateness="1h")), partitions=1)
    rig.send(0, [order(T0)])
    rig.flush(0)
    rig.sources[0].flush(idle(30, silent=30))
    rig.restart(0)
    rig.send(0, [order(T0 + 2 * HOUR)])
    assert not rig.rejects


# -- rule 9


def kept(rig: Rig, below: int = T0 * 2) -> int:
    """Rows of panes that start below an instant."""
    stores = rig.merges[0]._stores.values()
    panes = [pane for store in stores for segment in store._segments.values() for pane in segment.rows["pane"]]
    return sum(pane * HOUR < below for pane in panes)


def test_rule_09_a_pane_is_sealed_once_the_floor_of_every_partition_has_passed_it() -> None:
    """One row is left for each series, and the numbers stay, whatever comes again."""
    rig = Rig(planned(shop(HOP, lateness="1h")), partitions=4)
    for p in range(4):
        rig.send(p, [order(T0 + hour * HOUR) for hour in range(3)])
        rig.flush(p)
    rig.publish()
    first = T0 + 3 * HOUR
    assert kept(rig, first) == 12
    before = [record for record in rig.log[0] if record_kind(record[0]) == BLOCK]
    for p in range(4):
        assert kept(rig, first) == 12
        rig.send(p, [order(T0 + 4 * HOUR, "US")])
        rig.flush(p)
        rig.publish()
    assert kept(rig, first) < 12
    rig.log[0] += before
    rig.publish()
    rig.restart_merge()
    for p in range(4):
        rig.send(p, [order(T0 + 5 * HOUR, "US")])
        rig.flush(p)
    rig.publish()
    rolling = rig.newest("rolling")
    assert [rolling["EU", end(hour)]["value"] for hour in (1, 2, 3, 4, 5)] == [4, 8, 12, 8, 4]
    assert rolling["EU", end(3)]["revision"] == 1


def test_rule_09_a_pane_is_dropped_when_no_window_reads_it_any_more_and_its_keys_are_deleted() -> None:
    rig = Rig(planned(shop(HOP, lateness="1h")), partitions=2)
    for hour in range(40):
        for p in range(2):
            rig.send(p, [order(T0 + hour * HOUR)])
            rig.flush(p)
        rig.publish()
    panes = {key for key, value in dict(rig.log[0]).items() if value is not None and record_kind(key) == BLOCK}
    assert len(panes) <= 2 * 10
    assert kept(rig) <= 2 * 10
    assert rig.newest("rolling")["EU", end(39)]["value"] == 6
    assert rig.newest("rolling")["EU", end(39)]["reason"] is None
    rig.restart_merge()
    rig.publish()
    assert kept(rig) <= 2 * 10


def test_rule_09_one_partition_that_stays_behind_keeps_all_panes() -> None:
    rig = Rig(planned(shop(HOP, lateness="1h")), partitions=2)
    rig.send(1, [order(T0)])
    rig.flush(1)
    for hour in range(40):
        rig.send(0, [order(T0 + hour * HOUR)])
        rig.flush(0)
    rig.publish()
    assert kept(rig) == 41


# -- rule 10


@pytest.mark.parametrize(
    ("timezone", "pane"),
    [("UTC", HOUR), ("Europe/Amsterdam", HOUR), ("Asia/Kathmandu", 15 * MINUTE), ("Asia/Kolkata", 30 * MINUTE)],
)
def test_rule_10_panes_divide_every_offset_of_the_time_zone(timezone: str, pane: int) -> None:
    text = shop("  daily: {metric: revenue, window: {type: tumble, size: 1d}}\n")
    plan = planned(text.replace("name: shop", f"name: shop\ndefaults: {{timezone: {timezone}}}", 1))
    assert HOUR % plan.views[0].pane_us == 0
    assert pane % plan.views[0].pane_us == 0


# -- rule 11


def states(rig: Rig, kpi: str) -> dict[tuple[str, str], tuple[object, object, object]]:
    """The newest of each series and window."""
    found = rig.newest(kpi, ("open", "closed", "revised"))
    return {key: (value["state"], value["value"], value["samples"]) for key, value in found.items()}


@pytest.mark.parametrize(
    ("kpi", "text", "expected"),
    [
        ("hourly", TUMBLE, {1: ("closed", 1, 1), 2: ("closed", 2, 1), 3: ("open", 4, 1)}),
        (
            "rolling",
            HOP,
            {1: ("closed", 1, 1), 2: ("closed", 3, 2), 3: ("open", 7, 3)},
        ),
        ("today", TO_DATE, {1: ("closed", 1, 1), 2: ("closed", 3, 2), 3: ("open", 7, 3)}),
    ],
)
def test_rule_11_one_window_of_a_series_is_current_and_those_before_have_closed(
    kpi: str, text: str, expected: dict[int, tuple[str, int, int]]
) -> None:
    rig = Rig(planned(shop(text)), partitions=1)
    run(rig, [order(T0 + hour * HOUR + 1, amount=2**hour) for hour in range(3)], chunk=1)
    assert states(rig, kpi) == {("EU", end(hour)): value for hour, value in expected.items()}


def test_rule_11_a_window_opens_when_the_watermark_and_the_delay_reach_its_start() -> None:
    rig = Rig(planned(shop(TUMBLE, delay="10m")), partitions=1)
    run(rig, [order(T0), order(T0 + HOUR - 1)])
    assert set(states(rig, "hourly")) == {("EU", end(1))}
    run(rig, [order(T0 + HOUR)])
    assert states(rig, "hourly")["EU", end(1)][0] == states(rig, "hourly")["EU", end(2)][0] == "open"
    run(rig, [order(T0 + HOUR + 10 * MINUTE)])
    assert states(rig, "hourly")["EU", end(1)][0] == "closed"


def test_rule_11_with_a_new_window_come_the_series_of_the_one_before_with_no_samples() -> None:
    rig = Rig(planned(shop(TO_DATE)), partitions=1)
    run(rig, [order(T0 + 23 * HOUR), order(T0 + 23 * HOUR, "US"), order(T0 + 24 * HOUR, "US")])
    assert states(rig, "today")["EU", end(25)] == ("open", None, 0)
    assert states(rig, "today")["US", end(25)] == ("open", 1, 1)
    run(rig, [order(T0 + 27 * HOUR, "US")])
    assert ("EU", end(26)) not in states(rig, "today"), "and only once"


def test_rule_11_years_of_nothing_and_a_clock_that_jumps_count_no_windows_out() -> None:
    text = shop(
        "  minutely: {metric: revenue, window: {type: tumble, size: 1m}}\n"
        "  compared: {metric: revenue, window: {type: hop, size: 1h, slide: 1m}, compare: {offset_window: 1 month}}\n",
        lateness="87600h",
    )
    rig = Rig(planned(text), partitions=1)
    years = 9 * 365 * DAY
    run(rig, [order(T0), order(T0 + years)])
    run(rig, [order(T0 + years + 2 * MINUTE), order(T0 + MINUTE)], chunk=1)
    rig.flush(0, idle(20 * 365 * 24, silent=10 * 365 * 24))
    rig.publish()
    minutely = rig.newest("minutely")
    assert {key[1]: value["value"] for key, value in minutely.items() if value["samples"]} == {
        end(1 / 60): 1,
        end(2 / 60): 1,
        end(years / HOUR + 1 / 60): 1,
        end(years / HOUR + 3 / 60): 1,
    }
    assert len(minutely) <= 8
