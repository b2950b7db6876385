"""What contributes most to a deviation: the parts of a value that are furthest from what they should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.alerts.muting import Way, counts_the_same
from engine.catalog.model import Catalog, Kpi

MOST: Final = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One finer series, or driver, at the same window end. ``against``: its target, or what it is compared with."""

    kpi: str
    dims: Mapping[str, str | None]
    value: Decimal
    against: Decimal


@dataclass(frozen=True, slots=True)
class Contribution:
    """``share`` of all deviations in the same direction, 0 to 1."""

    kpi: str
    dims: Mapping[str, str | None]
    value: Decimal
    against: Decimal
    share: float

    def __str__(self) -> str:
        where = ", ".join(f"{name} {'null' if of is None else of}" for name, of in self.dims.items()) or self.kpi
        return f"{where}: {self.value:f} against {self.against:f} ({self.share:.0%})"


def siblings(kpi: Kpi, catalog: Catalog) -> list[tuple[Kpi, str]]:
    """The KPIs that count the same by exactly one dimension more, with that dimension; in the catalog's order."""
    return [
        (each, next(name for name in each.group_by if name not in kpi.group_by))
        for each in catalog.kpis.values()
        if len(each.group_by) == len(kpi.group_by) + 1
        and set(kpi.group_by) < set(each.group_by)
        and counts_the_same(each, kpi)
    ]


def ranked(parts: Iterable[Part], ways: frozenset[Way]) -> list[Contribution]:
    """At most three, the largest deviation first; equal ones by name. Only those in the alert's direction count: below
    where it is too low, above where it is too high, either where that is not known.

    Of a ratio the deviations do not add up; their shares say who is furthest off all the same.
    """
    low, high = "down" in ways or not ways & {"up"}, "up" in ways or not ways & {"down"}
    off = [
        (abs(part.value - part.against), part)
        for part in parts
        if (part.value < part.against and low) or (part.value > part.against and high)
    ]
    whole = sum((deviation for deviation, _ in off), Decimal(0))
    if not whole:
        return []
    off.sort(
        key=lambda each: (-each[0], each[1].kpi, sorted((name, value or "") for name, value in each[1].dims.items()))
    )
    return [
        Contribution(part.kpi, part.dims, part.value, part.against, float(deviation / whole))
        for deviation, part in off[:MOST]
    ]
