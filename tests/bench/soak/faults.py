"""Workers, Kafka and Valkey that can be killed, stopped and started again while the others go on."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from streamgauge.services import embedded_services, free_port
from streamgauge.settings import prepare_process

START_AGAIN_SECONDS = 1.0
GRACEFUL_SECONDS = 10.0
_NUMBERS = re.compile(r"\d+(\.\d+)?")


@dataclass
class Service:
    """Kafka or Valkey on a port that stays the same."""

    kind: str
    folder: Path
    port: int

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._changing = threading.Lock()

    def restart(self, *, hard: bool, away: float) -> None:
        """Down for `away` seconds."""
        with self._changing:
            self.stop(hard=hard)
            time.sleep(away)
            self.start()

    def until_up(self) -> None:
        """A restart that is under way elsewhere is waited for."""
        with self._changing:
            return

    def start(self) -> None:
        kafka, redis = (self.port, None) if self.kind == "Kafka" else (None, self.port)
        services = embedded_services(self.folder, kafka_port=kafka, redis_port=redis, heap="1g")
        self._running = self._stack.enter_context(services)

    def stop(self, *, hard: bool = False) -> None:
        """Gracefully, or as the kernel would."""
        if hard:
            for child in self._running._children:
                children = Path(f"/proc/{child.process.pid}/task/{child.process.pid}/children").read_text()
                for process in children.split():
                    os.kill(int(process), signal.SIGKILL)
        self._stack.close()


@dataclass
class WorkerProcess:
    """A worker that is started again whenever it ended, by itself or not."""

    number: int
    command: list[str]
    log: Path
    port: int
    starts: int = 0
    wanted: bool = True
    stopped: bool = False
    at_fault: bool = False  # the next end is ours
    peak_bytes: int = 0

    def start(self) -> None:
        self.starts += 1
        self.at_fault = False
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def look(self) -> None:
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return
        self.peak_bytes = max(self.peak_bytes, pages * os.sysconf("SC_PAGE_SIZE"))


@dataclass
class Faults:
    """What was done, and what ended by itself."""

    done: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    slow_ends: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def tell(self, text: str) -> None:
        self.events.append(f"{time.monotonic() - self.began:7.1f} s  {text}")


def workers(count: int, catalog: Path, brokers: str, redis: str, folder: Path) -> list[WorkerProcess]:
    prepare_process()
    made = []
    for number in range(count):
        port = free_port(0)
        command = [sys.executable, "-m", "streamgauge", "worker", str(catalog), "--brokers", brokers, "--redis", redis]
        command += ["--data-dir", str(folder / f"worker-{number}"), "--port", str(port)]
        made.append(WorkerProcess(number, command, folder / f"worker-{number}.log", port))
    return made


async def keep_running(all_workers: list[WorkerProcess], faults: Faults) -> None:
    """Starts workers again that ended, for ever; what ended one by itself is kept."""
    while True:
        await asyncio.sleep(0.2)
        for worker in all_workers:
            worker.look()
            status = worker.process.poll()
            if status is None or not worker.wanted:
                continue
            if not worker.at_fault:
                lines = worker.log.read_text(errors="replace").splitlines()
                last = lines[-1] if lines else "nothing in its log"
                faults.tell(f"worker {worker.number} ended with status {status}: {last}")
                faults.endings[f"status {status}: {_NUMBERS.sub('N', last)[-160:]}"] += 1
                await asyncio.sleep(START_AGAIN_SECONDS)
            worker.start()


async def make_trouble(
    all_workers: list[WorkerProcess], kafka: Service, valkey: Service, faults: Faults, pause: float, seed: int
) -> None:
    """One fault after another, for ever, about `pause` seconds apart."""
    rng = random.Random(seed)
    kinds = ("kill", "kill", "terminate", "freeze", "freeze long", "Kafka", "Kafka hard", "Valkey", "Valkey hard")
    upcoming: list[str] = []
    while True:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
        if not upcoming:  # each kind as often as the others, in changing order
            upcoming = rng.sample(kinds, len(kinds))
        kind, worker = upcoming.pop(), rng.choice(all_workers)
        faults.done[kind] += 1
        faults.tell(kind if kind.startswith(("Kafka", "Valkey")) else f"{kind} worker {worker.number}")
        if kind.startswith(("Kafka", "Valkey")):
            service = kafka if kind.startswith("Kafka") else valkey
            restart = functools.partial(service.restart, hard=kind.endswith("hard"), away=rng.uniform(0, 4))
            await asyncio.to_thread(restart)
        elif kind == "kill":
            worker.at_fault = True
            worker.signal(signal.SIGKILL)
        elif kind == "terminate":
            await _terminate(worker, faults)
        else:
            worker.signal(signal.SIGSTOP)
            worker.stopped = True
            await asyncio.sleep(rng.uniform(15, 25) if kind == "freeze long" else rng.uniform(1, 8))
            worker.signal(signal.SIGCONT)
            worker.stopped = False
        faults.tell(f"{kind} is over")


async def _terminate(worker: WorkerProcess, faults: Faults) -> None:
    if worker.process.poll() is not None:
        return
    worker.at_fault = True
    process, began = worker.process, time.monotonic()
    worker.signal(signal.SIGTERM)
    try:
        status = await asyncio.to_thread(process.wait, 2 * GRACEFUL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = None
    seconds = time.monotonic() - began
    if status != 0 or seconds > GRACEFUL_SECONDS:
        text = f"worker {worker.number}: SIGTERM took {seconds:.1f} s, status {status}"
        faults.tell(text)
        faults.slow_ends.append(text)
