"""How Grafana is to write a KPI's values: its name for the unit, and the digits behind the point."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from grafana_foundation_sdk.models import units

from engine.plan import KpiPlan

SHARE: Final = units.PercentUnit
SHARES: Final = frozenset((units.PercentUnit, units.Percent))
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
    "bytes": units.BytesIEC,
    "B": units.BytesIEC,
}
_CURRENCY: Final = "currency"
_CURRENCIES: Final = frozenset(
    code.removeprefix(_CURRENCY)
    for code in vars(units).values()
    if isinstance(code, str) and code.startswith(_CURRENCY) and code[len(_CURRENCY) :].isupper()
)
_SYMBOLS: Final = {"EUR": "€", "GBP": "£", "USD": "$"}
_WHOLE: Final = ("count", "count_distinct")
_AS_EVENTS: Final = ("sum", "min", "max", "first", "last")
_CENTS: Final = 2
_MOST_OF_SHARE: Final = 4


def grafana_unit(unit: str | None) -> str:
    """A unit of Grafana's own where it knows the catalog's, else the catalog's word behind the number.

    Money is written with all its digits: Grafana's own currencies make 1.21M of it. Hours stay hours, where its own
    become days and weeks.
    """
    if unit is None:
        return units.LocaleFormat
    if unit in _CURRENCIES:
        return f"{_CURRENCY}:financial:{_SYMBOLS.get(unit, f'{unit} ')}"
    return _KNOWN.get(unit) or f"suffix:{unit}"


def decimals(plan: KpiPlan) -> int | None:
    """Digits behind the point: those that the events have, where values have as many; None leaves it to Grafana.

    A share has one more than its bounds have as a percentage, so that 99.95 % is not shown as 100 %.
    """
    unit = plan.facts.unit
    if grafana_unit(unit) == SHARE:
        bounds = [bound for one in plan.kpi.objectives for bound in (one.value, one.upper) if bound is not None]
        return min(_MOST_OF_SHARE, 1 + max((_places(bound * 100) for bound in bounds), default=0))
    if plan.kpi.type == "simple":
        term = plan.terms[0]
        if term.metric.agg in _WHOLE:
            return 0
        kind = term.column.value_type
        if term.metric.agg in _AS_EVENTS and kind is not None and kind.kind in ("integer", "decimal"):
            return kind.scale
    return _CENTS if unit in _CURRENCIES else None


def _places(number: Decimal) -> int:
    """Digits behind the point, without zeros at the end."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
