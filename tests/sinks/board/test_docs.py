"""Every curl of docs/api.md, against a real server: what the page shows works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sinks.board.access import Access
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from tests.sinks.board.conftest import Tokens, facts, server, write
from tests.sinks.values import row, rows

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
CURLS = re.findall(r"^\$ (curl .*)$", PAGE.read_text(), re.MULTILINE)
ROUTES = set(re.findall(r"/api/v1/[a-z]+", PAGE.read_text()))


def test_every_route_has_an_example() -> None:
    shown = set(re.findall(r"/api/v1/[a-z]+", " ".join(CURLS)))
    assert shown == ROUTES - {"/api/v1/events"}  # that is in docs/sending.md
    assert all(f"/sales/{kind}" in " ".join(CURLS) for kind in ("values", "top", "history"))


@pytest.mark.parametrize("curl", CURLS)
async def test_an_example_is_answered(
    curl: str, address: RedisAddress, redis: Redis, sink: RedisSink, tokens: Tokens
) -> None:
    await write(sink, rows(row("EU", hour=1, revision=1), row("EU", hour=2), kpi=facts("sales")))
    with_token = "$TOKEN" in curl or "session" in curl
    async with server(address, access=Access(tokens.path if with_token else None)) as served:
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
            assert response.status_code in (200, 204), await response.aread()
