"""The worker's web server: alive while its loops go round, ready when nothing keeps it from being so."""

from __future__ import annotations

import gzip
import time

import aiohttp
import pytest

from streams.health import STALLED_SECONDS, Health, PortTaken, health_server


async def exposition(gzipped: bool) -> bytes:
    text = b"streamgauge_build_info 1\n"
    return gzip.compress(text) if gzipped else text


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_ready_once_nothing_keeps_it_from_being_so() -> None:
    health = Health()
    async with health_server(health, exposition, "127.0.0.1", 0) as port:
        assert await get(port, "/readyz") == (503, "no partitions are assigned yet\n")
        health.unready = {"recovery": "orders[1] is being recovered", "redis": "Redis does not answer"}
        assert await get(port, "/readyz") == (503, "orders[1] is being recovered\nRedis does not answer\n")
        health.unready.clear()
        assert await get(port, "/readyz") == (200, "ok\n")


async def test_alive_while_every_loop_goes_round() -> None:
    health = Health()
    async with health_server(health, exposition, "127.0.0.1", 0) as port:
        assert await get(port, "/livez") == (200, "ok\n")
        health.round("merge")
        health.progress["accumulate orders"] = time.monotonic() - STALLED_SECONDS - 5
        status, text = await get(port, "/livez")
        assert (status, text.split(" has")[0]) == (503, "accumulate orders")
        health.gone("accumulate orders")
        assert await get(port, "/livez") == (200, "ok\n")


async def test_metrics_come_compressed_to_those_who_can_read_that() -> None:
    async with health_server(Health(), exposition, "127.0.0.1", 0) as port:
        assert await get(port, "/metrics") == (200, "streamgauge_build_info 1\n")


async def test_a_taken_port_is_named() -> None:
    async with health_server(Health(), exposition, "127.0.0.1", 0) as port:
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 cannot be used: Address already in use$"):
            async with health_server(Health(), exposition, "127.0.0.1", port):
                pass
