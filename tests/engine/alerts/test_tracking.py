"""Alerts out of events: through both stages, as a worker runs them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.engine.rig import AT_END, HOUR, T0, Event, Progress, Rig, order, planned, shop

HOURLY = """
  hourly:
    metric: revenue
    window: {type: tumble, size: 1h}
    alerts: [%s]
"""
BY_REGION = """
  by_region:
    metric: revenue
    group_by: [region]
    window: {type: tumble, size: 1h}
    alerts: [%s]
"""
TODAY = """
  today:
    metric: revenue
    window: {type: cumulate, grain_to_date: day, step: 1h}
    %s
    alerts: [%s]
"""
LOW = "{alert: Low, when: {below: 10, recover: 15}%s}"
Story = list[tuple[str, str]]


def at(hours: float, amount: float | None = 1, region: str = "EU") -> Event:
    return order(round(T0 + hours * HOUR), region, amount)


def hours(*amounts: float, first: int = 0) -> list[Event]:
    """One event in the middle of each hour."""
    return [at(first + hour + 0.5, amount) for hour, amount in enumerate(amounts)]


def live(kpis: str, events: Sequence[Event], until: float, chunk: int = 1) -> Rig:
    """One partition; a flush and a publication after each so many events, and the clock at last."""
    rig = Rig(planned(shop(kpis)), partitions=1)
    for first in range(0, len(events), chunk):
        rig.send(0, events[first : first + chunk])
        rig.flush(0)
        rig.publish()
    pass_time(rig, until)
    return rig


def pass_time(rig: Rig, until: float) -> None:
    """The source is idle, and the clock goes on."""
    rig.flush(0, Progress(at_end=True, silent_us=10 * HOUR, now_us=round(T0 + until * HOUR)))
    rig.publish()


def story(rig: Rig, region: str | None = None) -> Story:
    """(hour:minute since T0, state), what is told again left out."""
    found: Story = []
    last: dict[object, tuple[object, object]] = {}
    for alert in rig.alerts:
        if region is not None and alert["dims"] != {"region": region}:
            continue
        key = (alert["alert"], str(alert["dims"]))
        told = (alert["state"], alert["id"])
        if last.get(key) != told:
            hour = str(alert["at"])
            found.append((hour[8:16].replace("T", " "), str(alert["state"])))
        last[key] = told
    return found


def test_a_breach_fires_at_the_end_of_its_window_and_resolves_at_the_recovery_value() -> None:
    rig = live(HOURLY % (LOW % ""), hours(20, 20, 5, 12, 16, 20), until=7)
    assert story(rig) == [("01 03:00", "firing"), ("01 05:00", "resolved")]
    fired, resolved = rig.alerts[0], rig.alerts[-1]
    assert fired["value"] == 5 and fired["bound"] == 10 and fired["samples"] == 1
    assert fired["reason"] == "5.00 EUR is below 10"
    assert fired["condition"] == "below 10, ends at 15"
    assert fired["window"] == {"start": "2026-01-01T02:00:00+00:00", "end": "2026-01-01T03:00:00+00:00"}
    assert resolved["reason"] == "16.00 EUR is at or above 15"
    assert resolved["id"] == fired["id"]


def test_the_first_window_may_be_half_and_pages_nobody() -> None:
    assert story(live(HOURLY % (LOW % ""), hours(5, 20, 20), until=4)) == []


def test_a_dimension_value_that_is_seen_for_the_first_time_pages_nobody() -> None:
    events = [*hours(20, 20, 20, 20), at(2.5, 1, "US"), at(3.5, 1, "US")]
    rig = live(BY_REGION % (LOW % ""), sorted(events, key=lambda event: str(event["at"])), until=4)
    assert story(rig, "EU") == []
    assert story(rig, "US") == [("01 04:00", "firing")], "in its second window it is judged"


def test_for_passes_between_windows_and_without_events() -> None:
    rig = live(HOURLY % (LOW % ", for: 15m"), hours(20, 5), until=2 + 20 / 60)
    assert story(rig) == [("01 02:00", "pending"), ("01 02:15", "firing")]
    assert rig.alerts[-1]["reason"] == "5.00 EUR is below 10, for 15m"


def test_a_late_correction_that_heals_within_for_pages_nobody() -> None:
    events = [*hours(20, 5), at(2.05, 1), at(1.9, 10), at(2.5, 30)]
    assert story(live(HOURLY % (LOW % ", for: 15m"), events, until=3)) == [
        ("01 02:00", "pending"),
        ("01 02:03", "inactive"),
    ]


def test_a_missing_value_is_neither_a_breach_nor_a_recovery() -> None:
    empty = [at(2.5, None), at(3.5, None)]
    rig = live(
        HOURLY % (LOW % ""),
        sorted(
            [*hours(20, 20), *empty, at(4.5, 5), at(5.5, None), at(6.5, 20)], key=lambda event: int(str(event["at"]))
        ),
        until=7,
    )
    assert story(rig) == [("01 05:00", "firing"), ("01 07:00", "resolved")]


def test_too_few_samples_say_nothing() -> None:
    assert story(live(HOURLY % (LOW % ", min_sample: 2"), hours(20, 5, 5, 5), until=5)) == []


def test_no_page_at_midnight() -> None:
    """Sales today restart at zero: only the finished day is judged, unless the rule says otherwise."""
    events = hours(*[1] * 48)
    assert story(live(TODAY % ("", LOW % ""), events, until=49)) == []
    each_step = story(live(TODAY % ("", LOW % ", evaluate: open"), events, until=49))
    assert each_step[0] == ("02 01:00", "firing")


def test_silence_of_a_series_while_its_source_goes_on() -> None:
    rule = "{alert: Silent, when: {no_data: 2h}}"
    events = [at(hour + 0.5, 5, "EU") for hour in range(12)] + [at(hour + 0.5, 5, "US") for hour in (0, 1, 6, 7)]
    rig = live(BY_REGION % rule, sorted(events, key=lambda event: int(str(event["at"]))), until=9)
    assert story(rig, "EU") == []
    assert story(rig, "US") == [("01 04:00", "firing"), ("01 07:00", "resolved"), ("01 10:00", "firing")]
    assert rig.alerts[0]["value"] is None
    assert rig.alerts[0]["reason"] == "no event since 2026-01-01T02:00:00Z"


def test_what_fires_is_told_again_once_a_minute_but_not_while_catching_up() -> None:
    rig = live(HOURLY % (LOW % ""), hours(20, 5), until=2)
    before = len(rig.alerts)
    for second in (20, 40, 60, 80, 100, 120):
        pass_time(rig, 2 + second / 3600)
    again = rig.alerts[before:]
    assert [alert["at"] for alert in again] == ["2026-01-01T02:01:00Z", "2026-01-01T02:02:00Z"]
    assert all(alert["state"] == "firing" and alert["id"] == rig.alerts[0]["id"] for alert in again)


RULES = (
    LOW % ", for: 90m, keep_firing_for: 2h",
    "{alert: High, when: {above: 60}}",
    "{alert: Silent, when: {no_data: 3h}}",
)


def random_events(seed: int) -> list[Event]:
    rng = random.Random(seed)
    busy = {region: [rng.random() for _ in range(60)] for region in ("EU", "US", "APAC")}
    events = [order(T0 + rng.randrange(60 * HOUR), region, rng.randrange(1, 30)) for region in busy for _ in range(220)]
    kept = [event for event in events if busy[str(event["region"])][(int(str(event["at"])) - T0) // HOUR] > 0.4]
    return sorted(kept, key=lambda event: int(str(event["at"])))


def decided(rig: Rig) -> list[tuple[object, ...]]:
    """Every change of state, each once, in an order that does not depend on when it was told."""
    changes = {
        (str(alert["alert"]), str(alert["dims"]), str(alert["at"]), str(alert["state"]), str(alert["id"]))
        for alert in rig.alerts
        if alert["at"] in (alert["fired"], alert["resolved"])
    }
    return sorted(changes)


@pytest.mark.parametrize("seed", range(4))
def test_a_replay_decides_alike_whatever_the_batches(seed: int) -> None:
    events = random_events(seed)
    kpis = BY_REGION % ", ".join(RULES)
    expected = decided(live(kpis, events, until=70, chunk=1))
    assert len(expected) > 10
    for chunk in (7, 100, len(events)):
        assert decided(live(kpis, events, until=70, chunk=chunk)) == expected


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_step_nothing_is_told_that_was_not_decided_and_nothing_is_missing(seed: int) -> None:
    rng = random.Random(seed)
    events = random_events(seed)
    kpis = BY_REGION % ", ".join(RULES)
    expected = decided(live(kpis, events, until=70, chunk=20))
    rig = Rig(planned(shop(kpis)), partitions=1)
    for first in range(0, len(events), 20):
        rig.send(0, events[first : first + 20])
        rig.flush(0, AT_END)
        steps = rig.publication()
        if rng.random() < 0.3:
            rig.write(steps[: rng.randrange(len(steps) + 1)])
            rig.restart_merge()
            rig.publish()
        else:
            rig.write(steps)
    pass_time(rig, 70)
    assert decided(rig) == expected


def test_a_rule_that_is_gone_ends_what_it_had_raised() -> None:
    rig = live(HOURLY % (LOW % ""), hours(20, 5), until=2)
    rig.plan = planned(shop(HOURLY % (LOW.replace("Low", "Other") % "")))
    rig.restart_merge()
    rig.publish()
    told = rig.alerts[-1]
    assert (told["alert"], told["state"], told["id"]) == ("Low", "resolved", rig.alerts[0]["id"])
    assert "no longer in the catalog" in str(told["reason"])


def test_annotations_are_filled_in() -> None:
    rule = LOW % ', annotations: {summary: "{title} in {region}: {value} {unit}, below {bound}"}'
    rig = live(BY_REGION % rule, hours(20, 5), until=2)
    assert rig.alerts[0]["annotations"] == {"summary": "by_region in EU: 5.00 EUR, below 10"}


def test_a_value_unlike_the_same_hour_of_earlier_weeks() -> None:
    kpi = """
  hourly:
    metric: revenue
    window: {type: tumble, size: 1h}
    alerts: [{alert: Odd, when: {anomaly: {score: 10, recover: 8, weeks: 4, at_least: 3, direction: down}}}]
"""
    rng = random.Random(7)
    usual = [100 + 20 * (hour % 24 > 8) + rng.randrange(-3, 4) for hour in range(5 * 7 * 24)]
    odd = 4 * 7 * 24 + 40
    usual[odd] = 30
    rig = live(kpi, hours(*usual), until=len(usual), chunk=200)
    assert (rig.alerts[0]["state"], rig.alerts[0]["value"]) == ("firing", 30)
    assert [state for _, state in story(rig)] == ["firing", "resolved"]
    assert "deviations below" in str(rig.alerts[0]["reason"]) and "the median of 4 weeks" in str(
        rig.alerts[0]["reason"]
    )


def test_an_error_budget_that_burns_over_both_windows() -> None:
    kpi = """
  availability:
    type: ratio
    numerator: good
    denominator: orders
    window: {type: hop, size: 1h, slide: 5m}
    objectives: [{op: gte, value: 0.99}]
    alerts: [{alert: Burn, severity: critical, when: {burn_rate: [{long: 1h, short: 5m, rate: 14.4}]}}]
"""
    good = "  good: {source: orders, agg: count, filter: 'amount > 0'}"
    minutes = 6 * 60
    bad = range(180, 200)  # a third of an hour without any good one
    events = [at((minute + 0.5) / 60, 0 if minute in bad else 1) for minute in range(minutes)]
    rig = Rig(planned(shop(kpi, metrics=good)), partitions=1)
    for first in range(0, minutes, 10):
        rig.send(0, events[first : first + 10])
        rig.flush(0)
        rig.publish()
    assert story(rig) == [("01 03:10", "firing"), ("01 03:25", "resolved")]
    assert "the error budget burns at 16.7 times its even pace over 1h" in str(rig.alerts[0]["reason"])


def test_a_rule_that_is_added_judges_what_was_there_before() -> None:
    kpi = "  rolling: {metric: revenue, window: {type: hop, size: 24h, slide: 1h}%s}"
    rig = live(kpi % "", hours(*[1] * 48), until=48)
    rig.plan = planned(shop(kpi % ", alerts: [{alert: Low, when: {below: 20}}]"))
    rig.sources[0].plan = rig.plan
    rig.restart_merge()
    rig.publish()
    pass_time(rig, 48.1)
    assert story(rig) == []
    pass_time(rig, 55)
    assert story(rig) == [("03 05:00", "firing")], "19 of its last 24 hours"


def test_pace_pages_nobody_before_there_is_a_verdict() -> None:
    """A tenth of what is expected all day long: the first two fifths of it are quiet."""
    objective = "objectives: [{op: gte, value: 240, pacing: linear, quiet_until: 40%}]"
    rig = live(TODAY % (objective, "{alert: Slow, when: {pace_below: 70%}}"), hours(*[10] * 24, *[1] * 24), until=48)
    assert story(rig) == [("02 10:00", "firing")]
    assert str(rig.alerts[0]["reason"]).startswith("10.00 EUR: 10 % of the pace for"), rig.alerts[0]["reason"]
