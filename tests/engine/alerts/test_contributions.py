"""Who contributes most: ranked by what it is off, in the alert's direction."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.alerts.contributions import Part, ranked, siblings
from engine.alerts.muting import Way
from tests.engine.alerts.test_muting import SHOP


def part(store: str, value: str, against: str) -> Part:
    return Part("by_store", {"store": store}, Decimal(value), Decimal(against))


PARTS = [part("a", "9", "10"), part("b", "2", "10"), part("c", "30", "10"), part("d", "5", "10"), part("e", "8", "10")]


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (("down",), [("b", 0.5), ("d", 0.3125), ("e", 0.125)]),
        (("up",), [("c", 1.0)]),
        (("down", "up"), [("c", 20 / 36), ("b", 8 / 36), ("d", 5 / 36)]),
        ((), [("c", 20 / 36), ("b", 8 / 36), ("d", 5 / 36)]),
    ],
)
def test_the_largest_deviations_in_the_direction_of_the_alert(
    ways: tuple[Way, ...], expected: list[tuple[str, float]]
) -> None:
    found = [(one.dims["store"], one.share) for one in ranked(PARTS, frozenset(ways))]
    assert found == [(store, pytest.approx(share)) for store, share in expected]


def test_nothing_that_is_off_is_nothing_to_say() -> None:
    assert ranked([part("a", "10", "10")], frozenset()) == []
    assert ranked([], frozenset()) == []


def test_it_reads_as_words() -> None:
    assert str(ranked(PARTS, frozenset(("down",)))[0]) == "store b: 2 against 10 (50%)"


def test_finer_siblings_count_the_same_by_one_dimension_more() -> None:
    kpis = SHOP.kpis
    assert [(kpi.name, dimension) for kpi, dimension in siblings(kpis["total"], SHOP)] == [
        ("by_region", "region"),
        ("by_product", "product"),
    ]
    assert [(kpi.name, dimension) for kpi, dimension in siblings(kpis["by_region"], SHOP)] == [("by_store", "store")]
    assert siblings(kpis["visits"], SHOP) == []
