"""The demo's worker: `streamgauge worker` as a child process, and what it says about itself over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sinks.names import CONSUMER_LAG, EVENTS, READY_PATH
from sinks.redis.connection import RedisAddress
from streamgauge import tether
from streamgauge.demo import DemoError
from streamgauge.settings import KafkaAddress

WORKER_GRACE_SECONDS = 12.0
WORKER_READY_SECONDS = 60.0


@dataclass
class Worker:
    """The worker process and its metrics."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ended(self) -> str | None:
        status = self.process.poll()
        if status is None:
            return None
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return (
            f"the worker ended with status {status}: {lines[-1] if lines else 'nothing in its log'} (log: {self.log})"
        )

    def get(self, path: str) -> tuple[int, str]:
        """(status, body); status 0 while nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.address}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, ValueError):
            return 0, ""

    async def wait_until_ready(self) -> None:
        deadline, body = time.monotonic() + WORKER_READY_SECONDS, ""
        while time.monotonic() < deadline:
            failure = self.ended()
            if failure:
                raise DemoError(failure)
            status, body = await asyncio.to_thread(self.get, READY_PATH)
            if status == 200:
                return
            await asyncio.sleep(0.1)
        said = body.strip() or "no answer"
        raise DemoError(f"the worker is not ready after {WORKER_READY_SECONDS:.0f} s: {said} (log: {self.log})")


@contextmanager
def running_worker(
    catalog: Path, kafka: KafkaAddress, redis: RedisAddress, folder: Path, port: int, roll_back_from: str | None
) -> Iterator[Worker]:
    """`streamgauge worker` as a child that never outlives this process; ends it gracefully."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "worker.log"
    command = [
        sys.executable, "-m", "streamgauge", "worker", str(catalog), "--brokers", kafka.brokers, "--redis", redis.url,
        "--data-dir", str(folder), "--port", str(port),
        *(("--roll-back-from", roll_back_from) if roll_back_from else ()),
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(WORKER_GRACE_SECONDS), *command],
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, env=worker_environment(os.environ),
        )  # fmt: skip
    try:
        yield Worker(process, port, log)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(WORKER_GRACE_SECONDS + 3)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that would send the child's worker elsewhere."""
    return {
        name: text
        for name, text in environment.items()
        if not name.startswith(("STREAMGAUGE_KAFKA_", "STREAMGAUGE_REDIS"))
    }


@dataclass
class Counters:
    """What the worker counted, read off its metrics, and the pace between two looks."""

    accepted: int = 0
    refused: int = 0
    lag: int | None = None
    pace: float | None = None
    _looks: list[tuple[float, int]] = field(default_factory=list)

    def read(self, metrics: str, at: float) -> None:
        """Takes in one scrape; the pace is that of the last five seconds."""
        self.accepted = self.refused = 0
        lag: int | None = None
        for line in metrics.splitlines():
            if line.startswith(f"{EVENTS}{{"):
                count = int(float(line.rsplit(" ", 1)[1]))
                if 'outcome="accepted"' in line:
                    self.accepted += count
                elif 'outcome="duplicate"' not in line:
                    self.refused += count
            elif line.startswith(f"{CONSUMER_LAG}{{"):
                lag = (lag or 0) + int(float(line.rsplit(" ", 1)[1]))
        self.lag = lag
        self._looks = [*(look for look in self._looks if look[0] > at - 5), (at, self.accepted)]
        first = self._looks[0]
        if at > first[0]:
            self.pace = (self.accepted - first[1]) / (at - first[0])
