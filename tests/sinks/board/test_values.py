"""What the API says of values is what Redis holds: the same objects, to the last digit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.values import render
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from tests.sinks.board.conftest import Served, facts, server, write
from tests.sinks.values import row, rows

VALUES = "/api/v1/kpis/sales/values"
SALES = facts("sales")


def regions(found: dict[str, Any]) -> list[str | None]:
    return [value["dims"]["region"] for value in found["values"]]


async def test_values_are_the_objects_of_the_values_topic(served: Served, sink: RedisSink) -> None:
    offered = rows(
        row("EU", value="1213440.550000000000000000001"),
        row(None, value=None, target=None, status=None, compare_value=None, compare_change=None),
        row('a,b=c|"d"%', dims="region=a%2Cb%3Dc%7C%22d%22%25"),
        kpi=SALES,
    )
    await write(sink, offered)
    await served.until(VALUES, lambda found: len(found["values"]) == 3)
    found = json.loads((await served.get(VALUES)).content, parse_float=Decimal)
    expected = [json.loads(value, parse_float=Decimal) for _, value in render(offered)]
    assert sorted(map(str, found["values"])) == sorted(map(str, expected))
    assert found["next"] is None


async def test_values_that_were_there_before_the_server(address: RedisAddress, sink: RedisSink) -> None:
    await write(sink, rows(row("EU"), row("US"), kpi=SALES))
    async with server(address) as served:
        assert regions(await served.json(VALUES)) == ["EU", "US"]
        assert (await served.json("/api/v1/kpis/sales"))["series"] == 2


async def test_the_newest_value_of_a_series_is_shown(served: Served, sink: RedisSink) -> None:
    await write(sink, rows(row("EU", hour=2, value="3"), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 1)
    # A window that closes after a newer one began is news, but not the current value.
    await write(sink, rows(row("EU", hour=1, revision=1, value="2"), row("US", hour=2, value="9"), kpi=SALES))
    found = await served.until(VALUES, lambda found: len(found["values"]) == 2)
    assert [value["value"] for value in found["values"]] == [3, 9]


async def test_a_newer_definition_replaces_values_whatever_their_windows(
    served: Served, sink: RedisSink, caplog: pytest.LogCaptureFixture
) -> None:
    await write(sink, rows(row("EU", hour=5, progress=900, value="1"), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 1)
    newer = replace(facts("sales", sequence=4), definition="ffffffffffff")
    await write(sink, rows(row("EU", hour=3, progress=10, value="2"), kpi=newer))
    await served.until(VALUES, lambda found: found["values"][0]["value"] == 2)
    await write(sink, rows(row("EU", hour=9, progress=999, value="7"), row("US", value="8"), kpi=SALES))
    found = await served.until(VALUES, lambda found: len(found["values"]) == 2)
    assert [value["value"] for value in found["values"]] == [2, 8]
    told = [record.getMessage() for record in caplog.records if "definition" in record.getMessage()]
    expected = f"values of sales are of definition ffffffffffff, and here it is {SALES.definition}: "
    assert told == [expected + "serve the catalog that the workers have"]


async def test_filters_by_dimension(served: Served, sink: RedisSink) -> None:
    await write(sink, rows(row("EU"), row("US"), row(None), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 3)
    assert regions(await served.json(f"{VALUES}?region=EU")) == ["EU"]
    assert regions(await served.json(f"{VALUES}?region=__null__")) == [None]
    assert regions(await served.json(f"{VALUES}?region=nowhere")) == []


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        (f"{VALUES}?colour=red", 422, "colour"),
        (f"{VALUES}?region=EU&region=US", 422, "region"),
        (f"{VALUES}?limit=0", 422, "limit"),
        (f"{VALUES}?limit=10001", 422, "limit"),
        (f"{VALUES}?cursor=%20%20x", 422, "cursor"),
        (f"{VALUES}?cursor=x.", 422, "cursor"),
        ("/api/v1/kpis/nothing/values", 404, None),
        ("/api/v1/kpis/nothing", 404, None),
        ("/api/v1/kpis/sales/top?n=0", 422, "n"),
        ("/api/v1/kpis/sales/top?region=EU", 422, "region"),
        ("/api/v1/kpis/sales/history", 422, "region"),
        ("/api/v1/kpis/sales/history?region=EU&from=yesterday", 422, "from"),
        ("/api/v1/kpis/sales/history?region=EU&from=2026-11-23T00:00:00", 422, "from"),
        ("/api/v1/kpis?cursor=nothing", 422, "cursor"),
        ("/api/v1/kpis?ownr=cro", 422, "ownr"),
        ("/api/v1/kpis/sales?region=EU", 422, "region"),
        ("/api/v1/kpis?limit=1&limit=2", 422, "limit"),
        ("/api/v1/kpis/sales/top?n=1&n=2", 422, "n"),
        ("/api/v1/kpis/sales/history?region=EU&from=2026-11-23T00:00:00Z&to=2026-11-23T00:30:00%2B01:00", 422, "from"),
        ("/api/v1/kpis/sales/history?region=EU&from=1764000000", 422, "from"),
        ("/api/v1/kpis/sales/history?region=EU&to=2026-11-23T00:00:00+01:00", 422, "to"),
        ("/api/v1/kpis/sales/history?region=EU&to=2026-13-23T00:00:00Z", 422, "to"),
        ("/api/v1/catalog?x=", 422, "x"),
        ("/api/v1/alerts?kpi=nothing", 422, "kpi"),
        ("/api/v1/alerts?state=resolved", 422, "state"),
        ("/api/v1/alerts?region=EU", 422, "region"),
        ("/api/v1/silences?kpi=sales", 422, "kpi"),
        ("/api/v1/findings?rule=few", 422, "rule"),
        ("/api/v1/stream?kpi=nothing", 404, None),
        ("/api/v1/stream?kpi=sales&kpi=orders_today&region=EU", 422, "region"),
        ("/api/v1/stream?colour=red", 422, "colour"),
        ("/api/v1/nothing", 404, None),
    ],
)
async def test_what_does_not_fit_is_a_problem_document(
    served: Served, path: str, status: int, named: str | None
) -> None:
    response = await served.get(path)
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == path.partition("?")[0]
    assert problem["title"]
    assert [error["name"] for error in problem.get("errors", [])] == ([named] if named else [])


async def test_pages_are_everything_once_and_in_order(served: Served, sink: RedisSink) -> None:
    names = [f"r{number:03d}" for number in range(25)]
    await write(sink, rows(*(row(name) for name in names), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 25)
    seen: list[str | None] = []
    url = f"{VALUES}?limit=10"
    pages = 0
    while url:
        response = await served.get(url)
        seen += regions(response.json())
        link = response.headers.get("link", "")
        url = next(iter(re.findall(r'<([^>]*)>; rel="next"', link)), "")
        assert bool(url) == (response.json()["next"] is not None)
        pages += 1
    assert (seen, pages) == (names, 3)


async def test_an_etag_holds_until_a_value_changes(served: Served, sink: RedisSink) -> None:
    await write(sink, rows(row("EU"), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 1)
    first = await served.get(VALUES)
    etag = first.headers["etag"]
    again = await served.get(VALUES, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    filtered = await served.get(f"{VALUES}?region=US", headers={"If-None-Match": etag})
    assert filtered.status_code == 200
    await write(sink, rows(row("EU", progress=2, value="11"), kpi=SALES))
    await served.until(VALUES, lambda found: found["values"][0]["value"] == 11)
    changed = await served.get(VALUES, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.headers["etag"] != etag) == (200, True)


async def test_top_is_of_the_newest_window_and_without_the_rest(served: Served, sink: RedisSink) -> None:
    await write(
        sink,
        rows(
            row("a", hour=1, value="10"),
            row("b", hour=1, value="9.5"),
            row("c", hour=1, value="-3"),
            row("old", hour=0, value="99"),
            row("none", hour=1, value=None),
            row("__other__", hour=1, value="1000", h=2**64 - 1),
            kpi=SALES,
        ),
    )
    await served.until(VALUES, lambda found: len(found["values"]) == 6)
    assert regions(await served.json("/api/v1/kpis/sales/top?n=2")) == ["a", "b"]
    assert regions(await served.json("/api/v1/kpis/sales/top?n=2&lowest=true")) == ["c", "b"]
    assert regions(await served.json("/api/v1/kpis/sales/top")) == ["a", "b", "c"]


async def test_history_is_the_newest_value_of_each_past_window(served: Served, sink: RedisSink) -> None:
    for hour in range(3):
        await write(sink, rows(row("EU", hour=hour, revision=1, value=f"{hour}.10"), kpi=SALES))
    await write(sink, rows(row("EU", hour=1, revision=2, value="1.20"), row("EU", hour=3, value="9"), kpi=SALES))
    response = await served.get("/api/v1/kpis/sales/history?region=EU")
    found = json.loads(response.content, parse_float=str)
    assert [value["value"] for value in found["values"]] == ["0.10", "1.20", "2.10"]
    assert (found["kpi"], found["dims"]) == ("sales", {"region": "EU"})
    since = found["values"][1]["window"]["end"].replace("+", "%2B")
    until = found["values"][1]["window"]["end"].replace("+", "%2B")
    between = await served.json(f"/api/v1/kpis/sales/history?region=EU&from={since}&to={until}")
    assert [value["value"] for value in between["values"]] == [1.2]
    assert (await served.json("/api/v1/kpis/sales/history?region=nowhere"))["values"] == []
