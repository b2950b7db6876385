"""A shop's orders of two weeks, with hours in which hardly anything is sold, and events that come late."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.catalog.model import Catalog
from streamgauge.catalog_files import read_catalog

CATALOG = """\
version: 1
name: shop
sources:
  orders:
    topic: shop.orders
    event_time: at
    allowed_lateness: 24h
    watermark: {delay: 30s}
    fields: {at: timestamp, region: {type: string, max_values: 50}, amount: "decimal(10,2)"}
metrics:
  revenue: {source: orders, agg: sum, expr: amount, unit: EUR, fill_nulls_with: 0}
  orders: {source: orders, agg: count}
kpis:
  revenue_hour:
    metric: revenue
    window: {type: tumble, size: 1h}
    alerts:
      - {alert: Low, severity: critical, when: {below: 60, recover: 100}}
      - {alert: Lowish, when: {below: 90}, for: 1h, keep_firing_for: 1h}
  revenue_region_hour:
    metric: revenue
    group_by: [region]
    window: {type: tumble, size: 1h}
    alerts:
      - {alert: Low, when: {below: 20}}
      - {alert: Quiet, when: {no_data: 3h}}
  orders_day:
    metric: orders
    window: {type: cumulate, grain_to_date: day, step: 1h}
    alerts:
      - {alert: Few, severity: info, when: {below: 330, recover: 340}}
silences:
  saturdays: {comment: stocktaking, kpis: [orders_day], weekdays: [saturday], from: "00:00", to: "12:00"}
"""
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def lines(*, late: float = 0.0, days: int = 14) -> list[bytes]:
    """JSON lines in the order in which they came; a share of ``late`` come up to three hours late."""
    chance = random.Random(7)
    found, now = [], BEGIN
    while now < BEGIN + timedelta(days=days):
        slow = now.day in (4, 9) and 9 <= now.hour < 12
        now += timedelta(seconds=chance.expovariate(1 / (1_500 if slow else 250)))
        at = now - timedelta(hours=3 * chance.random()) if chance.random() < late else now
        event = {
            "at": at.isoformat(),
            "region": chance.choice("ABC"),
            "amount": f"{chance.randrange(100, 1_500) / 100:.2f}",
        }
        found.append(json.dumps(event).encode())
    return found


def catalog_of(path: Path) -> Catalog:
    loaded = read_catalog(path)
    assert loaded.catalog is not None, loaded.problems
    return loaded.catalog


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(CATALOG)
    return path


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b"\n".join(lines()) + b"\n")
    return path
