"""What contributes, as a real Redis has it; what Redis does not say is left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from engine.catalog.alerting import Alert, Threshold
from engine.catalog.model import Calendar, Catalog, Duration, Hop, Kpi
from sinks.alerting.notices import Notice, notice
from sinks.redis.connection import RedisAddress, connect
from sinks.redis.sink import RedisSink
from streams.alerting.contributing import Contributing
from tests.sinks.values import row, rows

END = "2026-11-23T00:00:00+01:00"
RULE = Alert("Low", Threshold(lower=Decimal(1000)))


def kpi(name: str, *group_by: str, drivers: tuple[str, ...] = (), metric: str = "m") -> Kpi:
    window = Hop(Duration(24, "h"), Duration(1, "h"))
    return Kpi(
        name, "simple", window, Calendar("Europe/Amsterdam"), metric=metric, group_by=group_by, alerts=(RULE,),
        drivers=drivers,
    )  # fmt: skip


def catalog(*kpis: Kpi) -> Catalog:
    return Catalog("contributing", Calendar(), {}, {}, {}, {each.name: each for each in kpis})


def alert(**members: Any) -> Notice:
    told = {"alert": "Low", "kpi": "total", "dims": {}, "state": "firing", "severity": "warning", "id": "a"}
    told |= {"order": [0, 1], "at": END, "value": 812, "bound": 1000, "window": {"start": END, "end": END}} | members
    return notice("Low|total|-", json.dumps(told).encode())


@pytest.fixture
async def address(valkey: str) -> AsyncIterator[RedisAddress]:
    """A database of the shared Valkey with values of KPI ``sales``, by region."""
    found = RedisAddress(f"{valkey.rpartition('/')[0]}/9")
    async with connect(found) as redis:
        await redis.flushdb()
    async with RedisSink("contributing", found) as sink:
        told = (("EU", "2"), ("US", "9"), ("APAC", "30"), ("MEA", "4"), (None, "8"))
        sink.offer(rows(*(row(region, value=value, target="10", revision=1) for region, value in told)))
        sink.offer(rows(row("US", hour=1, progress=2, value="11")))  # its next window
        assert await sink.drained(10)
    yield found


async def contributions(found: Catalog, address: RedisAddress | None, told: Notice) -> list[str]:
    contributing = Contributing(found, address)
    try:
        return [str(one) for one in await contributing.of(told)]
    finally:
        await contributing.close()


WORST = ["region EU: 2 against 10 (47%)", "region MEA: 4 against 10 (35%)", "region null: 8 against 10 (12%)"]


async def test_the_finer_series_at_the_same_end_even_when_they_have_gone_on(address: RedisAddress) -> None:
    found = await contributions(catalog(kpi("total"), kpi("sales", "region")), address, alert())
    assert found == WORST


async def test_drivers_where_nothing_is_finer(address: RedisAddress) -> None:
    of = catalog(kpi("total", drivers=("sales",)), kpi("sales", "region", metric="other"))
    assert await contributions(of, address, alert()) == WORST


async def test_the_dimensions_that_both_have_agree(address: RedisAddress) -> None:
    of = catalog(kpi("total", "region", drivers=("sales",)), kpi("sales", "region", metric="other"))
    told = notice("Low|total|region=MEA", alert().text)
    assert await contributions(of, address, told) == ["region MEA: 4 against 10 (100%)"]


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(alert(window={"start": END, "end": "2026-11-20T00:00:00+01:00"}), id="an end that is gone"),
        pytest.param(alert(value=None), id="no value"),
        pytest.param(alert(state="resolved"), id="nothing is wrong any more"),
        pytest.param(alert(alert="Gone"), id="a rule that is gone"),
    ],
)
async def test_what_nobody_knows_is_left_out(address: RedisAddress, told: Notice) -> None:
    assert await contributions(catalog(kpi("total"), kpi("sales", "region")), address, told) == []


async def test_without_redis_there_is_nothing_to_say() -> None:
    of = catalog(kpi("total"), kpi("sales", "region"))
    assert await contributions(of, None, alert()) == []
    assert await contributions(of, RedisAddress("redis://127.0.0.1:1/0"), alert()) == []
