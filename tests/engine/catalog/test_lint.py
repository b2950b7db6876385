"""Advice on catalogs that are valid."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from engine.catalog.lint import lint, rules
from engine.catalog.loader import parse
from engine.catalog.model import Catalog

TODAY = date(2026, 11, 23)
HEAD = """version: 1
name: shop
goals:
  grow: {title: Grow, owner: ceo}
sources:
  orders: {topic: orders, event_time: at, fields: {at: timestamp, region: string, amount: number}}
metrics:
  sales: {source: orders, agg: sum, expr: amount, unit: EUR}
  turnover: {source: orders, agg: sum, expr: amount, unit: EUR}
kpis:
"""
FINE = (
    "{metric: sales, window: {type: tumble, grain: day}, title: Sales, description: All, goal: grow, owner: ann, "
    "indicator: leading, review: {every: 90d, last: 2026-11-01}, objectives: [{op: gte, value: 1}]}"
)


def catalog(*kpis: str) -> Catalog:
    loaded = parse([("shop.yaml", HEAD + "".join(f"  {kpi}\n" for kpi in kpis))])
    assert loaded.problems == ()
    assert loaded.catalog is not None
    return loaded.catalog


def advice(*kpis: str, rule: str) -> list[str]:
    return [str(one) for one in lint(catalog(*kpis), TODAY) if one.rule == rule]


def test_each_rule_is_found() -> None:
    assert len(rules()) == 9


def test_a_kpi_that_says_everything_gets_no_advice() -> None:
    about_it = [one for one in lint(catalog(f"a: {FINE}"), TODAY) if one.path[:1] == ("kpis",)]
    assert about_it == []


def test_specific() -> None:
    assert advice("a: " + FINE.replace("description: All, ", ""), rule="specific") == [
        'kpi "a": no description; say what it counts, and what it leaves out [specific]'
    ]


def test_measurable_takes_the_metrics_unit() -> None:
    derived = FINE.replace("metric: sales", "type: derived, expr: sales / turnover")
    assert len(advice("a: " + derived, rule="measurable")) == 1
    assert advice("a: " + FINE, rule="measurable") == []


def test_relevant() -> None:
    found = advice("a: " + FINE.replace("goal: grow, owner: ann, ", ""), rule="relevant")
    assert [text.partition(";")[0] for text in found] == [
        'kpi "a": no goal and no owner',
        'goal "grow": no KPI serves it',
    ]


def test_time_bound() -> None:
    bare = "a: {metric: sales, window: {type: tumble, grain: day}}"
    assert [text.partition(";")[0] for text in advice(bare, rule="time_bound")] == [
        'kpi "a": no objective',
        'kpi "a": no review',
    ]


def test_a_review_is_overdue_the_day_after_it_was_due() -> None:
    due = FINE.replace("every: 90d, last: 2026-11-01", "every: 21d, last: 2026-11-02")
    assert advice("a: " + due, rule="reviews") == []
    overdue = FINE.replace("every: 90d, last: 2026-11-01", "every: 3w, last: 2026-11-01")
    (text,) = advice("a: " + overdue, rule="reviews")
    assert text.startswith('kpi "a": its review has been due since 2026-11-22, for 1 day;')


def test_few() -> None:
    kpis = [f"k{number}: {FINE}".replace("grain: day", f"size: {number + 1}h") for number in range(11)]
    texts = advice(*kpis, rule="few")
    assert [text.partition(";")[0] for text in texts] == [
        'goal "grow": 11 KPIs serve it',
        "owner ann answers for 11 KPIs",
    ]
    assert advice(*kpis[:5], rule="few") == []


def test_a_goal_with_only_lagging_kpis() -> None:
    assert len(advice("a: " + FINE.replace("leading", "lagging"), rule="leading")) == 1
    assert advice("a: " + FINE, "b: " + FINE.replace("leading", "lagging"), rule="leading") == []


def test_doubles_are_found_behind_other_names() -> None:
    other = FINE.replace("metric: sales", "metric: turnover").replace("title: Sales", "title: Turnover")
    assert advice(f"a: {FINE}", f"b: {other}", rule="doubles") == [
        'kpi "b": measures the same as kpi "a"; keep one of the two, or say what tells them apart [doubles]'
    ]
    assert advice(f"a: {FINE}", "b: " + FINE.replace("grain: day", "grain: week"), rule="doubles") == []


def test_unused() -> None:
    texts = [text.partition(";")[0] for text in advice(f"a: {FINE}", rule="unused")]
    assert texts == ['metric "turnover": no KPI uses it']


def test_advice_can_be_located() -> None:
    path = Path(__file__).parent / "good" / "storefront.yaml"
    loaded = parse([(path.name, path.read_text())])
    assert loaded.catalog is not None
    places = {loaded.locate(one.path) for one in lint(loaded.catalog, TODAY)}
    assert all(place.startswith("storefront.yaml:") for place in places)
