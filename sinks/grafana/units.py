"""How Grafana is to write a KPI's values: its name for the unit, and the digits behind the point."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import units

from engine.plan import KpiPlan

SHARE: Final = units.PercentUnit
SECONDS: Final = units.Seconds

_KNOWN: Final[dict[str, str]] = {
    "ratio": units.PercentUnit,
    "share": units.PercentUnit,
    "%": units.Percent,
    "percent": units.Percent,
    "ms": units.Milliseconds,
    "milliseconds": units.Milliseconds,
    "s": units.Seconds,
    "seconds": units.Seconds,
    "min": units.Minutes,
    "minutes": units.Minutes,
    "h": units.Hours,
    "hours": units.Hours,
    "d": units.Days,
    "days": units.Days,
    "bytes": units.BytesIEC,
    "B": units.BytesIEC,
}
_CURRENCY: Final = "currency"
_CURRENCIES: Final = frozenset(
    code.removeprefix(_CURRENCY)
    for code in vars(units).values()
    if isinstance(code, str) and code.startswith(_CURRENCY) and code[len(_CURRENCY) :].isupper()
)
_WHOLE: Final = ("count", "count_distinct")
_AS_EVENTS: Final = ("sum", "min", "max", "first", "last")
_CENTS: Final = 2


def grafana_unit(unit: str | None) -> str:
    """A unit of Grafana's own where it knows the catalog's, else the catalog's word behind the number."""
    if unit is None:
        return units.NoUnit
    if unit in _CURRENCIES:
        return f"{_CURRENCY}{unit}"
    return _KNOWN.get(unit) or f"suffix:{unit}"


def decimals(plan: KpiPlan) -> int | None:
    """Digits behind the point: those that the events have, where values have as many; None leaves it to Grafana."""
    unit = plan.facts.unit
    if grafana_unit(unit) == SHARE:
        return 1
    if plan.kpi.type == "simple":
        term = plan.terms[0]
        if term.metric.agg in _WHOLE:
            return 0
        kind = term.column.value_type
        if term.metric.agg in _AS_EVENTS and kind is not None and kind.kind in ("integer", "decimal"):
            return kind.scale
    return _CENTS if unit in _CURRENCIES else None
