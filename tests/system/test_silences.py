"""Silences over HTTP into a real Kafka, as the command makes them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from sinks.board.access import Access
from sinks.board.tokens import make_token
from sinks.redis.connection import RedisAddress
from streamgauge.catalog_files import read_catalog
from streamgauge.services import embedded_services, free_port
from streams.gateway import gateway
from streams.silences import read_silences
from streams.topics import ensure_topics
from tests.sinks.board.conftest import Served, server, told
from tests.system.test_gateway import written

pytestmark = pytest.mark.system
PATH = "/api/v1/silences"
ALERTS = """\
  by_second:
    metric: revenue
    window: {type: tumble, size: 1h}
    alerts:
      - {alert: Low, when: {below: 100}}
"""
ASKED: dict[str, Any] = {"kpis": ["by_second"], "for": "2h", "comment": "stocktaking"}


def catalog_file(folder: Path) -> tuple[Path, str]:
    path, catalog = written(folder)
    path.write_text(path.read_text() + ALERTS)
    return path, catalog.name


@asynccontextmanager
async def shop(folder: Path, kafka: str, redis: str, **changed: Any) -> AsyncIterator[tuple[Served, str]]:
    """A server whose catalog has alerts, and the catalog's name."""
    path, name = catalog_file(folder)
    catalog = read_catalog(path).catalog
    assert catalog is not None
    if changed.pop("topics", True):
        await ensure_topics(catalog, kafka, replication=1)
    part = partial(gateway, brokers=kafka, timeout=changed.pop("timeout", 10))
    async with server(RedisAddress(redis), told=told(path), parts=[part], **changed) as served:
        yield served, name


async def test_a_silence_is_made_and_ended(kafka: str, valkey: str, tmp_path: Path) -> None:
    async with shop(tmp_path, kafka, valkey) as (served, name):
        response = await served.client.post(PATH, json={**ASKED, "alerts": ["Low"]})
        assert response.status_code == 201, response.text
        made = response.json()
        record = (await read_silences(name, kafka))[made["id"]]
        assert record.encode() == response.content
        assert (record.kpis, record.alerts, record.where, record.by) == (("by_second",), ("Low",), {}, None)
        assert record.until - record.from_ == timedelta(hours=2)
        assert (await served.client.delete(f"{PATH}/{made['id']}")).status_code == 204  # at once, whoever has read it
        assert await read_silences(name, kafka) == {}
        again = await served.client.delete(f"{PATH}/{made['id']}")
        assert again.status_code == 404 and again.headers["content-type"] == "application/problem+json"


async def test_making_and_ending_take_the_right_silence(kafka: str, valkey: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    reader, duty = (make_token(tokens, name, [right], date(2026, 11, 25)) for name, right in
                    (("reader", "read"), ("duty", "silence")))  # fmt: skip
    async with shop(tmp_path, kafka, valkey, access=Access(tokens)) as (served, name):
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {reader}"}, 403)):
            assert (await served.client.post(PATH, json=ASKED, headers=headers)).status_code == status
            assert (await served.client.delete(f"{PATH}/a", headers=headers)).status_code == status
        headers = {"Authorization": f"Bearer {duty}"}
        made = await served.client.post(PATH, json=ASKED, headers=headers)
        assert (made.status_code, made.json()["by"]) == (201, "duty")
        assert set(await read_silences(name, kafka)) == {made.json()["id"]}
        entered = await served.client.post("/api/v1/session", json={"token": duty})  # a page silences as well
        assert entered.status_code == 200
        assert (await served.client.delete(f"{PATH}/{made.json()['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kpis": ["nothing"]}, "kpis"),
        ({"kpis": ["revenue"]}, "kpis"),  # which has no alerts
        ({"kpis": []}, "kpis"),
        ({"alerts": ["High"]}, "alerts"),
        ({"where": {"region": "EU"}}, "where"),
        ({"for": None}, "for"),
        ({"for": "91d"}, "until"),
        ({"for": "soon"}, "for"),
        ({"until": f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}, "until"),
        ({"for": None, "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"for": None, "until": "2027-01-01T00:00:00"}, "until"),
        ({"comment": " "}, "comment"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_makes_no_silence_names_what_is_wrong(
    valkey: str, tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    async with shop(tmp_path, "127.0.0.1:1", valkey, topics=False) as (served, _):
        refused = await served.client.post(PATH, json=ASKED | changed)
        assert refused.status_code == 422, refused.text
        assert [error["name"] for error in refused.json()["errors"]] == [named]


async def test_another_body_than_json_is_refused(valkey: str, tmp_path: Path) -> None:
    async with shop(tmp_path, "127.0.0.1:1", valkey, topics=False) as (served, _):
        plain = await served.client.post(PATH, content=json.dumps(ASKED), headers={"Content-Type": "text/plain"})
        assert plain.status_code == 415


async def test_while_kafka_is_away_nothing_is_changed_and_that_is_said(valkey: str, tmp_path: Path) -> None:
    # Below the ports that connections get by themselves: until Kafka is there, one of serve's own could have this one.
    port = free_port(random.randrange(20_000, 30_000))
    brokers = f"127.0.0.1:{port}"
    async with shop(tmp_path, brokers, valkey, topics=False, timeout=2) as (served, name):
        for response in (await served.client.post(PATH, json=ASKED), await served.client.delete(f"{PATH}/a")):
            assert response.status_code == 503 and response.headers["retry-after"] == "5"
            assert response.json()["detail"].startswith("nothing was changed: Kafka")
        with embedded_services(tmp_path / "kafka", kafka_port=port, redis_port=None):
            catalog = read_catalog(tmp_path / "shop.yaml").catalog
            assert catalog is not None
            missing = await until_answered(served)
            assert f"topic {name}.silences does not exist" in missing.json()["detail"]
            await ensure_topics(catalog, brokers, replication=1)
            async with asyncio.timeout(60):
                while (await served.client.post(PATH, json=ASKED)).status_code != 201:
                    await asyncio.sleep(0.1)


async def until_answered(served: Served) -> httpx.Response:
    """What is said once Kafka is there."""
    async with asyncio.timeout(60):
        while "cannot be reached" in (response := await served.client.post(PATH, json=ASKED)).text:
            await asyncio.sleep(0.1)
    return response
