"""Protocol rule 19: what another catalog changes, and what it leaves alone."""

from __future__ import annotations

import pytest

from engine.plan import Plan
from tests.engine.rig import HOUR, T0, Rig, end, order, planned, shop

HOURLY = "{type: tumble, size: 1h}"
SALES = f"  sales: {{metric: revenue, window: {HOURLY}, owner: anna, goal: grow}}\n"
COUNT = f"  count: {{metric: orders, window: {HOURLY}}}\n"
BIG = "  big: {source: orders, agg: sum, expr: amount, filter: amount > LIMIT}\n"


def columns(plan: Plan) -> set[str]:
    return {column.id for view in plan.views for column in view.columns}


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("an owner", SALES.replace("anna", "ben")),
        ("a name", SALES.replace("sales:", "turnover:")),
        ("a target", SALES.replace("goal: grow", "goal: grow, objectives: [{op: gte, value: 5}]")),
    ],
)
def test_rule_19_what_affects_no_number_changes_no_identity(what: str, other: str) -> None:
    before, after = planned(shop(SALES)), planned(shop(other))
    assert [view.id for view in before.views] == [view.id for view in after.views], what
    assert columns(before) == columns(after)
    assert before.kpis[0].facts.definition == after.kpis[0].facts.definition


@pytest.mark.parametrize(
    ("what", "metrics"),
    [
        ("the filter", BIG.replace("LIMIT", "3")),
        ("the expression", BIG.replace("LIMIT", "2").replace("expr: amount", "expr: amount * 2")),
        ("the aggregation", BIG.replace("LIMIT", "2").replace("agg: sum", "agg: max")),
    ],
)
def test_rule_19_what_affects_a_number_makes_a_new_column(what: str, metrics: str) -> None:
    kpis = SALES + f"  big_sales: {{metric: big, window: {HOURLY}}}\n"
    before, after = planned(shop(kpis, metrics=BIG.replace("LIMIT", "2"))), planned(shop(kpis, metrics=metrics))
    assert len(columns(before) & columns(after)) == 1, what
    assert [view.id for view in before.views] == [view.id for view in after.views]


def change(before: str, after: str, *, metrics: str = "", later: str = "") -> Rig:
    """Two hours under one catalog, a restart of everything, then three under another."""
    rig = Rig(planned(shop(before, metrics=metrics)), partitions=2)
    for p in range(2):
        rig.send(p, [order(T0 + p), order(T0 + HOUR + p, amount=3)])
        rig.flush(p)
    rig.publish()
    rig.plan = planned(shop(after, metrics=later or metrics))
    for p in range(2):
        rig.restart(p)
    rig.restart_merge()
    rig.merges[0].republish()
    for p in range(2):
        rig.send(p, [order(T0 + HOUR + 5), order(T0 + 2 * HOUR), order(T0 + 4 * HOUR)])
        rig.flush(p)
    rig.publish()
    return rig


def test_rule_19_an_added_metric_leaves_the_others_as_they_are_and_says_that_its_history_is_incomplete() -> None:
    rig = change(SALES, SALES + COUNT)
    sales, count = rig.newest("sales"), rig.newest("count")
    hours = [end(hour) for hour in (1, 2, 3)]
    assert [(sales["", hour]["value"], sales["", hour]["reason"]) for hour in hours] == [
        (2, None),
        (8, None),
        (2, None),
    ]
    assert (count["", hours[1]]["value"], count["", hours[1]]["reason"]) == (2, "incomplete_history")
    assert (count["", hours[2]]["value"], count["", hours[2]]["reason"]) == (2, None)


def test_rule_19_it_says_so_after_another_restart_too() -> None:
    rig = change(SALES, SALES + COUNT)
    for p in range(2):
        rig.restart(p)
    rig.restart_merge()
    for p in range(2):
        rig.send(p, [order(T0 + HOUR + 6), order(T0 + 5 * HOUR)])
        rig.flush(p)
    rig.publish()
    revised = rig.newest("count")["", end(2)]
    assert (revised["value"], revised["reason"], revised["state"]) == (4, "incomplete_history", "revised")


def test_rule_19_a_changed_filter_starts_anew_and_nothing_else_does() -> None:
    kpis = SALES + f"  big_sales: {{metric: big, window: {HOURLY}}}\n"
    rig = change(kpis, kpis, metrics=BIG.replace("LIMIT", "2"), later=BIG.replace("LIMIT", "0"))
    sales, big = rig.newest("sales"), rig.newest("big_sales")
    assert (sales["", end(2)]["value"], sales["", end(2)]["reason"]) == (8, None)
    assert (big["", end(2)]["value"], big["", end(2)]["reason"]) == (2, "incomplete_history")
    assert (big["", end(3)]["value"], big["", end(3)]["reason"]) == (2, None)


def test_rule_19_a_changed_owner_publishes_nothing_again() -> None:
    rig = change(SALES, SALES.replace("anna", "ben"))
    closed = [value for value in rig.values if value["state"] == "closed"]
    assert len({str(value["window"]) for value in closed}) == len(closed)


def test_rule_19_a_longer_window_that_reaches_back_to_what_was_dropped_says_so() -> None:
    rig = Rig(planned(shop(SALES, lateness="1h")), partitions=1)
    for hour in range(12):
        rig.send(0, [order(T0 + hour * HOUR)])
        rig.flush(0)
        rig.publish()
    longer = "  half_day: {metric: revenue, window: {type: hop, size: 12h, slide: 1h}}\n"
    rig.plan = planned(shop(SALES + longer, lateness="1h"))
    rig.restart(0)
    rig.restart_merge()
    for hour in range(12, 26):
        rig.send(0, [order(T0 + hour * HOUR)])
        rig.flush(0)
        rig.publish()
    found = rig.newest("half_day")
    assert (found["", end(13)]["reason"], found["", end(25)]["reason"]) == ("incomplete_history", None)
    assert found["", end(25)]["value"] == 12
