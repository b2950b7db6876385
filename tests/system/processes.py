"""`streamgauge worker` and `streamgauge serve` as processes, which can be asked how they are, silenced and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamgauge.services import free_port


@dataclass
class Process:
    """One that listens on this machine."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[int, str]:
        """(status, body); status 0 while nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    async def ready(self, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while (await asyncio.to_thread(self.get, "/readyz"))[0] != 200:
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.1)

    def kill(self) -> None:
        """As the kernel would: nothing is said to anybody."""
        self.process.kill()
        self.process.wait()

    async def end(self, seconds: float = 15) -> tuple[int, float]:
        """SIGTERM; the exit code, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(seconds), time.monotonic() - began

    async def ended(self, seconds: float = 30) -> int:
        return await asyncio.to_thread(self.process.wait, seconds)


@contextmanager
def running(folder: Path, command: str, *arguments: object, port: int, **variables: str) -> Iterator[Process]:
    """`streamgauge COMMAND ARGUMENTS --port PORT` with ``variables`` in its environment and its log in the folder,
    killed at the end unless it ended before.
    """
    log = folder / f"{command}-{port}.log"
    whole = [sys.executable, "-m", "streamgauge", command, *map(str, arguments), "--port", str(port)]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    with log.open("wb") as output:
        started = subprocess.Popen(whole, stdout=output, stderr=subprocess.STDOUT, env=environment | variables)
    process = Process(started, port, log)
    try:
        yield process
    finally:
        process.kill()


def serving(
    folder: Path, catalog: Path, brokers: str, redis: str, *options: object, port: int | None = None
) -> AbstractContextManager[Process]:
    """`streamgauge serve`, on a free port unless told which."""
    given = (catalog, "--brokers", brokers, "--redis", redis, *options)
    return running(folder, "serve", *given, port=port or free_port(0))
