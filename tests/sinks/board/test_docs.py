"""Every curl of docs/api.md, against a real server: what the page shows works."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sinks.alerting.silencing import silence_for
from sinks.board.access import Access
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from streams.gateway import gateway
from streams.silences import write_silence
from streams.topics import ensure_topics
from tests.sinks.board.conftest import Tokens, facts, server, told, write
from tests.sinks.values import row, rows

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
CURLS = re.findall(r"^\$ (curl .*)$", PAGE.read_text(), re.MULTILINE)
ROUTES = set(re.findall(r"/api/v1/[a-z]+", PAGE.read_text()))


def test_every_route_has_an_example() -> None:
    shown = set(re.findall(r"/api/v1/[a-z]+", " ".join(CURLS)))
    assert shown == ROUTES - {"/api/v1/events"}  # that is in docs/sending.md
    assert all(f"/sales/{kind}" in " ".join(CURLS) for kind in ("values", "top", "history"))


async def silencing(kafka: str) -> list[Any]:
    """The part of a server that makes and ends silences, and in Kafka the one that the page ends."""
    catalog = told().loaded.catalog
    assert catalog is not None
    await ensure_topics(catalog, kafka, replication=1)
    now = datetime.now(UTC)
    made = silence_for(catalog, now, id="3f9c1a7b20", kpis=["sales"], comment="x", until=now + timedelta(hours=1))
    await write_silence(catalog.name, made.id, made, kafka)
    return [partial(gateway, brokers=kafka)]


@pytest.mark.parametrize("curl", CURLS)
async def test_an_example_is_answered(
    curl: str, address: RedisAddress, redis: Redis, sink: RedisSink, tokens: Tokens, request: pytest.FixtureRequest
) -> None:
    parts = await silencing(request.getfixturevalue("kafka")) if "/silences" in curl else []
    await write(sink, rows(row("EU", hour=1, revision=1), row("EU", hour=2), kpi=facts("sales")))
    with_token = "$TOKEN" in curl or "session" in curl
    async with server(address, access=Access(tokens.path if with_token else None), parts=parts) as served:
        words = shlex.split(curl.replace("$API", served.url).replace("$TOKEN", tokens.made["wall"]))[1:]
        method, headers, body, url = "GET", {}, None, ""
        while words:
            match words.pop(0):
                case "-s" | "-sN":
                    pass
                case "-X":
                    method = words.pop(0)
                case "-H":
                    name, _, text = words.pop(0).partition(": ")
                    headers[name] = text
                case "-d":
                    method, body = "POST", words.pop(0)
                case word:
                    assert not url
                    url = word
        async with served.client.stream(method, url, headers=headers, content=body) as response:
            assert response.status_code in (200, 201, 204), await response.aread()
