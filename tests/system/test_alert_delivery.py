"""From `NAME.alerts` to real Alertmanagers and a real webhook, through real workers that are killed on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sinks.alerting.webhook import signature
from tests.system.processes import Process
from tests.system.receiving import Alertmanager, Hook, alert_object, alertmanagers, key_of
from tests.system.workers import Shop, open_shop

pytestmark = pytest.mark.system

SECRET = "not-to-be-told"
CATALOG = """\
version: 1
name: {name}
sources:
  orders:
    topic: {name}.orders
    format: json
    event_time: at
    fields:
      at: {{type: timestamp, unit: us}}
      region: string
      amount: decimal(12,2)
metrics:
  revenue: {{source: orders, agg: sum, expr: amount, unit: EUR}}
kpis:
  revenue:
    metric: revenue
    group_by: [region]
    window: {{type: tumble, size: 1m}}
    alerts:
      - {{alert: RevenueLow, severity: critical, when: {{below: 1000, recover: 1050}}}}
      - {{alert: RevenueLowish, severity: warning, when: {{below: 2000}}}}
  total:
    metric: revenue
    window: {{type: tumble, size: 1m}}
    alerts:
      - {{alert: TotalLow, severity: critical, when: {{below: 3000}}}}
"""


@dataclass
class Rig:
    """A shop whose alerts the test writes itself, and who is told of them."""

    shop: Shop
    managers: list[Alertmanager]
    hook: Hook
    receivers: Path
    valkey: str
    sequence: int = 0

    def worker(self, *options: str) -> AbstractContextManager[Process]:
        given = ("--receivers", str(self.receivers), "--alert-group-wait", "1s", "--board-url", "http://board.example")
        return self.shop.worker(*given, *options)

    async def write(self, state: str, **members: Any) -> dict[str, Any]:
        self.sequence += 1
        told = alert_object(state, self.sequence, **members)
        await self.shop.writer.write({(f"{self.shop.name}.alerts", 0): [(key_of(told), json.dumps(told).encode())]})
        return told

    async def shown(self, key: str) -> dict[str, Any] | None:
        async with Redis.from_url(self.valkey) as redis:
            found = await redis.hget(f"kpi:{self.shop.name}:alerts", key)
        return None if found is None else dict(json.loads(found))

    async def until_shown(self, key: str, seconds: float = 60, **members: Any) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while (found := await self.shown(key)) is None or not members.items() <= found.items():
                await asyncio.sleep(0.1)
        return found

    async def until_not_shown(self, key: str, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while await self.shown(key) is not None:
                await asyncio.sleep(0.1)


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[list[Alertmanager]]:
    with alertmanagers(tmp_path, 2) as made:
        yield made


@pytest.fixture
async def rig(kafka: str, valkey: str, tmp_path: Path, managers: list[Alertmanager]) -> AsyncIterator[Rig]:
    hook = Hook()
    await hook.start()
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    receivers = tmp_path / "receivers.yaml"
    receivers.write_text(
        f"""\
version: 1
receivers:
  pager: {{type: alertmanager, urls: [{managers[0].url}, {managers[1].url}], resend: 1s, timeout: 2s}}
  hook: {{type: webhook, url: "{hook.url}", secret_file: {tmp_path / "secret"}, timeout: 2s}}
"""
    )
    async with open_shop(kafka, valkey, tmp_path, partitions=2, catalog=CATALOG) as shop:
        yield Rig(shop, managers, hook, receivers, valkey)
    await hook.stop()


EU = "RevenueLow|revenue|region=EU"


async def test_firing_and_resolved_come_to_every_receiver(rig: Rig) -> None:
    with rig.worker() as worker:
        pending = await rig.write("pending")
        await rig.until_shown(EU, state="pending", muted_by=None, silenced_by=None)
        fired = await rig.write("firing", since=pending["since"])
        for manager in rig.managers:
            (found,) = await manager.until(True, "RevenueLow", region="EU")
            assert found["labels"] == {
                "alertname": "RevenueLow", "kpi": "revenue", "severity": "critical", "region": "EU", "owner": "cro",
                "team": "web", "catalog": rig.shop.name,
            }  # fmt: skip
            assert found["annotations"]["value"] == "812.5 EUR"
            assert found["annotations"]["say"] == "Look at it"
            assert found["generatorURL"] == "http://board.example/kpi/revenue?region=EU"
            assert datetime.fromisoformat(found["startsAt"]).timestamp() == pytest.approx(
                datetime.fromisoformat(fired["fired"]).timestamp(), abs=0.001
            )
        await rig.hook.until(1)
        headers, body = rig.hook.taken[0]
        assert headers["webhook-id"] == "00000000000000a1-firing"
        signed = signature(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == signed
        assert json.loads(body)["links"]["board"] == "http://board.example/kpi/revenue?region=EU"
        _, metrics = worker.get("/metrics")
        assert 'streamgauge_alerts{severity="critical",state="firing"} 1.0' in metrics
        assert 'streamgauge_notifications_total{outcome="sent",receiver="hook"} 1.0' in metrics
        await rig.write("resolved", fired=fired["fired"])
        for manager in rig.managers:
            await manager.until(False, "RevenueLow")
        await rig.hook.until(2)
        assert rig.hook.told == [("firing", "00000000000000a1"), ("resolved", "00000000000000a1")]
        await rig.until_not_shown(EU)
        assert SECRET not in worker.log.read_text()
