"""Advice on catalogs that are valid: each rule with a catalog that it finds something in, and one that it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.catalog.lint import NO_HISTORY, Seen, Verdict, all_rules, judge
from engine.catalog.lint.advice import WEIGHTS
from engine.catalog.loader import parse
from engine.catalog.model import Catalog, LintRule

TODAY = date(2026, 11, 23)
DAY_US = 86_400_000_000
HEAD = """version: 1
name: shop
defaults: {timezone: Europe/Amsterdam}
sources:
  orders: {topic: orders, event_time: at, fields: {at: timestamp, region: string, amount: number}}
metrics:
  sales: {source: orders, agg: sum, expr: amount, unit: EUR}
  turnover: {source: orders, agg: sum, expr: (amount), unit: EUR}
  orders: {source: orders, agg: count}
"""
FINE = {
    "metric": "sales",
    "window": "{type: tumble, grain: day}",
    "title": "Sales",
    "description": "All",
    "goal": "grow",
    "owner": "ceo",
    "indicator": "leading",
    "review": "{every: 90d, last: 2026-11-01}",
    "objectives": "[{op: gte, value: 100}]",
}
GROW = {"grow": "{title: Grow, owner: ceo}"}


def kpi(**changes: str | None) -> str:
    """A KPI that no rule finds anything in, with these keys changed or (None) left out."""
    keys = {name: text for name, text in {**FINE, **changes}.items() if text is not None}
    return "{" + ", ".join(f"{name}: {text}" for name, text in keys.items()) + "}"


def by_region(**changes: str | None) -> str:
    return kpi(group_by="[region]", **changes)


def derived(expr: str, **changes: str | None) -> str:
    return kpi(metric=None, type="derived", expr=expr, **changes)


def month(more: str) -> str:
    return kpi(
        window="{type: cumulate, grain_to_date: month, step: 1h}",
        alerts=f"[{{alert: Low, when: {{below: 5}}{more}}}]",
    )


def leads() -> dict[str, str]:
    return {"a": kpi(leads="{kpi: b, by: 3d}"), "b": kpi(metric="orders", indicator="lagging", unit="orders")}


def catalog_of(kpis: Mapping[str, str], goals: Mapping[str, str] = GROW, more: str = "") -> Catalog:
    parts = [f"{section}:\n" + "".join(f"  {name}: {text}\n" for name, text in entries.items())
             for section, entries in (("goals", goals), ("kpis", kpis)) if entries]  # fmt: skip
    loaded = parse([("shop.yaml", HEAD + "".join(parts) + more)])
    assert loaded.problems == ()
    assert loaded.catalog is not None
    return loaded.catalog


def seen(values: Sequence[float], *, ends: Sequence[datetime] | None = None, **dims: str) -> Seen:
    """Of so many days from 1 October on, or of windows with these ends."""
    if ends is None:
        first = int(datetime(2026, 10, 1, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()) * 1_000_000
        end_us = first + DAY_US * np.arange(len(values), dtype=np.int64)
    else:
        end_us = np.array([int(end.timestamp()) * 1_000_000 for end in ends], dtype=np.int64)
    return Seen(dims, end_us, np.array(values, dtype=np.float64))


WALK = np.random.default_rng(5).normal(0, 1, 60).cumsum() + 100
NOISE = np.random.default_rng(6).normal(0, 1, 60).cumsum() + 100
UNLIKE = {"a": kpi(), "b": kpi(metric="orders", unit="orders")}
BY_REGION = {name: text.replace("window", "group_by: [region], window") for name, text in UNLIKE.items()}
MONTH = "{type: cumulate, grain_to_date: month, step: 1h}"
MONTHS = [datetime(2026, month, 1, tzinfo=ZoneInfo("Europe/Amsterdam")) for month in (8, 9, 10, 11)]
WITHIN = [datetime(2026, 10, day, 12, tzinfo=UTC) for day in range(2, 30)]


@dataclass(frozen=True)
class Case:
    """What a rule says of these KPIs and goals; nothing where ``says`` is empty."""

    rule: LintRule
    why: str
    kpis: Mapping[str, str]
    says: Sequence[str] = ()
    goals: Mapping[str, str] = field(default_factory=lambda: GROW)
    history: Mapping[str, Sequence[Seen]] = field(default_factory=lambda: NO_HISTORY)

    def __str__(self) -> str:
        return f"{self.rule}: {self.why}".replace(" ", "_")


def many(number: int, **changes: str) -> dict[str, str]:
    return {f"k{size}": kpi(window=f"{{type: tumble, size: {size}h}}", **changes) for size in range(1, number + 1)}


def goals(number: int) -> dict[str, str]:
    return {f"g{one}": "{title: Grow, owner: ceo}" for one in range(number)}


def shared(number: int, goals: int, owner: str = "ceo") -> dict[str, str]:
    """So many KPIs over so many goals."""
    return {
        name: text.replace("goal: grow", f"goal: g{place % goals}").replace(
            "owner: ceo", f"owner: {owner}{place // 10}"
        )
        for place, (name, text) in enumerate(many(number).items())
    }


CASES = [
    Case("specific", "words for people", {"a": kpi(description=None)}, ['kpi "a": no description']),
    Case("specific", "neither", {"a": kpi(description=None, title=None)}, ['kpi "a": no title and no description']),
    Case("specific", "both are there", {"a": kpi()}),
    Case("measurable", "no unit anywhere", {"a": derived("sales / orders")}, ['kpi "a": no unit']),
    Case("measurable", "the KPI's own", {"a": derived("sales / orders", unit="EUR")}),
    Case("measurable", "the metric's", {"a": kpi()}),
    Case(
        "achievable",
        "never met",
        {"a": kpi()},
        ['kpi "a": its target of at least 100 EUR was never met: the best of 12 values since 2026-10-01 is 92 EUR'],
        history={"a": [seen([80, 92, *range(70, 80)])]},
    ),
    Case("achievable", "met once", {"a": kpi()}, history={"a": [seen([80, 100, *range(70, 80)])]}),
    Case("achievable", "too few days to say", {"a": kpi()}, history={"a": [seen([80, 92])]}),
    Case("achievable", "no history", {"a": kpi()}),
    Case("runbook", "none", {"a": kpi(alerts="[{alert: Low, when: {below: 5}}]")}, ['kpi "a": no runbook for Low']),
    Case("runbook", "one", {"a": kpi(alerts="[{alert: Low, when: {below: 5}, runbook_url: 'https://example.org'}]")}),
    Case("finished", "a month", {"a": month("")}, ['kpi "a": Low judges the finished month only']),
    Case("finished", "each step", {"a": month(", evaluate: open")}),
    Case("finished", "as information", {"a": month(", severity: info")}),
    Case("finished", "days by themselves", {"a": kpi(alerts="[{alert: Low, when: {below: 5}}]")}),
    Case(
        "flapping",
        "to and fro",
        {"a": kpi(alerts="[{alert: Low, severity: critical, when: {below: 50}}]")},
        ['kpi "a": Low would have ended after one value 3 of 3 times'],
        history={"a": [seen([60, 40, 60, 40, 60, 40, 60])]},
    ),
    Case(
        "flapping",
        "recovery far away",
        {"a": kpi(alerts="[{alert: Low, severity: critical, when: {below: 50, recover: 70}}]")},
        history={"a": [seen([60, 40, 60, 40, 60, 40, 60])]},
    ),
    Case(
        "flapping",
        "it waits",
        {"a": kpi(alerts="[{alert: Low, severity: critical, when: {below: 50}, for: 2d}]")},
        history={"a": [seen([60, 40, 60, 40, 60, 40, 60])]},
    ),
    Case(
        "leading",
        "it foretells nothing",
        leads(),
        ['kpi "a": does not foretell kpi "b": 3 days apart they correlate at 0.03'],
        history={"a": [seen([1, 2] * 15)], "b": [seen([1, 1, 2, 2] * 8)]},
    ),
    Case(
        "leading",
        "it foretells",
        leads(),
        history={"a": [seen([n * n % 17 for n in range(30)])], "b": [seen([(n - 3) ** 2 % 17 for n in range(30)])]},
    ),
    Case("leading", "too little to say", leads(), history={"a": [seen([1, 2])], "b": [seen([1, 2])]}),
    Case(
        "achievable",
        "at most",
        {"a": kpi(objectives="[{op: lte, value: 0.5}]", unit="ratio")},
        ['kpi "a": its target of at most 50 % was never met: the best of 12 values since 2026-10-01 is 60 %'],
        history={"a": [seen([0.6, *[0.7] * 11])]},
    ),
    Case(
        "achievable",
        "between",
        {"a": kpi(objectives="[{op: between, value: 10, upper: 12}]")},
        ['kpi "a": its target of 10 EUR to 12 EUR was never met: the best of 12 values since 2026-10-01 is 9.5 EUR'],
        history={"a": [seen([9.5, *[14] * 11])]},
    ),
    Case(
        "achievable",
        "by region, each by the objective it is held to",
        {"a": by_region(objectives="[{op: gte, value: 5}, {op: gte, value: 9, where: {region: E}}]", unit="d")},
        ['kpi "a": its target of at least 9 d, region E, was never met: the best of 12 values since 2026-10-01 is 8 d'],
        history={"a": [seen([8] * 12, region="E"), seen([1] * 12, region="US"), seen([11] * 12, region="UK")]},
    ),
    Case(
        "achievable",
        "a target of next year does not hold yet",
        {"a": kpi(objectives="[{op: gte, value: 10}, {op: gte, value: 100, valid_from: 2027-01-01}]")},
        history={"a": [seen([20] * 12)]},
    ),
    Case(
        "achievable",
        "whole months only: those that were met on the way, from below, do not count",
        {"a": kpi(window=MONTH, objectives="[{op: lte, value: 100}]")},
        ['kpi "a": its target of at most 100 EUR was never met: the best of 4 values since 2026-08-01 is 130 EUR'],
        history={"a": [seen([150, 140, 130, 160] + [5] * len(WITHIN), ends=MONTHS + WITHIN)]},
    ),
    Case(
        "achievable",
        "a month is too few months",
        {"a": kpi(window=MONTH)},
        history={"a": [seen([5] * (len(WITHIN) + 1), ends=[*WITHIN, MONTHS[-1]])]},
    ),
    Case("relevant", "no goal", {"a": kpi(goal=None), "b": kpi(metric="orders")}, ['kpi "a": no goal']),
    Case(
        "relevant",
        "nobody's, for nothing",
        {"a": kpi(goal=None, owner=None)},
        ['kpi "a": no goal and no owner', 'goal "grow": no KPI serves it'],
    ),
    Case("relevant", "a goal is nobody's", {"a": kpi()}, ['goal "grow": no owner'], goals={"grow": "{title: Grow}"}),
    Case("relevant", "both are there", {"a": kpi()}),
    Case("time_bound", "no target", {"a": kpi(objectives=None)}, ['kpi "a": no objective']),
    Case("time_bound", "no review", {"a": kpi(review=None)}, ['kpi "a": no review']),
    Case("time_bound", "both are there", {"a": kpi()}),
    Case(
        "dressed",
        "no goal, owner or target",
        {"a": kpi(goal=None, owner=None, objectives=None)},
        ['kpi "a": a metric dressed as a KPI: no goal, no owner and no target'],
    ),
    Case("dressed", "an owner at least", {"a": kpi(goal=None, objectives=None)}),
    Case("few", "six for a goal", many(6), ['goal "grow": 6 KPIs serve it']),
    Case("few", "five for a goal", many(5)),
    Case(
        "few",
        "eleven for an owner",
        {name: text.replace("owner: ceo0", "owner: ceo").replace("owner: ceo1", "owner: ceo")
         for name, text in shared(11, 3).items()},
        ["owner ceo answers for 11 KPIs"],
        goals=goals(3),
    ),
    Case("few", "ten for an owner", shared(10, 2), goals=goals(2)),
    Case("few", "26 on a board", shared(26, 6), ["26 KPIs on one board"], goals=goals(6)),
    Case("few", "25 on a board", shared(25, 5), goals=goals(5)),
    Case("leading", "all lag", {"a": kpi(indicator="lagging")}, ['goal "grow": all its KPIs are lagging']),
    Case("leading", "one leads", {"a": kpi(), "b": kpi(metric="orders", indicator="lagging")}),
    Case(
        "reviews",
        "the day after",
        {"a": kpi(review="{every: 3w, last: 2026-11-01}")},
        ['kpi "a": its review has been due since 2026-11-22, for 1 day'],
    ),
    Case("reviews", "the day itself", {"a": kpi(review="{every: 21d, last: 2026-11-02}")}),
    Case("doubles", "another name", {"a": kpi(), "b": kpi(title="T")}, ['kpi "b": measures the same as kpi "a"']),
    Case("doubles", "a metric's", {"a": kpi(), "b": kpi(metric="turnover")}, ['kpi "b": measures the same as kpi "a"']),
    Case(
        "doubles",
        "a metric's within an expression",
        {"a": derived("sales / orders", unit="EUR"), "b": derived("(turnover/orders)", unit="EUR")},
        ['kpi "b": measures the same as kpi "a"'],
    ),
    Case("doubles", "the other way round", {"a": derived("sales / orders"), "b": derived("orders / sales")}),
    Case("doubles", "earlier", {"a": derived("sales / orders"), "b": derived("sales@1w / orders")}),
    Case("doubles", "another window", {"a": kpi(), "b": kpi(window="{type: tumble, grain: week}")}),
    Case("doubles", "of some events", {"a": kpi(), "b": kpi(where="amount > 5")}),
    Case(
        "doubles",
        "they move together",
        UNLIKE,
        ['kpi "b": moves with kpi "a": values and their changes correlate at 1.000'],
        history={"a": [seen(WALK)], "b": [seen(3 * WALK - 7)]},
    ),
    Case(
        "doubles",
        "one is the other's mirror",
        UNLIKE,
        ['kpi "b": moves with kpi "a": values and their changes correlate at 1.000'],
        history={"a": [seen(WALK)], "b": [seen(-WALK)]},
    ),
    Case("doubles", "they move apart", UNLIKE, history={"a": [seen(WALK)], "b": [seen(NOISE)]}),
    Case(
        "doubles",
        "both only grow",
        UNLIKE,
        history={"a": [seen(WALK + 1000 * np.arange(60))], "b": [seen(NOISE + 1000 * np.arange(60))]},
    ),
    Case("doubles", "one never moves", UNLIKE, history={"a": [seen(WALK)], "b": [seen([5.0] * 60)]}),
    Case("doubles", "19 days are too few", UNLIKE, history={"a": [seen(WALK[:19])], "b": [seen(WALK[:19])]}),
    Case(
        "doubles",
        "never at the same time",
        UNLIKE,
        history={"a": [seen(WALK[:28])], "b": [seen(WALK[:28], ends=WITHIN)]},
    ),
    Case(
        "doubles",
        "in every region",
        BY_REGION,
        ['kpi "b": moves with kpi "a": values and their changes correlate at 1.000 or more, for every region'],
        history={
            "a": [seen(WALK, region="EU"), seen(NOISE, region="US")],
            "b": [seen(2 * WALK, region="EU"), seen(3 * NOISE, region="US")],
        },
    ),
    Case(
        "doubles",
        "in one region only",
        BY_REGION,
        history={
            "a": [seen(WALK, region="EU"), seen(WALK, region="US")],
            "b": [seen(2 * WALK, region="EU"), seen(NOISE, region="US")],
        },
    ),
    Case("unused", "a metric", {"a": derived("sales / orders")}, ['metric "turnover": no KPI uses it']),
    Case("unused", "all are used", {"a": derived("sales / orders / turnover")}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_a_rule_says(case: Case) -> None:
    verdict = judge(catalog_of(case.kpis, case.goals), TODAY, case.history)
    said = [one for one in verdict.advice if one.rule == case.rule]
    assert [str(one).partition(";")[0] for one in said] == list(case.says)
    for one in said:
        assert one.why.endswith(".") and one.why.count(".") == 1 and one.hint


def test_every_rule_is_in_the_table_with_and_without_advice() -> None:
    assert set(all_rules()) == set(get_args(LintRule)) == set(WEIGHTS)
    assert {case.rule for case in CASES if case.says} == {case.rule for case in CASES if not case.says} == set(WEIGHTS)


def test_a_kpi_that_says_everything_gets_no_advice() -> None:
    assert [one for one in judge(catalog_of({"a": kpi()}), TODAY).advice if one.path[0] != "metrics"] == []


def test_what_is_only_a_metric_is_told_once() -> None:
    bare = {"a": "{metric: sales, window: {type: tumble, grain: day}, title: Sales, description: All}"}
    assert [one.rule for one in judge(catalog_of(bare, {}), TODAY).advice if one.path[0] == "kpis"] == ["dressed"]


def scores(kpis: Mapping[str, str], goals: Mapping[str, str] = GROW, **more: str) -> Mapping[str, int]:
    return judge(catalog_of(kpis, goals, **more), TODAY).scores


@pytest.mark.parametrize(
    ("kpis", "score"),
    [
        ({"a": kpi()}, 100),
        ({}, 0),
        ({"a": kpi(description=None)}, 80),
        ({"a": kpi(objectives=None, review=None)}, 80),  # a rule counts once
        ({"a": kpi(), "b": kpi(metric="orders", unit="orders", description=None, owner=None)}, 80),  # (100 + 60) / 2
        ({"a": kpi(), "b": kpi(metric="orders", unit="orders", review="{every: 1d, last: 2026-01-01}")}, 95),
        ({"a": kpi(indicator="lagging")}, 80),  # the goal's own
        (many(6), 90),
        ({"a": derived("sales/orders", description=None, owner=None, objectives=None, indicator="lagging")}, 0),
    ],
)  # fmt: skip
def test_a_goal_has_the_mean_of_its_kpis_less_its_own(kpis: dict[str, str], score: int) -> None:
    assert scores(kpis) == {"grow": score}


def ignoring(rule: str, text: str, reason: str = "meant so") -> str:
    return f"{text[:-1]}, lint: {{ignore: [{{rule: {rule}, reason: {reason}}}]}}}}"


def outcome(verdict: Verdict, rule: str) -> tuple[list[str], list[str]]:
    """(said, reasons of what is ignored)"""
    said = [one.subject for one in verdict.advice if one.rule == rule]
    return said, [one.reason for one in verdict.ignored if one.advice.rule == rule]


def test_a_rule_is_ignored_where_the_catalog_says_so_and_costs_nothing() -> None:
    two = {"a": ignoring("specific", kpi(title=None)), "b": kpi(title=None, metric="orders", unit="orders")}
    verdict = judge(catalog_of(two), TODAY)
    assert outcome(verdict, "specific") == (['kpi "b"'], ["meant so"])
    assert verdict.scores == {"grow": 90}
    other = {"a": ignoring("measurable", kpi(title=None))}
    assert outcome(judge(catalog_of(other), TODAY), "specific") == (['kpi "a"'], [])


def test_rules_about_goals_metrics_sources_and_the_whole_are_ignored_there() -> None:
    lagging = catalog_of({"a": kpi(indicator="lagging")}, {"grow": ignoring("leading", GROW["grow"])})
    assert outcome(judge(lagging, TODAY), "leading") == ([], ["meant so"])
    eleven = {name: text.replace("ceo0", "ceo").replace("ceo1", "ceo") for name, text in shared(11, 3).items()}
    more = "lint: {ignore: [{rule: few, reason: a small firm}]}\n"
    assert outcome(judge(catalog_of(eleven, goals(3), more), TODAY), "few") == ([], ["a small firm"])
    text = (
        HEAD.replace("(amount), unit: EUR}", "(amount), lint: {ignore: [{rule: unused, reason: for March}]}}")
        .replace("metrics:", "  visits: {topic: visits, event_time: at, fields: {at: timestamp}, "
                             "lint: {ignore: [{rule: unused, reason: for April}]}}\nmetrics:")
    )  # fmt: skip
    loaded = parse([("shop.yaml", text + "kpis:\n  a: " + derived("sales / orders", goal=None) + "\n")])
    assert loaded.catalog is not None, loaded.problems
    assert outcome(judge(loaded.catalog, TODAY), "unused") == ([], ["for March", "for April"])


def test_advice_can_be_located() -> None:
    path = Path(__file__).parent / "good" / "storefront.yaml"
    loaded = parse([(path.name, path.read_text())])
    assert loaded.catalog is not None
    places = {loaded.locate(one.path) for one in judge(loaded.catalog, TODAY).advice}
    assert all(place.startswith("storefront.yaml:") for place in places)
