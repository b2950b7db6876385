"""From `NAME.alerts` to real Alertmanagers and a real webhook, through real workers that are killed on the way."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sinks.alerting.silence_records import SilenceRecord
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
        (told,) = await self.write_all(members | {"state": state})
        return told

    async def write_all(self, *given: dict[str, Any]) -> list[dict[str, Any]]:
        """At once, in this order."""
        made = []
        for members in given:
            self.sequence += 1
            made.append(alert_object(sequence=self.sequence, **members))
        records = [(key_of(told), json.dumps(told).encode()) for told in made]
        await self.shop.writer.write({(f"{self.shop.name}.alerts", 0): records})
        return made

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


async def test_a_worker_killed_while_it_fires_leaves_no_gap_and_pages_nobody_twice(rig: Rig) -> None:
    with rig.worker() as first, rig.worker() as second:
        await rig.write("firing")
        (found,) = await rig.managers[0].until(True, "RevenueLow")
        await rig.hook.until(1)
        delivers, other = (first, second) if 'firing"} 1.0' in first.get("/metrics")[1] else (second, first)
        delivers.kill()
        async with asyncio.timeout(60):
            while 'streamgauge_alerts{severity="critical",state="firing"} 1.0' not in other.get("/metrics")[1]:
                assert await asyncio.to_thread(rig.managers[0].active, "RevenueLow")
                await asyncio.sleep(0.2)
        updated = found["updatedAt"]
        async with asyncio.timeout(30):  # told again, by the other one
            while (again := await asyncio.to_thread(rig.managers[0].active, "RevenueLow"))[0]["updatedAt"] <= updated:
                await asyncio.sleep(0.2)
        assert again[0]["startsAt"] == found["startsAt"]
        await rig.write("resolved")
        await rig.hook.until(2)
        assert rig.hook.told == [("firing", "00000000000000a1"), ("resolved", "00000000000000a1")]


async def test_an_alertmanager_that_was_restarted_or_is_down_misses_nothing(rig: Rig) -> None:
    one, other = rig.managers
    with rig.worker():
        one.kill()
        await rig.write("firing")
        await other.until(True, "RevenueLow")  # the dead one delays nobody
        await rig.hook.until(1)
        one.start()
        await one.until(True, "RevenueLow")
        one.kill()
        one.start()  # with nothing that it knew before
        await one.until(True, "RevenueLow")
        one.kill()
        await rig.write("resolved")
        await other.until(False, "RevenueLow")
        one.start()
        await rig.write("firing", id="00000000000000b2", alert="RevenueLowish", severity="warning")
        await one.until(True, "RevenueLowish")
        assert not one.active("RevenueLow")


async def test_a_dead_webhook_delays_nobody_and_loses_nothing_even_when_the_worker_dies(rig: Rig) -> None:
    rig.hook.answer = 503
    with rig.worker() as worker:
        await rig.write("firing")
        await rig.managers[0].until(True, "RevenueLow")
        await rig.write("resolved")
        await rig.managers[0].until(False, "RevenueLow")
        await rig.write("firing", id="00000000000000b2")
        await rig.managers[0].until(True, "RevenueLow")
        async with asyncio.timeout(30):
            while 'streamgauge_notification_queue{receiver="hook"} 3.0' not in worker.get("/metrics")[1]:
                await asyncio.sleep(0.1)
        assert worker.get("/readyz")[0] == 200
        worker.kill()
    rig.hook.answer = 204
    with rig.worker():
        await rig.hook.until(3)
    first, second = "00000000000000a1", "00000000000000b2"
    assert rig.hook.told == [("firing", first), ("resolved", first), ("firing", second)]


async def test_what_another_alert_says_already_is_not_sent(rig: Rig) -> None:
    segment: dict[str, Any] = {"id": "00000000000000c3"}
    total: dict[str, Any] = {"alert": "TotalLow", "kpi": "total", "dims": {}, "id": "00000000000000d4"}
    lowish = {"alert": "RevenueLowish", "severity": "warning", "id": "00000000000000e5"}
    with rig.worker():
        await rig.write_all(*({"state": "firing", **of} for of in (segment, lowish, total)))
        await rig.until_shown(EU, muted_by="TotalLow|total|-")
        await rig.until_shown("RevenueLowish|revenue|region=EU", muted_by=EU)
        await rig.hook.until(1)
        await rig.write("resolved", **total)
        await rig.hook.until(3)  # the segment still fires, by itself now
        await rig.write("resolved", **segment)
        await rig.hook.until(5)  # and the warning after it
    told = [(one["alert"], one["state"]) for one in rig.hook.objects]
    assert told[0] == ("TotalLow", "firing")
    assert sorted(told[1:3]) == [("RevenueLow", "firing"), ("TotalLow", "resolved")]
    assert sorted(told[3:]) == [("RevenueLow", "resolved"), ("RevenueLowish", "firing")]


async def test_a_silence_by_record_is_kept_until_its_end(rig: Rig) -> None:
    now = datetime.now(UTC)

    def silence(until: datetime) -> bytes:
        return SilenceRecord(
            id="s1", comment="upkeep", kpis=("revenue",), where={"region": "EU"}, from_=now - timedelta(hours=1),
            until=until,
        ).encode()  # fmt: skip

    topic = (f"{rig.shop.name}.silences", 0)
    await rig.shop.writer.write({topic: [(b"s1", silence(now + timedelta(hours=1)))]})
    with rig.worker():
        await rig.write("firing")
        await rig.until_shown(EU, silenced_by="s1", state="firing")
        await rig.write("firing", dims={"region": "US"}, id="00000000000000c3")
        await rig.hook.until(1)
        assert [one["dims"] for one in rig.hook.objects] == [{"region": "US"}]
        async with Redis.from_url(rig.valkey) as redis:
            assert await redis.hkeys(f"kpi:{rig.shop.name}:silences") == [b"s1"]
            assert await redis.ttl(f"kpi:{rig.shop.name}:silences") > 0
            assert await redis.ttl(f"kpi:{rig.shop.name}:alerts") > 0
        await rig.shop.writer.write({topic: [(b"s1", silence(datetime.now(UTC)))]})
        await rig.hook.until(2)  # it still fires when the silence ends
        await rig.until_shown(EU, silenced_by=None)
        async with Redis.from_url(rig.valkey) as redis:
            assert await redis.hkeys(f"kpi:{rig.shop.name}:silences") == []


async def test_alerts_of_long_ago_are_recorded_and_not_sent(rig: Rig) -> None:
    ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    with rig.worker():
        await rig.write("firing", at=ago, since=ago, fired=ago)
        await rig.until_shown(EU, state="firing")
        await rig.write("firing", dims={"region": "US"}, id="00000000000000c3")
        await rig.hook.until(1)
        await rig.managers[0].until(True, "RevenueLow", region="US")
        assert not rig.managers[0].active("RevenueLow", region="EU")
        assert [one["dims"] for one in rig.hook.objects] == [{"region": "US"}]
        await rig.write("firing", since=ago, fired=ago)  # it still fires, in the present
        await rig.hook.until(2)
        await rig.managers[0].until(True, "RevenueLow", region="EU")


async def test_an_older_object_of_a_worker_that_woke_up_changes_nothing(rig: Rig) -> None:
    with rig.worker():
        rig.sequence = 10
        await rig.write("firing")
        await rig.hook.until(1)
        rig.sequence = 4
        await rig.write("resolved")
        await rig.write("firing", dims={"region": "US"}, id="00000000000000c3")
        await rig.hook.until(2)
        assert (await rig.until_shown(EU))["state"] == "firing"
        assert rig.hook.told == [("firing", "00000000000000a1"), ("firing", "00000000000000c3")]


async def test_a_worker_that_wakes_up_after_another_took_over_tells_nobody(rig: Rig) -> None:
    with rig.worker() as first, rig.worker() as second:
        await rig.write("firing")
        (found,) = await rig.managers[0].until(True, "RevenueLow")
        await rig.hook.until(1)
        sleeps, other = (first, second) if 'firing"} 1.0' in first.get("/metrics")[1] else (second, first)
        sleeps.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(60):
            while 'streamgauge_alerts{severity="critical",state="firing"} 1.0' not in other.get("/metrics")[1]:
                await asyncio.sleep(0.2)
        await rig.write("resolved", fired=found["startsAt"])
        await rig.managers[0].until(False, "RevenueLow")
        await rig.hook.until(2)
        sleeps.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(60):  # it finds out, and joins or ends
            while sleeps.get("/readyz")[0] != 200 and sleeps.process.poll() is None:
                assert not rig.managers[0].active("RevenueLow")
                await asyncio.sleep(0.1)
        await rig.write("firing", dims={"region": "US"}, id="00000000000000c3")
        await rig.hook.until(3)
        assert not rig.managers[0].active("RevenueLow", region="EU")
        assert [state for state, _ in rig.hook.told] == ["firing", "resolved", "firing"]
