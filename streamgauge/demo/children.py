"""The demo's own processes: `streamgauge worker` and `streamgauge serve` as children, asked over HTTP how they are."""

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sinks.names import READY_PATH
from sinks.redis.connection import RedisAddress
from streamgauge import tether
from streamgauge.demo import DemoError
from streamgauge.settings import PREFIX, KafkaAddress

GRACE_SECONDS = 12.0
READY_SECONDS = 60.0
HOST = "127.0.0.1"


@dataclass
class Child:
    """One process that listens on this machine. ``called`` is what messages call it."""

    called: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def ended(self) -> str | None:
        """What to say of it when it has ended by itself."""
        status = self.process.poll()
        if status is None:
            return None
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        last = lines[-1] if lines else "nothing in its log"
        return f"{self.called} ended with status {status}: {last} (log: {self.log})"

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
        """Raises DemoError when it ends before, or takes too long."""
        deadline, body = time.monotonic() + READY_SECONDS, ""
        while time.monotonic() < deadline:
            failure = self.ended()
            if failure:
                raise DemoError(failure)
            status, body = await asyncio.to_thread(self.get, READY_PATH)
            if status == 200:
                return
            await asyncio.sleep(0.1)
        said = body.strip() or "no answer"
        raise DemoError(f"{self.called} is not ready after {READY_SECONDS:.0f} s: {said} (log: {self.log})")


@contextmanager
def running_worker(
    catalog: Path, kafka: KafkaAddress, redis: RedisAddress, folder: Path, port: int, roll_back_from: str | None
) -> Iterator[Child]:
    """`streamgauge worker`, which may be tuned by its environment variables."""
    command = [
        "worker", str(catalog), "--brokers", kafka.brokers, "--redis", redis.url,
        "--data-dir", str(folder), "--port", str(port),
        *(("--roll-back-from", roll_back_from) if roll_back_from else ()),
    ]  # fmt: skip
    with _running("the worker", command, _without(f"{PREFIX}KAFKA_", f"{PREFIX}REDIS"), port, folder) as worker:
        yield worker


@contextmanager
def running_serve(catalog: Path, kafka: KafkaAddress, redis: RedisAddress, folder: Path, port: int) -> Iterator[Child]:
    """`streamgauge serve` for this machine alone, without tokens, whatever the environment says for another one."""
    command = [
        "serve", str(catalog), "--brokers", kafka.brokers, "--redis", redis.url, "--host", HOST, "--port", str(port),
    ]  # fmt: skip
    with _running("the board", command, _without(PREFIX), port, folder) as board:
        yield board


@contextmanager
def _running(
    called: str, command: Sequence[str], environment: Mapping[str, str], port: int, folder: Path
) -> Iterator[Child]:
    """A child that never outlives this process; ends it gracefully."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{command[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", tether.__file__, str(GRACE_SECONDS),
                sys.executable, "-m", "streamgauge", *command,
            ],
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=environment,
        )  # fmt: skip
    try:
        yield Child(called, process, port, log)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(GRACE_SECONDS + 3)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _without(*prefixes: str) -> dict[str, str]:
    """This process's environment without the variables that would send a child elsewhere."""
    return {name: text for name, text in os.environ.items() if not name.startswith(prefixes)}
