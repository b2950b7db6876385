"""What `docker compose up` starts, without containers.

Our command lines and health checks as they stand in `deploy/compose.yaml`, with other addresses and paths.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamgauge.services import free_port
from tests.deploy.compose import DEPLOY, ENVIRONMENT, SERVICES, lines, script

READY_S = 60.0
PATHS = ("/catalogs", "/dashboards", "/rules", "/tokens", "/var/lib/streamgauge")


@dataclass(frozen=True)
class Composed:
    """``folder`` has the paths of the containers below it; ``catalog`` is the one that all services are given."""

    folder: Path
    name: str
    environment: dict[str, str]

    @classmethod
    def prepared(cls, folder: Path, kafka: str, redis: str, name: str) -> Composed:
        """The catalog of the compose file is given another name, and its topics too."""
        replaced = {"STREAMGAUGE_BROKERS": kafka, "STREAMGAUGE_REDIS": redis}
        assert set(replaced) == set(ENVIRONMENT)
        kept = {key: text for key, text in os.environ.items() if not key.startswith("STREAMGAUGE_")}
        found = cls(folder, name, {**kept, **replaced, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"})
        for path in PATHS:
            found.here(path).mkdir(parents=True)
        text = (DEPLOY / "catalogs" / found.catalog.name).read_text()
        text = re.sub(r"\btopic: [\w-]+\.", f"topic: {name}.", re.sub(r"(?m)^name: .*$", f"name: {name}", text))
        found.catalog.write_text(text)
        return found

    @property
    def catalog(self) -> Path:
        [words] = lines("topics")
        return self.here(words[1])

    def here(self, path: str) -> Path:
        return self.folder / path.removeprefix("/")

    def words(self, service: str) -> list[str]:
        """The service's command line, with paths below the folder; it listens to this machine alone."""
        [words] = lines(service)
        here = [str(self.here(word)) if word.startswith(PATHS) else word for word in words]
        return [sys.executable, "-m", "streamgauge", *("127.0.0.1" if word == "0.0.0.0" else word for word in here)]

    def once(self, service: str) -> None:
        """Runs a service that ends, to its end."""
        if "entrypoint" in SERVICES[service]:
            text = script(service)
            for path in PATHS:
                text = text.replace(f"{path}/", f"{self.here(path)}/")
            command = [*SERVICES[service]["entrypoint"], text]
        else:
            command = self.words(service)
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=60)

    @contextmanager
    def running(self, service: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        """A service that runs on, with ``more`` options, ended at the end."""
        log = self.folder / f"{service}-{free_port(0)}.log"
        with log.open("wb") as output:
            command = [*self.words(service), *more]
            process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def up(self, *events: str) -> Iterator[dict[str, list[int]]]:
        """Everything in its order, events with these options more. Yields the ports that each job is to scrape."""
        for service in ("topics", "tokens", "dashboards", "rules"):
            self.once(service)
        replicas = SERVICES["worker"]["deploy"]["replicas"]
        workers, serve = [free_port(0) for _ in range(replicas)], free_port(0)
        with ExitStack() as stack:
            for number, port in enumerate(workers):
                folder = self.here("/var/lib/streamgauge") / str(number)
                stack.enter_context(self.running("worker", "--port", str(port), "--data-dir", str(folder)))
            stack.enter_context(self.running("serve", "--port", str(serve)))
            for service, port in [*(("worker", port) for port in workers), ("serve", serve)]:
                self._wait_until_healthy(service, port)
            stack.enter_context(self.running("events", *events))
            yield {"streamgauge": workers, "streamgauge-serve": [serve]}

    def _wait_until_healthy(self, service: str, port: int) -> None:
        """Until the service's health check, asked of this port, says so."""
        kind, _, option, code = SERVICES[service]["healthcheck"]["test"]
        assert (kind, option) == ("CMD", "-c")
        command = [sys.executable, "-c", re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", code)]
        deadline = time.monotonic() + READY_S
        while (said := subprocess.run(command, capture_output=True, text=True, check=False)).returncode != 0:
            logs = "".join(path.read_text() for path in self.folder.glob(f"{service}-*.log"))
            assert time.monotonic() < deadline, said.stderr + logs
