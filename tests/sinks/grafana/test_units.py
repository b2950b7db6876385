"""How numbers are written: in the unit of the catalog, with the digits that tell a value from its bound."""

from __future__ import annotations

import pytest

from engine.catalog.loader import parse
from engine.plan import plan_catalog
from sinks.grafana.units import decimals, grafana_unit

CATALOG = """\
version: 1
name: shop
sources: {orders: {topic: shop.orders, event_time: at, identity: id, dedupe: 48h, fields: {id: string, at: timestamp}}}
metrics: {orders: {source: orders, agg: count}, good: {source: orders, agg: count, filter: id = 'good'}}
kpis:
  share:
    type: ratio
    numerator: good
    denominator: orders
    unit: ratio
    window: {type: tumble, size: 1h}
    objectives: [OBJECTIVES]
"""


@pytest.mark.parametrize(
    ("unit", "grafana"),
    [
        (None, "locale"),
        ("EUR", "currency:financial:€"),
        ("CHF", "currency:financial:CHF "),
        ("ratio", "percentunit"),
        ("%", "percent"),
        ("ms", "ms"),
        ("h", "suffix:h"),
        ("parcels", "suffix:parcels"),
    ],
)
def test_units(unit: str | None, grafana: str) -> None:
    assert grafana_unit(unit) == grafana


@pytest.mark.parametrize(
    ("objective", "digits"),
    [
        ("", 1),
        ("{op: gte, value: 0.42}", 1),
        ("{op: gte, value: 0.420}", 1),
        ("{op: gte, value: 0.999}", 2),
        ("{op: between, value: 0.5, upper: 0.9995}", 3),
        ("{op: gte, value: 0.99999999}", 4),
        ("{op: gte, value: 2}", 1),
    ],
)
def test_a_share_has_a_digit_more_than_its_bounds(objective: str, digits: int) -> None:
    loaded = parse([("shop.yaml", CATALOG.replace("OBJECTIVES", objective))])
    assert loaded.catalog is not None, loaded.problems
    [plan] = plan_catalog(loaded.catalog).kpis
    assert decimals(plan) == digits
