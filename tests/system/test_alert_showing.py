"""An alert that events raise, as people see it: silenced by command, and heard again over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.processes import serving
from tests.system.workers import MINUTE, open_shop

pytestmark = pytest.mark.system
CATALOG = """\
version: 1
name: {name}
sources:
  orders:
    topic: {name}.orders
    event_time: at
    fields:
      at: {{type: timestamp, unit: us}}
      amount: decimal(12,2)
metrics:
  revenue: {{source: orders, agg: sum, expr: amount, unit: EUR}}
kpis:
  total:
    title: All revenue
    metric: revenue
    window: {{type: tumble, size: 1m}}
    alerts:
      - alert: TotalLow
        severity: critical
        when: {{below: 1000}}
        runbook_url: https://wiki.example.org/total-low
"""


async def streamgauge(*arguments: object) -> str:
    """What the command prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "streamgauge", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


async def until(client: httpx.AsyncClient, path: str, met: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while not met(found := (await client.get(path)).json()):
            await asyncio.sleep(0.1)
    return found


async def test_an_alert_is_seen_silenced_and_heard_again(kafka: str, valkey: str, tmp_path: Path) -> None:
    async with open_shop(kafka, valkey, tmp_path, partitions=1, catalog=CATALOG) as shop:
        first = (time.time_ns() // 1_000 // MINUTE - 6) * MINUTE
        events = [{"at": first + number * MINUTE, "amount": 10.25} for number in range(6)]
        await shop.writer.write({(f"{shop.name}.orders", 0): [(None, json.dumps(each).encode()) for each in events]})
        with shop.worker(), serving(tmp_path, shop.catalog, kafka, valkey) as served:
            await served.ready()
            async with httpx.AsyncClient(base_url=f"{served.url}/api/v1", timeout=20) as client:
                (alert,) = (await until(client, "/alerts?kpi=total&state=firing", lambda found: found["alerts"]))[
                    "alerts"
                ]
                assert (alert["alert"], alert["value"], alert["bound"]) == ("TotalLow", 10.25, 1000)
                assert (alert["muted_by"], alert["silenced_by"]) == (None, None)
                assert alert["runbook_url"] == "https://wiki.example.org/total-low"

                line = (await streamgauge("alerts", "--redis", valkey, "--name", shop.name)).splitlines()[1]
                assert "firing" in line and "TotalLow" in line and "10.25 EUR" in line and alert["reason"] in line

                made = await streamgauge(
                    "silence", "total", shop.catalog, "--for", "2h", "--comment", "stocktaking", "--brokers", kafka
                )
                silence = made.strip()
                (shown,) = (await until(client, "/silences", lambda found: found["silences"]))["silences"]
                assert (shown["id"], shown["comment"], shown["kpis"]) == (silence, "stocktaking", ["total"])
                await until(client, "/alerts", lambda found: found["alerts"][0]["silenced_by"] == silence)
                listed = await streamgauge("alerts", "--redis", valkey, "--name", shop.name)
                assert f"silenced by {silence}" in listed

                assert (await client.delete(f"/silences/{silence}")).status_code == 204
                await until(client, "/alerts", lambda found: found["alerts"][0]["silenced_by"] is None)
                await until(client, "/silences", lambda found: found == {"silences": []})

                again = await client.post("/silences", json={"kpis": ["total"], "for": "1h", "comment": "once more"})
                assert again.status_code == 201
                await until(client, "/alerts", lambda found: found["alerts"][0]["silenced_by"] == again.json()["id"])
                assert again.json()["id"] in await streamgauge("silence", "list", shop.catalog, "--brokers", kafka)
