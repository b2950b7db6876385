"""What the API says of the catalog."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.catalog.lint import judge
from engine.catalog.loader import parse
from sinks.board.definitions import in_words
from sinks.board.excerpts import Excerpts
from sinks.board.facts import CatalogFacts
from sinks.board.judging import Judgement
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from tests.sinks.board.conftest import CATALOG, NAME, Served, facts, server, told, write
from tests.sinks.values import row, rows

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
BEFORE = """\
version: 1
name: words
goals: {g: {title: Goal}}
sources:
  orders:
    topic: words.orders
    event_time: at
    fields: {at: timestamp, region: string, store_id: integer, status: string, amount: "decimal(12,2)", "paid": boolean}
metrics:
  revenue: {source: orders, agg: sum, expr: amount, filter: "status = 'paid'", unit: EUR}
  cost: {source: orders, agg: average, expr: amount}
  orders: {source: orders, agg: count}
  buyers: {source: orders, agg: count_distinct, expr: region}
  p95: {source: orders, agg: percentile, percentile: 0.95, expr: amount}
  p999: {source: orders, agg: percentile, percentile: 0.999, expr: amount}
  p42: {source: orders, agg: percentile, percentile: 0.42, expr: amount}
  rate: {source: orders, agg: rate, per: minute}
  paid_rate: {source: orders, agg: rate, per: hour, expr: amount, filter: paid OR status = 'x'}
  last: {source: orders, agg: last, expr: amount}
kpis:
"""
SENTENCES = [
    (
        "{metric: revenue, group_by: [region], window: {type: hop, size: 30d, slide: 1h},"
        " compare: {offset_window: 30d}, objectives: [{op: gte, value: 1200000, where: {region: EU}}]}",
        "Sum of amount (EUR) of orders where status = 'paid', by region, over the last 30 days, every hour; compared "
        "with 30 days before. Target: at least 1,200,000 EUR for region EU.",
    ),
    (
        "{metric: orders, group_by: [region, store_id], window: {type: tumble, size: 5m}, where: amount > 0}",
        "Number of orders where amount > 0, by region and store id, in every 5 minutes.",
    ),
    (
        "{type: ratio, numerator: revenue, denominator: buyers, window: {type: tumble, grain: month},"
        " compare: {offset_window: 1 year}}",
        "Sum of amount (EUR) of orders where status = 'paid', divided by number of different region of orders, in each "
        "month; compared with 1 year before.",
    ),
    (
        '{type: derived, expr: "(revenue - cost) / revenue@30d",'
        " window: {type: cumulate, grain_to_date: week, step: 1h}}",
        "(revenue - cost) / revenue (30 days before), where revenue is the sum of amount (EUR) of orders where "
        "status = 'paid' and cost is the average of amount of orders, since the start of the week, every hour.",
    ),
    (
        '{type: derived, expr: "1 - orders / buyers", unit: ratio, window: {type: tumble, grain: day},'
        " objectives: [{op: between, value: 0.999, upper: 1}]}",
        "1 - orders / buyers, where orders is the number of orders and buyers is the number of different region of "
        "orders, in each day. Target: from 99.9 % to 100 %.",
    ),
    (
        '{type: derived, expr: "cost / 12", window: {type: tumble, grain: day}}',
        "cost / 12, where cost is the average of amount of orders, in each day.",
    ),
    ("{metric: p95, window: {type: tumble, size: 1h}}", "95th percentile of amount of orders, in every hour."),
    ("{metric: p999, window: {type: tumble, size: 1h}}", "99.9th percentile of amount of orders, in every hour."),
    ("{metric: p42, window: {type: tumble, size: 2w}}", "42nd percentile of amount of orders, in every 2 weeks."),
    ("{metric: rate, window: {type: tumble, grain: day}}", "Number of orders per minute, in each day."),
    (
        "{metric: paid_rate, where: amount > 1, window: {type: tumble, grain: day}}",
        "Sum of amount of orders per hour where (paid OR status = 'x') and amount > 1, in each day.",
    ),
    (
        "{metric: last, window: {type: tumble, grain: day}, objectives: [{op: between, value: 1.50, upper: 2000, "
        "valid_from: 2026-01-01}, {op: lte, value: 7}]}",
        "Latest amount of orders, in each day. Target: from 1.50 to 2,000 from 2026-01-01 on; at most 7.",
    ),
]


@pytest.mark.parametrize(("kpi", "sentence"), SENTENCES)
def test_a_kpi_in_plain_words(kpi: str, sentence: str) -> None:
    loaded = parse([("words.yaml", f"{BEFORE}  subject: {kpi}\n")])
    assert not loaded.problems and loaded.catalog is not None
    assert in_words(loaded.catalog.kpis["subject"], loaded.catalog) == sentence


def test_an_excerpt_is_the_text_as_it_was_written() -> None:
    excerpt = Excerpts(told().files, told().loaded.whereabouts).of("sales", ["revenue"])
    lines = CATALOG.read_text().splitlines()
    assert (excerpt.file, lines[excerpt.line - 1]) == (str(CATALOG), "  sales:")
    assert excerpt.yaml.startswith("metrics:\n  revenue: {source: orders, agg: sum,")
    assert "    group_by: [region]   # where it was sold\n" in excerpt.yaml
    assert excerpt.yaml.endswith("      - {alert: SalesLow, severity: critical, when: {below: 1000}, for: 1h}\n")


@pytest.mark.parametrize("kpi", ["sales", "orders_today", "paid_share"])
def test_an_excerpt_is_a_catalog_once_its_head_is_there(kpi: str) -> None:
    head = CATALOG.read_text().partition("metrics:")[0]
    catalog = CatalogFacts(told())
    found = catalog.described(kpi, 0, NOON, [], judge(catalog.catalog, NOON.date()))
    loaded = parse([("excerpt.yaml", head + found["yaml"])])
    assert not loaded.problems and loaded.catalog is not None
    assert loaded.catalog.kpis[kpi] == told().loaded.catalog.kpis[kpi]


def test_an_excerpt_of_several_on_one_line() -> None:
    text = "version: 1\nname: x\nmetrics: {a: {source: o, agg: count}, b: {source: o, agg: sum, expr: amount}}\n"
    text += "kpis: {k: {metric: b, window: {type: tumble, size: 1h}}}\n"
    text += 'sources: {o: {topic: o, event_time: at, fields: {at: timestamp, amount: "decimal(9,2)"}}}\n'
    loaded = parse([("one.yaml", text)])
    assert not loaded.problems and loaded.whereabouts is not None
    excerpt = Excerpts([("one.yaml", text)], loaded.whereabouts).of("k", ["b"])
    assert excerpt.yaml == (
        "metrics:\n  b:\n    source: o\n    agg: sum\n    expr: amount\n"
        "kpis:\n  k:\n    metric: b\n    window:\n      type: tumble\n      size: 1h\n"
    )
    assert excerpt.line == 4


async def test_the_catalog(served: Served) -> None:
    assert await served.json("/api/v1/catalog") == {
        "name": NAME,
        "goals": [{"name": "grow", "title": "Grow revenue 20 % this year", "owner": "cro"}],
        "timezone": "Europe/Amsterdam",
        "loaded_definition": "0123456789ab",
    }


def names(found: dict[str, Any]) -> list[str]:
    return [kpi["name"] for kpi in found["kpis"]]


async def test_the_kpis_are_listed_by_what_they_are(served: Served) -> None:
    assert names(await served.json("/api/v1/kpis")) == ["sales", "orders_today", "paid_share"]
    assert names(await served.json("/api/v1/kpis?goal=grow&owner=cro&category=strategic&indicator=lagging")) == [
        "sales"
    ]
    assert names(await served.json("/api/v1/kpis?owner=coo")) == ["orders_today"]
    assert names(await served.json("/api/v1/kpis?owner=nobody")) == []
    first = await served.get("/api/v1/kpis?limit=2")
    assert first.json()["next"] == "2"
    rest = first.headers["link"].removeprefix("<").partition(">")[0]
    assert names(await served.json(rest)) == ["paid_share"]


async def test_a_kpi_says_what_it_is(served: Served) -> None:
    response = await served.get("/api/v1/kpis/sales")
    found = json.loads(response.content, parse_float=str)
    assert found["words"].startswith("Sum of amount (EUR) of orders where status = 'paid', by region, over the last 30")
    assert found["window"] == {
        "type": "hop", "size": "30d", "slide": "1h", "words": "over the last 30 days, every hour",
    }  # fmt: skip
    assert found["compare"] == {"offset_window": "30d"}
    assert found["objectives"] == [
        {
            "op": "gte", "value": 1200000, "upper": None, "where": {"region": "EU"}, "valid_from": None,
            "warn_within": "0.1",
            "share": None,
            "pacing": None,
            "quiet_until": None,
        }
    ]  # fmt: skip
    assert found["review"] == {"every": "90d", "last": "2026-01-01", "due": "2026-04-01", "overdue": True}
    assert (found["unit"], found["group_by"], found["file"]) == ("EUR", ["region"], str(CATALOG))
    assert [metric["name"] for metric in found["metrics"]] == ["revenue"]
    assert [one["subject"] for one in found["findings"]] == ['kpi "sales"'] * len(found["findings"])
    assert found["findings"]
    everything = await served.json("/api/v1/findings")
    assert {one["subject"] for one in everything["findings"]} >= {'kpi "sales"', 'kpi "orders_today"'}
    assert {one["severity"] for one in everything["findings"]} <= {"advice", "warning"}
    assert all(one["message"] and one["why"] and one["change"] for one in everything["findings"])
    assert everything["scores"].keys() == {"grow"}
    assert 0 <= everything["scores"]["grow"] < 100
    assert found["alerts"] == [{"alert": "SalesLow", "severity": "critical", "when": {"below": 1000}, "for": "1h"}]
    assert found["active_alerts"] == []


async def test_advice_is_by_what_the_values_have_been(address: RedisAddress, sink: RedisSink) -> None:
    below = [row("EU", hour=hour, revision=1, value="10.50") for hour in range(12)]
    await write(sink, rows(*below, kpi=facts("sales")))
    async with server(address) as served:
        [achievable] = [
            one for one in (await served.json("/api/v1/findings"))["findings"] if one["rule"] == "achievable"
        ]
        assert achievable["subject"] == 'kpi "sales"'
        assert "was never met: the best of 12 values since 2026-11-23 is 10.5 EUR" in achievable["message"]
        assert achievable in (await served.json("/api/v1/kpis/sales"))["findings"]


async def test_the_past_of_values_is_read_every_five_minutes_at_most(address: RedisAddress, sink: RedisSink) -> None:
    """Without Redis advice is by what was read of it last."""
    loaded = told().loaded
    assert loaded.catalog is not None
    seconds = [0.0]
    judgement = Judgement(loaded.catalog, address, every_s=300, clock=lambda: seconds[0])

    async def rules() -> set[str]:
        return {one.rule for one in (await judgement.verdict(NOON)).advice}

    plain = await rules()
    assert "achievable" not in plain
    await write(sink, rows(*(row("EU", hour=hour, revision=1) for hour in range(12)), kpi=facts("sales")))
    seconds[0] = 299
    assert await rules() == plain
    seconds[0] = 300
    assert await rules() == plain | {"achievable"}
    nowhere = Judgement(loaded.catalog, RedisAddress("redis://127.0.0.1:1/0"))
    assert {one.rule for one in (await nowhere.verdict(NOON)).advice} == plain


async def test_pages_are_served_from_any_path_of_theirs(served: Served) -> None:
    index = await served.get("/")
    assert index.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in index.headers["content-security-policy"]
    assert index.headers["x-content-type-options"] == "nosniff"
    for path in ("/kpi/sales", "/wall", "/alerts"):
        assert (await served.get(path)).content == index.content
    again = await served.get("/", headers={"If-None-Match": index.headers["etag"]})
    assert again.status_code == 304


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_people_who_come_to_no_page_get_one_and_programs_a_document(served: Served) -> None:
    index = await served.get("/")
    for path in ("/foo/bar", "/overview", "/kpi"):
        found = await served.get(path, headers=BROWSER)
        assert (found.status_code, found.content) == (404, index.content)
        assert found.headers["content-type"].startswith("text/html")
        assert (found.headers["cache-control"], found.headers["vary"]) == ("no-store", "Accept")
        assert "default-src 'self'" in found.headers["content-security-policy"]
        for asked in (served.get(path), served.client.post(path, headers=BROWSER)):
            assert (await asked).headers["content-type"] == "application/problem+json"
    for path in ("/api/v1/nothing", "/api/v1/kpis/nothing"):
        found = await served.get(path, headers=BROWSER)
        assert (found.status_code, found.headers["content-type"]) == (404, "application/problem+json")


async def test_what_the_page_loads_is_there_and_kept_by_browsers(served: Served) -> None:
    index = (await served.get("/")).text
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', index)
    assert loaded
    for path in loaded:
        found = await served.get(path)
        assert found.status_code == 200
        kind = {"js": "javascript", "css": "css", "svg": "svg"}[path.rpartition(".")[2]]
        assert kind in found.headers["content-type"]
        assert ("immutable" in found.headers["cache-control"]) == path.startswith("/assets/")
        assert (await served.client.head(path)).headers["etag"] == found.headers["etag"]
    assert (await served.get("/assets/../pages.py")).status_code == 404
    assert (await served.get("/assets/%2e%2e/%2e%2e/pages.py")).status_code == 404
