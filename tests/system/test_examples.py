"""The examples of deploy/examples, run as they stand, and what a worker makes of them.

Each is run twice: what is sent again counts once.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from engine.catalog.model import Catalog
from sinks.names import values_topic
from streamgauge.catalog_files import read_catalog
from streamgauge.services import free_port
from streams.topics import ensure_topics
from tests.npm import installed, node
from tests.streams.reading import read_all
from tests.system.processes import Process, running, serving

pytestmark = pytest.mark.system
ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "deploy" / "examples"
WEBHOOKS = ROOT / "deploy" / "catalogs" / "webhooks.yaml"
PARTITIONS = 2


@dataclass
class Running:
    """A catalog with its topics, a worker and a server, as processes."""

    catalog: Catalog
    kafka: str
    worker: Process
    server: Process

    @property
    def environment(self) -> dict[str, str]:
        """For what somebody runs beside them: the command on the path, and where everything is."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "STREAMGAUGE_BROKERS": self.kafka, "STREAMGAUGE_URL": self.server.url}

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        ended = subprocess.run(
            command, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def post(self, source: str, payload: bytes) -> httpx.Response:
        return httpx.post(
            f"{self.server.url}/api/v1/events/{source}",
            content=payload,
            headers={"Content-Type": "application/json"},
            timeout=30,
        )

    def counted(self, source: str, outcome: str) -> int:
        _, text = self.worker.get("/metrics")
        found = re.search(rf'streamgauge_events_total{{outcome="{outcome}",source="{source}"}} (\S+)', text)
        return int(float(found[1])) if found else 0

    def values(self) -> dict[str, tuple[Decimal | None, int]]:
        """(value, samples) of each KPI's series, by its key: windows of the same start as they are now, added up."""
        newest: dict[tuple[str, str], dict[str, Any]] = {}
        topic = values_topic(self.catalog.name)
        for record in asyncio.run(read_all(self.kafka, topic, PARTITIONS)):
            value = json.loads(record.value, parse_float=Decimal)
            place = (record.key.decode(), value["window"]["start"])
            known = newest.get(place)
            if known is None or _age(value) >= _age(known):
                newest[place] = value
        found: dict[str, tuple[Decimal | None, int]] = defaultdict(lambda: (None, 0))
        for (key, _), value in newest.items():
            if value["samples"]:
                total, samples = found[key]
                found[key] = ((total or Decimal(0)) + value["value"], samples + value["samples"])
        return found

    def until(self, met: Callable[[], bool], told: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 60
        while not met():
            if time.monotonic() > deadline:
                logs = "\n".join(process.log.read_text()[-2000:] for process in (self.server, self.worker))
                raise AssertionError(f"{told()}\n{logs}")
            time.sleep(0.2)

    def until_value(self, key: str, value: str, samples: int) -> None:
        expected = (Decimal(value), samples)
        self.until(lambda: self.values()[key] == expected, lambda: f"{key} is not {expected}: {dict(self.values())}")

    def until_counted(self, source: str, outcome: str, number: int) -> None:
        self.until(
            lambda: self.counted(source, outcome) == number,
            lambda: f"{outcome}: {self.counted(source, outcome)} instead of {number}",
        )


def _age(value: dict[str, Any]) -> tuple[datetime, int, int]:
    return datetime.fromisoformat(value["window"]["end"]), value["progress"], value["revision"]


@contextmanager
def counting(path: Path, kafka: str, valkey: str, folder: Path) -> Iterator[Running]:
    """A worker and a server of a catalog, once both are ready."""
    catalog = read_catalog(path).catalog
    assert catalog is not None
    asyncio.run(ensure_topics(catalog, kafka, partitions=PARTITIONS, replication=1))
    redis = f"{valkey.rpartition('/')[0]}/9"
    common = (path, "--brokers", kafka, "--redis", redis)
    with (
        running(folder, "worker", *common, "--data-dir", folder, port=free_port(0)) as worker,
        serving(folder, path, kafka, redis) as server,
    ):
        asyncio.run(worker.ready())
        asyncio.run(server.ready())
        yield Running(catalog, kafka, worker, server)


@pytest.fixture(scope="module")
def shop(kafka: str, valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with counting(EXAMPLES / "shop.yaml", kafka, valkey, tmp_path_factory.mktemp("shop")) as found:
        yield found


def sent_twice(shop: Running, send: Callable[[], object], channel: str, value: str, samples: int) -> None:
    """What is sent is what the channel's revenue is, the second time as the first."""
    before = shop.counted("orders", "duplicate")
    send()
    shop.until_value(f"revenue_today|channel={channel}", value, samples)
    send()
    shop.until_counted("orders", "duplicate", before + samples)
    assert shop.values()[f"revenue_today|channel={channel}"] == (Decimal(value), samples)


def test_curl(shop: Running) -> None:
    sent_twice(shop, lambda: shop.run(EXAMPLES / "curl" / "send.sh"), "curl", "50.20", 4)


def test_python(shop: Running) -> None:
    sent_twice(shop, lambda: shop.run(sys.executable, EXAMPLES / "python" / "send.py"), "python", "61.70", 5)


def test_node(shop: Running, tmp_path: Path) -> None:
    folder = installed(EXAMPLES / "node", tmp_path)
    sent_twice(shop, lambda: shop.run(node(), "send.mjs", cwd=folder), "node", "21.15", 3)


def test_csv_by_cron(shop: Running, tmp_path: Path) -> None:
    minutes = iter(range(1, 100))

    def this_hour(_: re.Match[str]) -> str:
        """Recorded times are long past; the source's clock has come to now."""
        at = datetime.now(ZoneInfo("Europe/Amsterdam")) - timedelta(minutes=next(minutes))
        return f"{at:%Y-%m-%d %H:%M:%S}"

    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", this_hour, (EXAMPLES / "csv" / "orders.csv").read_text())

    def night() -> None:
        (tmp_path / "till-1.csv").write_text(text)
        shop.run(EXAMPLES / "csv" / "send-nightly.sh", EXAMPLES / "shop.yaml", tmp_path)
        assert not list(tmp_path.glob("*.csv"))
        assert (tmp_path / "sent" / "till-1.csv").read_text() == text

    sent_twice(shop, night, "store", "167.45", 3)


def test_changes_of_a_database(kafka: str, valkey: str, tmp_path: Path) -> None:
    folder = EXAMPLES / "debezium"
    with counting(folder / "orders.yaml", kafka, valkey, tmp_path) as changes:
        command = (sys.executable, "-m", "streamgauge", "send", folder / "orders.yaml", "order_changes")
        changes.run(*command, folder / "changes.jsonl")
        changes.until_value("ordered_today|-", "139.95", 2)
        changes.until_value("paid_today|-", "120.00", 1)
        changes.until_value("deleted_today|-", "1", 1)
        changes.until_counted("order_changes", "duplicate", 1)
        assert changes.counted("order_changes", "invalid") == 0


def test_webhooks(kafka: str, valkey: str, tmp_path: Path) -> None:
    """Payloads as the three systems send them: over HTTP, into Kafka, to the worker's values."""
    payloads = {
        name: (EXAMPLES / "webhooks" / f"{name}.json").read_bytes() for name in ("shop_order", "ticket", "probe")
    }
    created = json.loads(payloads["ticket"])
    created |= {"type": "zen:event-type:ticket.created", "id": "5d0c9f5e", "time": "2025-03-20T09:58:01Z"}
    with counting(WEBHOOKS, kafka, valkey, tmp_path) as webhooks:
        for source, payload in (
            ("shop_orders", payloads["shop_order"]),
            ("shop_orders", payloads["shop_order"]),
            ("tickets", json.dumps(created).encode()),
            ("tickets", payloads["ticket"]),
            ("tickets", payloads["ticket"]),
            ("probes", payloads["probe"]),
        ):
            answered = webhooks.post(source, payload)
            assert answered.status_code == 202, answered.text
        webhooks.until_value("order_value_today|channel=web", "128.40", 1)
        webhooks.until_value("tickets_created_today|channel=email", "1", 1)
        webhooks.until_value("tickets_solved_today|-", "1", 1)
        webhooks.until_value("outages_30d|monitor=checkout", "1", 1)
        webhooks.until_counted("shop_orders", "duplicate", 1)
        webhooks.until_counted("tickets", "duplicate", 1)

        refused = webhooks.post("probes", b'{"heartbeat": null, "monitor": null, "msg": "Testing"}')
        assert refused.status_code == 422
        [result] = refused.json()["results"]
        assert "heartbeat" in result["detail"]
