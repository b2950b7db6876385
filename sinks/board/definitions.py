"""A KPI in plain words, from the catalog alone.

"Sum of amount (EUR) of orders where status = 'paid', by region, over the last 30 days, every hour; compared with
30 days before. Target: at least 1,200,000 EUR for region EU."
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from engine.catalog.model import Catalog, Cumulate, Duration, Hop, Kpi, Metric, Objective, Offset, Tumble, Window
from engine.expressions import Term, compile_derived

_AGGREGATES: Final = {
    "sum": "sum of",
    "average": "average of",
    "min": "smallest",
    "max": "largest",
    "first": "first",
    "last": "latest",
    "variance": "variance of",
    "stddev": "standard deviation of",
    "count_distinct": "number of different",
    "median": "median of",
}
_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_SHIFTED: Final = re.compile(r"@\s*(\d+)\s*([A-Za-z]+)")


def in_words(kpi: Kpi, catalog: Catalog) -> str:
    """What the KPI says, in one or two sentences."""
    parts = [measured(kpi, catalog)]
    if kpi.group_by:
        parts.append(f"by {_listed([_spoken(name) for name in kpi.group_by])}")
    parts.append(window_words(kpi.window))
    sentence = ", ".join(parts)
    if kpi.compare is not None:
        sentence += f"; compared with {_ago(kpi.compare)} before"
    first = sentence[0] if kpi.type == "derived" else sentence[0].upper()  # the name of a metric stays as it is
    sentence = f"{first}{sentence[1:]}."
    if kpi.objectives:
        unit = kpi.unit or (catalog.metrics[kpi.metric].unit if kpi.metric is not None else None)
        sentence += f" Target: {'; '.join(objective_words(one, unit) for one in kpi.objectives)}."
    return sentence


def metrics_of(kpi: Kpi) -> tuple[str, ...]:
    """The names of the metrics that it is made of, each once."""
    if kpi.expr is not None:
        return tuple(dict.fromkeys(name for name, _ in _terms(kpi.expr)))
    return tuple(dict.fromkeys(name for name in (kpi.metric, kpi.numerator, kpi.denominator) if name is not None))


def measured(kpi: Kpi, catalog: Catalog) -> str:
    """What is counted, without when."""
    metrics = catalog.metrics
    match kpi.type:
        case "simple":
            metric = metrics[kpi.metric or ""]
            return metric_words(metric, kpi.where, kpi.unit or metric.unit)
        case "ratio":
            above, below = metrics[kpi.numerator or ""], metrics[kpi.denominator or ""]
            return (
                f"{metric_words(above, kpi.where, above.unit)}, divided by {metric_words(below, kpi.where, below.unit)}"
            )
        case "derived":
            expr = _SHIFTED.sub(lambda found: f" ({_amount(int(found[1]), _unit(found[2]))} before)", kpi.expr or "")
            meant = [
                f"{name} is the {metric_words(metrics[name], kpi.where, metrics[name].unit)}"
                for name in metrics_of(kpi)
            ]
            return f"{expr}, where {_listed(meant)}"


def metric_words(metric: Metric, where: str | None = None, unit: str | None = None) -> str:
    """``sum of amount (EUR) of orders where status = 'paid'``."""
    source = _spoken(metric.source)
    shown = f" ({unit})" if unit else ""
    match metric.agg:
        case "count":
            words = f"number of {source}{shown}"
        case "rate":
            summed = f"sum of {metric.expr} of " if metric.expr else "number of "
            words = f"{summed}{source} per {metric.per}"
        case "percentile":
            words = (
                f"{_ordinal((metric.percentile or Decimal(0)) * 100)} percentile of {metric.expr}{shown} of {source}"
            )
        case _:
            words = f"{_AGGREGATES[metric.agg]} {metric.expr}{shown} of {source}"
    conditions = [text for text in (metric.filter, where) if text]
    if len(conditions) > 1:
        conditions = [f"({text})" if re.search(r"\bor\b", text, re.IGNORECASE) else text for text in conditions]
    return f"{words} where {' and '.join(conditions)}" if conditions else words


def window_words(window: Window) -> str:
    """The time that each value covers."""
    match window:
        case Tumble(size=None):
            return f"in each {window.grain}"
        case Tumble(size=Duration() as size):
            return f"in {_every(size)}"
        case Hop():
            return f"over the last {_length(window.size)}, {_every(window.slide)}"
        case Cumulate():
            return f"since the start of the {window.grain}, {_every(window.step)}"
    raise AssertionError(window)


def objective_words(objective: Objective, unit: str | None) -> str:
    """``at least 1,200,000 EUR for region EU``."""
    match objective.op:
        case "gte":
            words = f"at least {amount(objective.value, unit)}"
        case "lte":
            words = f"at most {amount(objective.value, unit)}"
        case "between":
            words = f"from {amount(objective.value, unit)} to {amount(objective.upper or Decimal(0), unit)}"
    if objective.where:
        words += f" for {_listed([f'{_spoken(name)} {value}' for name, value in objective.where.items()])}"
    if objective.valid_from:
        words += f" from {objective.valid_from} on"
    return words


def amount(value: Decimal, unit: str | None) -> str:
    """With all its digits, in groups of three, and its unit; a share as a percentage."""
    if unit == "ratio":
        percent = f"{value * 100:,f}"
        return f"{percent.rstrip('0').rstrip('.') if '.' in percent else percent} %"
    return f"{value:,f} {unit}" if unit else f"{value:,f}"


def _terms(expr: str) -> tuple[Term, ...]:
    return compile_derived(expr).terms


def _ago(offset: Offset) -> str:
    return _amount(offset.amount, _unit(offset.unit))


def _length(duration: Duration) -> str:
    unit = _UNITS[duration.unit]
    return unit if duration.amount == 1 else f"{duration.amount:,} {unit}s"


def _every(duration: Duration) -> str:
    return f"every {_length(duration)}"


def _amount(amount: int, unit: str) -> str:
    return f"{amount:,} {unit}{'' if amount == 1 else 's'}"


def _unit(unit: str) -> str:
    return _UNITS.get(unit) or unit.removesuffix("s")


def _ordinal(value: Decimal) -> str:
    shown = f"{value.normalize():f}"
    if "." in shown or shown[-2:] in ("11", "12", "13"):
        return f"{shown}th"
    return shown + {"1": "st", "2": "nd", "3": "rd"}.get(shown[-1], "th")


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _spoken(name: str) -> str:
    return name.replace("_", " ")
