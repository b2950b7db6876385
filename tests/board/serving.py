"""`streamgauge serve` as a process that can be killed, silenced and started again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from streamgauge.services import free_port


@dataclass
class Serving:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ready(self) -> None:
        async with asyncio.timeout(60), httpx.AsyncClient(base_url=self.url) as client:
            while not await self._answers(client):
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(
    folder: Path, catalog: Path, brokers: str, redis: str, *options: object, port: int | None = None
) -> Iterator[Serving]:
    """On a free port unless told which."""
    port = port or free_port(0)
    log = folder / f"serve-{port}.log"
    command = [
        sys.executable, "-m", "streamgauge", "serve", str(catalog), "--brokers", brokers, "--redis", redis,
        "--port", str(port), *map(str, options),
    ]  # fmt: skip
    environment = {name: text for name, text in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    served = Serving(process, port, log)
    try:
        yield served
    finally:
        served.kill()
