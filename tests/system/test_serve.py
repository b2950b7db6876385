"""`streamgauge serve` and `streamgauge token` as users start them: from events to what a browser's stream tells."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.streamgauge.conftest import RETAIL, Run
from tests.system.processes import serving
from tests.system.workers import open_shop, orders

pytestmark = pytest.mark.system
AWAY = "127.0.0.1:1"


async def test_what_was_sent_is_what_an_open_stream_tells(kafka: str, valkey: str, tmp_path: Path) -> None:
    async with open_shop(kafka, valkey, tmp_path) as shop:
        with shop.worker() as worker, serving(tmp_path, shop.catalog, kafka, valkey) as served:
            await worker.ready()
            await served.ready()
            async with (
                httpx.AsyncClient(timeout=60) as client,
                client.stream("GET", f"{served.url}/api/v1/stream?kpi=revenue") as stream,
            ):
                lines = stream.aiter_lines()
                assert (await anext(lines)).startswith("retry: ")
                await shop.send(orders(2_000))
                await shop.finish()
                expected = {key: found for key, found in shop.expected().items() if key[0].startswith("revenue|")}
                told: dict[tuple[str, int], tuple[Decimal, int]] = {}
                async with asyncio.timeout(60):
                    while told != expected:
                        told.update(closed_values(await anext(lines)))
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0
            log = served.log.read_text()
            assert "Traceback" not in log
            assert "definition" not in log  # the same catalog, the same definitions


def closed_values(line: str) -> dict[tuple[str, int], tuple[Decimal, int]]:
    """(key, window start) -> (value, samples) of what a line of the stream tells of windows that have closed."""
    if not line.startswith('data: {"kpi"'):
        return {}
    told = json.loads(line.removeprefix("data: "), parse_float=Decimal)
    found = {}
    for value in told.get("values", [told]):
        region = value["dims"]["region"]
        if value["state"] != "open" and region != "last":
            start = round(datetime.fromisoformat(value["window"]["start"]).timestamp() * 1e6)
            found[f"revenue|region={region}", start] = Decimal(value["value"]), value["samples"]
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_its_streams(valkey: str, tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, RETAIL, AWAY, valkey) as served:
        await served.ready()
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", f"{served.url}/api/v1/stream") as stream,
        ):
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith("retry: ")
            served.process.send_signal(number)
            async for _ in lines:  # to its end
                pass
        assert await served.ended() == 0
        assert "Traceback" not in served.log.read_text()


async def test_tokens_are_made_and_revoked_while_it_serves(valkey: str, tmp_path: Path, streamgauge: Run) -> None:
    tokens = tmp_path / "tokens.json"
    made = streamgauge("token", "make", "wall", "--right", "read", "--tokens", tokens)
    assert made.code == 0
    token = made.out.strip()
    assert token not in made.err
    with serving(tmp_path, RETAIL, AWAY, valkey, "--host", "0.0.0.0", "--tokens", tokens) as served:
        await served.ready()
        async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": f"Bearer {token}"}) as client:
            assert (await client.get("/api/v1/kpis")).status_code == 200
            assert (await client.get("/api/v1/kpis", headers={"Authorization": "Bearer x"})).status_code == 401
            listed = json.loads(streamgauge("token", "list", "--tokens", tokens, "--format", "json").out)
            assert [(one["name"], one["rights"]) for one in listed] == [("wall", ["read"])]
            assert streamgauge("token", "revoke", "wall", "--tokens", tokens).code == 0
            async with asyncio.timeout(20):
                while (await client.get("/api/v1/kpis")).status_code != 401:
                    await asyncio.sleep(0.05)
        assert token not in served.log.read_text()


def test_wrong_use_says_what_to_write(valkey: str, tmp_path: Path, streamgauge: Run) -> None:
    connections = ("--brokers", AWAY, "--redis", valkey)
    for options, message in (
        (("--host", "0.0.0.0"), "which takes tokens"),
        (("--host", "0.0.0.0", "--tokens", tmp_path / "none.json"), "does not exist"),
        (("--cors-origin", "intranet.example.org"), "write scheme, host and port alone"),
        (("--cors-origin", "*"), "write scheme, host and port alone"),
        (("--rate-limit", "many"), "write N/second"),
        (("--trusted-proxy", "proxy.example.org"), "write an address, or a network"),
    ):
        ended = streamgauge("serve", RETAIL, *connections, *options)
        assert (ended.code, message in ended.err) == (2, True), ended
        assert ended.err.count("\n") == 1


def test_what_is_not_there_is_told_in_one_line(valkey: str, tmp_path: Path, command: Run) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(RETAIL.read_text().replace("agg: sum", "agg: som", 1))
    with serving(tmp_path, RETAIL, AWAY, valkey) as other:
        asyncio.run(other.ready())
        for catalog, redis, port, code, message in (
            (broken, valkey, 0, 1, "broken.yaml:"),
            (RETAIL, f"redis://{AWAY}", 0, 3, f"Redis at redis://{AWAY} cannot be reached"),
            (RETAIL, valkey, other.port, 1, f"port {other.port} on 127.0.0.1 cannot be used"),
        ):
            ended = command("serve", catalog, "--brokers", AWAY, "--redis", redis, "--port", port)
            assert (ended.code, message in ended.err) == (code, True), ended
            assert "Traceback" not in ended.err
