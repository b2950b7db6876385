"""What is generated for Alertmanager at work in a real one: which alerts mute which, and which do not."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.catalog.loader import parse
from sinks.alertmanager_config.generating import configuration
from tests.system.receiving import Alertmanager

pytestmark = pytest.mark.system

CATALOG = Path(__file__).parents[1] / "sinks" / "alertmanager_config" / "muting.yaml"
Labels = dict[str, str]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Alertmanager]:
    found = parse([(CATALOG.name, CATALOG.read_text())])
    assert found.catalog is not None
    [text] = configuration(
        found.catalog, {"critical": "nobody", "warning": "nobody", "info": "nobody"}, "/run/secrets"
    ).values()
    made = Alertmanager(tmp_path / "alertmanager", config=text)
    made.start()
    yield made
    made.kill()


def labels(alert: str, kpi: str, severity: str, **others: str) -> Labels:
    return {"alertname": alert, "kpi": kpi, "severity": severity, "catalog": "muting", **others}


SALES_LOW = labels("SalesLow", "sales", "critical")
SALES_LOWISH = labels("SalesLowish", "sales", "warning")
SALES_ODD = labels("SalesOdd", "sales", "critical")
REGION_LOW = labels("RegionLow", "sales_by_region", "critical", region="EU")
REGION_LOWISH = labels("RegionLowish", "sales_by_region", "warning", region="EU")
REGION_HIGH = labels("RegionHigh", "sales_by_region", "warning", region="US")
STORE_LOW = labels("StoreLow", "sales_by_store", "warning", region="EU", store="1")
STORE_ODD = labels("SalesOdd", "sales_by_store", "info", region="EU", store="1")
STORE_ODD_US = labels("SalesOdd", "sales_by_store", "info", region="US", store="1")
ORDERS_MANY = labels("OrdersMany", "orders_by_store", "critical", region="EU", store="1")
ORDERS_FEW = labels("OrdersFew", "orders_by_store", "info", region="EU", store="1")
NO_WORKER = {"alertname": "StreamgaugeNoWorker", "severity": "critical", "catalog": "muting"}
WORKER_DOWN = {"alertname": "StreamgaugeWorkerDown", "severity": "warning", "catalog": "muting", "instance": "a"}
DEAD_LETTERS = {"alertname": "StreamgaugeDeadLetters", "severity": "warning", "catalog": "muting", "source": "orders"}
LAST = [ORDERS_MANY | {"region": "last"}, ORDERS_FEW | {"region": "last"}]
STALE = labels("StreamgaugeKpiStale", "sales", "warning")


def post(manager: Alertmanager, firing: list[Labels]) -> None:
    body = json.dumps([{"labels": one} for one in firing]).encode()
    asked = urllib.request.Request(f"{manager.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(asked, timeout=5).close()


def by_text(found: list[Labels]) -> list[str]:
    return sorted(json.dumps(one, sort_keys=True) for one in found)


@pytest.mark.parametrize(
    ("firing", "muted"),
    [
        ([SALES_LOW, SALES_LOWISH], [SALES_LOWISH]),
        ([SALES_LOW | {"catalog": "other"}, SALES_LOWISH], []),
        ([SALES_LOW | {"drill": "true"}, SALES_LOWISH], []),
        ([SALES_LOW, STALE], []),
        ([REGION_LOW, REGION_LOWISH], [REGION_LOWISH]),
        ([REGION_LOW | {"region": "US"}, REGION_LOWISH], []),
        ([SALES_LOW, REGION_LOW, REGION_HIGH], [REGION_LOW]),
        ([SALES_LOWISH, REGION_LOW], []),
        ([SALES_LOWISH, STORE_LOW], [STORE_LOW]),
        ([SALES_ODD, REGION_LOW], []),
        ([SALES_ODD, STORE_ODD], [STORE_ODD]),
        ([REGION_LOW, STORE_LOW, STORE_ODD_US], [STORE_LOW]),
        ([REGION_HIGH, STORE_LOW], []),
        ([REGION_LOW, ORDERS_MANY, ORDERS_FEW], [ORDERS_MANY, ORDERS_FEW]),
        ([REGION_LOW | {"region": "US"}, ORDERS_MANY], []),
        ([SALES_LOW, ORDERS_MANY], []),
        ([NO_WORKER, WORKER_DOWN, DEAD_LETTERS, SALES_LOWISH], [WORKER_DOWN]),
    ],
    ids=[
        "a critical mutes the warning of its series",
        "not that of another catalog",
        "a drill mutes nothing that is real",
        "nor does it say that a value is old",
        "of Prometheus' rules as well",
        "a critical of another series does not",
        "a KPI mutes its segments in the same direction",
        "a warning mutes no critical",
        "across two dimensions",
        "a band, whose direction is in its value, mutes no other alert",
        "but the one of the same name",
        "a region mutes its own stores alone",
        "nor in the other direction",
        "muted_by mutes whatever the direction, and what is muted still mutes",
        "muted_by agrees in the dimensions of both",
        "another KPI is no parent",
        "without a worker nobody needs to hear of one",
    ],
)
async def test_alerts_mute_what_says_nothing_new(
    manager: Alertmanager, firing: list[Labels], muted: list[Labels]
) -> None:
    await asyncio.to_thread(post, manager, firing)
    await asyncio.to_thread(post, manager, LAST)  # they are looked at in the order in which they come
    found: list[Labels] = []
    async with asyncio.timeout(60):
        while LAST[1] not in found:
            found = [one["labels"] for one in await asyncio.to_thread(manager.alerts) if one["status"]["inhibitedBy"]]
            await asyncio.sleep(0.05)
    assert by_text(found) == by_text([*muted, LAST[1]])
    assert by_text([one["labels"] for one in manager.alerts()]) == by_text([*firing, *LAST])
