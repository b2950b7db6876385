"""One Streamgauge worker on a catalog, as a measured process."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamgauge.services import free_port
from tests.bench.contenders import HERE, streamgauge
from tests.bench.processes import Group

READY_SECONDS = 180.0


class NotReady(Exception):
    """A worker ended, or was not ready in time."""


@dataclass(frozen=True)
class Catalog:
    """A catalog file whose topics are there."""

    path: Path
    name: str
    brokers: str
    redis: str | None

    @contextmanager
    def worker(self, folder: Path) -> Iterator[Worker]:
        """A worker, ended (gracefully, unless it was before) at the end."""
        port = free_port(0)
        folder.mkdir(parents=True, exist_ok=True)
        redis = ("--redis", self.redis) if self.redis else ()
        command = (*streamgauge(), "worker", str(self.path), "--brokers", self.brokers, *redis)
        started = time.monotonic()
        group = Group((*command, "--data-dir", str(folder), "--port", str(port)), {}, folder / f"worker-{port}.log")
        try:
            yield Worker(group, port, started)
        finally:
            group.stop()


@dataclass
class Worker:
    group: Group
    port: int
    started: float

    def until_ready(self) -> float:
        """Seconds from the start of the process until it was ready. Raises NotReady."""
        while not self._is_ready():
            if (reason := self.group.ended()) is not None:
                raise NotReady(f"a worker ended with {reason}")
            if time.monotonic() - self.started > READY_SECONDS:
                raise NotReady(f"a worker was not ready after {READY_SECONDS:.0f} s; log: {self.group.log}")
            time.sleep(0.02)
        return time.monotonic() - self.started

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False


def catalog_of(template: str, name: str, topic: str, folder: Path, brokers: str, redis: str | None = None) -> Catalog:
    """A catalog of ``catalogs/`` under a name of its own."""
    text = (HERE / "catalogs" / f"{template}.yaml").read_text(encoding="utf-8").format(name=name, topic=topic)
    return made_catalog(text, name, folder, brokers, redis)


def made_catalog(text: str, name: str, folder: Path, brokers: str, redis: str | None, partitions: int = 2) -> Catalog:
    """The catalog as a file in `folder`, and its topics."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalog.yaml"
    path.write_text(text, encoding="utf-8")
    command: Sequence[str] = [
        *streamgauge(),
        "topics",
        str(path),
        "--brokers",
        brokers,
        "--partitions",
        str(partitions),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Catalog(path, name, brokers, redis)
