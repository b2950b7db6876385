"""Who is told of alerts in tests: real Alertmanagers, and a web server that takes webhooks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from streamgauge.services import free_port
from tests.programs import program

READY_S = 30.0
CONFIG = """\
route: {receiver: nobody}
receivers: [{name: nobody}]
inhibit_rules:
  - {source_matchers: [severity = critical], target_matchers: [severity = warning], equal: [kpi, region]}
"""


@dataclass
class Alertmanager:
    """A real one on a port of its own, which can be killed and started again."""

    folder: Path
    port: int = field(default_factory=lambda: free_port(0))
    process: subprocess.Popen[bytes] | None = None
    config: str = CONFIG

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "alertmanager.yml").write_text(self.config)
        command = [
            program("prometheus-alertmanager"), f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder}", f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]  # fmt: skip
        log = self.folder / "alertmanager.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                    return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def alerts(self) -> list[dict[str, Any]]:
        """What it takes for active, muted by its own rules or not."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def active(self, alert: str, **labels: str) -> list[dict[str, Any]]:
        wanted = {"alertname": alert, **labels}
        return [one for one in self.alerts() if wanted.items() <= one["labels"].items()]

    async def until(self, met: bool, alert: str, seconds: float = 60, **labels: str) -> list[dict[str, Any]]:
        """Until such an alert is active (or none is); what was there then."""
        async with asyncio.timeout(seconds):
            while True:
                found = await asyncio.to_thread(self.active, alert, **labels)
                if bool(found) == met:
                    return found
                await asyncio.sleep(0.1)


@contextmanager
def alertmanagers(folder: Path, count: int = 1) -> Iterator[list[Alertmanager]]:
    made = [Alertmanager(folder / f"alertmanager-{number}") for number in range(count)]
    try:
        for one in made:
            one.start()
        yield made
    finally:
        for one in made:
            one.kill()


@dataclass
class Hook:
    """Takes webhooks and keeps them; ``answer`` is the status that it answers with."""

    port: int = field(default_factory=lambda: free_port(0))
    answer: int = 204
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    refused: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.post("/alerts", self._take)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.answer == 204:
            self.taken.append(({name.lower(): text for name, text in request.headers.items()}, body))
        else:
            self.refused += 1
        return web.Response(status=self.answer)

    @property
    def told(self) -> list[tuple[str, str]]:
        """(state, id) of each message, in the order in which they came."""
        return [(told["state"], told["id"]) for told in self.objects]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.taken]

    async def until(self, count: int, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while len(self.taken) < count:
                await asyncio.sleep(0.05)


def alert_object(state: str, sequence: int, **members: Any) -> dict[str, Any]:
    """As the tracker writes it, of now unless said otherwise."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "alert": "RevenueLow", "kpi": "revenue", "dims": {"region": "EU"}, "state": state, "severity": "critical",
        "id": "00000000000000a1", "order": [0, sequence], "at": now, "since": now,
        "fired": now if state in ("firing", "resolved") else None, "resolved": now if state == "resolved" else None,
        "recovering_since": None, "reason": "revenue of 812.50 is below 1000", "condition": "below 1000, ends at 1050",
        "value": 812.5, "bound": 1000, "target": None, "samples": 17,
        "window": {"start": "2026-11-25T10:00:00Z", "end": "2026-11-25T10:01:00Z"}, "window_state": "closed",
        "compare": None, "pace": None, "unit": "EUR", "status": None, "definition": "9f2c41d07a3e", "title": "Revenue",
        "owner": "cro", "goal": None, "labels": {"team": "web"}, "annotations": {"say": "Look at it"},
        "runbook_url": "https://example.com/run", **members,
    }  # fmt: skip


def key_of(told: dict[str, Any]) -> bytes:
    shown = {name: "__null__" if value is None else value for name, value in told["dims"].items()}
    dims = ",".join(f"{name}={value}" for name, value in shown.items()) or "-"
    return f"{told['alert']}|{told['kpi']}|{dims}".encode()
