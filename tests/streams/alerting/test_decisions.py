"""What is told to whom: rows are sentences about what came, what was told before, and the clock."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from engine.catalog.alerting import Alert, Severity, Silence, Threshold
from engine.catalog.model import Calendar, Catalog, Duration, Kpi, Tumble
from sinks.alerting.notices import Notice, notice, rfc3339
from streams.alerting.decisions import MOST_DUE, Bounds, Decisions, Receiving, Row, Shown, View, decide
from streams.alerting.told import decode_row, encode_row

MINUTE = 60_000_000
NOW = 1_790_000_000_000_000
BOUNDS = Bounds(max_age_us=15 * MINUTE, group_wait_us=10_000_000, resolved_us=15 * MINUTE)
BELOW = Threshold(lower=Decimal(10))


def kpi(name: str, *group_by: str) -> Kpi:
    rules = (Alert("Low", BELOW, "critical"), Alert("Lowish", BELOW, "warning"))
    window = Tumble(size=Duration(1, "m"))
    return Kpi(name, "simple", window, Calendar(), metric="m", group_by=group_by, alerts=rules)


CATALOG = Catalog("shop", Calendar(), {}, {}, {}, {"total": kpi("total"), "parts": kpi("parts", "region")})
SILENCED = Silence("upkeep", "c", from_us=NOW - MINUTE, until_us=NOW + MINUTE)


def alert(state: str = "firing", id_: str = "a", sequence: int = 1, at_us: int = NOW, **more: Any) -> Notice:
    severity: Severity = "warning" if more.get("alert") == "Lowish" else "critical"
    told = {"alert": "Low", "kpi": "total", "dims": {}, "severity": severity} | more
    told |= {"state": state, "id": id_, "order": [0, sequence], "at": rfc3339(at_us), "fired": rfc3339(at_us)}
    told["resolved"] = rfc3339(at_us) if state == "resolved" else None
    dims = ",".join(f"{name}={value}" for name, value in told["dims"].items()) or "-"
    return notice(f"{told['alert']}|{told['kpi']}|{dims}", json.dumps(told).encode())


EU = {"kpi": "parts", "dims": {"region": "EU"}}
EDGES, LEVELS = (Receiving(name, name == "levels", lambda _: True) for name in ("edges", "levels"))


def view(*notices: Notice, seen_us: int = NOW, clear_us: int | None = None) -> View:
    found = View()
    for each in notices:
        found.take(each, seen_us)
    found.clear_us = {} if clear_us is None else {each.id: clear_us for each in notices}
    return found


def decided(found: View, before: Row | None = None, *, of: Receiving = EDGES, **more: Any) -> Decisions:
    (key, *_) = [*found.notices, alert().key]
    rows = {(of.name, key): before} if before is not None else {}
    given = {"catalog": CATALOG, "silences": (), "now_us": NOW, "receivers": [of], "bounds": BOUNDS} | more
    return decide(view=found, rows=rows, **given)


def after(found: View, before: Row | None = None, *, of: Receiving = EDGES, **more: Any) -> Row | None:
    """The row of the first alert."""
    (key, *_) = [*found.notices, alert().key]
    decisions = decided(found, before, of=of, **more)
    return decisions.rows.get((of.name, key), before)


def words(row: Row | None) -> str:
    if row is None:
        return "nothing"
    parts = [f"open {row.open.id}"] if row.open else []
    parts += [f"due {' '.join(f'{one.state} {one.id}' for one in row.due)}"] if row.due else []
    parts += [f"over {row.over.state} {row.over.id}"] if row.over else []
    return ", ".join(parts)


OLD = NOW - 16 * MINUTE
TOLD = Row(open=alert())
TOLD_LONG_AGO = Row(open=alert(at_us=NOW - 60 * MINUTE))

ROWS: list[tuple[str, View, Row | None, str]] = [
    ("what is pending is not told", view(alert("pending")), None, "nothing"),
    ("what fires is", view(alert()), None, "open a, due firing a"),
    ("what was told is not told again", view(alert(sequence=9)), TOLD, "open a"),
    ("what fired long ago is not told", view(alert(at_us=OLD)), None, "nothing"),
    ("what ended without having been told is not either", view(alert("resolved")), None, "nothing"),
    ("the end of what was told is", view(alert("resolved", sequence=2)), TOLD, "due resolved a"),
    ("however long ago", view(alert("resolved", sequence=2, at_us=OLD)), TOLD_LONG_AGO, "due resolved a"),
    (
        "the end waits behind the beginning",
        view(alert("resolved", sequence=2)),
        Row(open=alert(), due=(alert(),)),
        "due firing a resolved a",
    ),
    (
        "another incident of the same alert comes after the end of the one before",
        view(alert(id_="b", sequence=3)),
        TOLD,
        "open b, due resolved a firing b",
    ),
    (
        "while it is pending, the one before has ended",
        view(alert("pending", id_="b", sequence=3)),
        TOLD,
        "due resolved a",
    ),
    (
        "in a replay of what was before nothing ends",
        view(alert("pending", id_="b", sequence=3, at_us=NOW - 90 * MINUTE)),
        TOLD_LONG_AGO,
        "open a",
    ),
    (
        "unless that stands for long",
        view(alert("resolved", id_="b", sequence=3, at_us=NOW - 90 * MINUTE), seen_us=NOW - 61 * MINUTE),
        TOLD_LONG_AGO,
        "due resolved a",
    ),
    ("what nobody knows any more stays as it was told", view(), TOLD, "open a"),
    ("what could be muted waits", view(alert(**EU)), None, "nothing"),
    ("and is told then", view(alert(**EU), clear_us=NOW - 10_000_000), None, "open a, due firing a"),
    ("what is muted is not told", view(alert(**EU), alert(id_="t"), clear_us=0), None, "nothing"),
    ("what was told and is muted now stays told", view(alert(**EU), alert(id_="t")), Row(open=alert(**EU)), "open a"),
    (
        "and its end is told",
        view(alert("resolved", sequence=2, **EU), alert(id_="t")),
        Row(open=alert(**EU)),
        "due resolved a",
    ),
]


@pytest.mark.parametrize(("found", "before", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_edges(found: View, before: Row | None, expected: str) -> None:
    assert words(after(found, before)) == expected


@pytest.mark.parametrize(
    ("found", "before", "expected"),
    [
        pytest.param(view(alert()), None, "open a", id="what fires is open"),
        pytest.param(view(alert("resolved", sequence=2)), TOLD, "over resolved a", id="its end is over"),
        pytest.param(
            view(alert("resolved", sequence=2)), Row(over=alert("resolved"), over_us=NOW - 15 * MINUTE),
            "over resolved a", id="for a while",
        ),
        pytest.param(
            view(alert("resolved", sequence=2)), Row(over=alert("resolved"), over_us=NOW - 15 * MINUTE - 1),
            "nothing", id="and then forgotten",
        ),
        pytest.param(
            view(alert(id_="b", sequence=3)), Row(over=alert("resolved"), over_us=NOW), "open b",
            id="the next incident takes its place",
        ),
        pytest.param(view(alert(at_us=OLD)), None, "nothing", id="what fired long ago is not told"),
    ],
)  # fmt: skip
def test_levels(found: View, before: Row | None, expected: str) -> None:
    assert words(after(found, before, of=LEVELS)) == expected


def test_silenced_is_not_told_and_its_end_is_when_it_was() -> None:
    assert after(view(alert()), silences=[SILENCED]) is None
    assert words(after(view(alert()), TOLD, silences=[SILENCED])) == "open a"
    assert words(after(view(alert("resolved", sequence=2)), TOLD, silences=[SILENCED])) == "due resolved a"


def test_who_looks_sees_why_nobody_is_told() -> None:
    both = view(alert(**EU), alert(id_="t"), alert("pending", id_="p", alert="Lowish"))
    shown = decided(both, silences=[Silence("eu", "c", where={"region": "EU"}, from_us=0, until_us=NOW + 1)]).shown
    assert shown == {
        "Low|parts|region=EU": Shown("Low|total|-", "eu"),
        "Low|total|-": Shown(),
        "Lowish|total|-": Shown("Low|total|-"),
    }


def test_it_says_when_to_look_again() -> None:
    assert decided(view(alert(**EU))).wake_us == NOW + BOUNDS.group_wait_us
    assert decided(view(alert())).wake_us is None


def test_the_wait_begins_anew_with_the_end_of_what_muted_it() -> None:
    muted = view(alert(**EU), alert(id_="t"), clear_us=0)
    assert decided(muted).clear_us == {"t": 0}
    muted.clear_us = decided(muted).clear_us
    muted.take(alert("resolved", id_="t", sequence=2), NOW)
    assert decided(muted).clear_us == {"a": NOW}


def test_whoever_is_not_routed_to_is_not_told_but_hears_the_end_of_what_it_was_told() -> None:
    nobody = Receiving("edges", False, lambda _: False)
    assert after(view(alert()), of=nobody) is None
    assert words(after(view(alert("resolved", sequence=2)), TOLD, of=nobody)) == "due resolved a"


def test_what_is_not_in_the_catalog_any_more_ends() -> None:
    gone = alert(alert="Gone")
    assert after(view(gone)) is None
    ended = after(view(gone), Row(open=gone))
    assert ended is not None
    assert (words(ended), ended.due[0].members.reason) == (
        "due resolved a",
        "the alert is not in the catalog any more",
    )


def test_of_too_many_the_oldest_are_given_up_and_counted() -> None:
    full = Row(open=alert(), due=tuple(alert(id_=str(number)) for number in range(MOST_DUE)))
    decisions = decided(view(alert("resolved", sequence=2)), full)
    (row,) = decisions.rows.values()
    assert row is not None
    assert ([one.id for one in row.due][-2:], len(row.due), decisions.dropped) == (["19", "a"], MOST_DUE, {"edges": 1})


def test_of_two_objects_the_higher_order_wins_whichever_comes_first() -> None:
    one, other = alert(sequence=2), alert("resolved", sequence=3)
    for given in ((one, other), (other, one)):
        assert view(*given).notices[one.key] is other


@pytest.mark.parametrize(
    "row", [Row(), TOLD, Row(open=alert(), due=(alert(), alert("resolved"))), Row(over=alert("resolved"), over_us=NOW)]
)
def test_rows_come_back_as_they_were_written(row: Row) -> None:
    assert decode_row(alert().key, encode_row(row)) == row
