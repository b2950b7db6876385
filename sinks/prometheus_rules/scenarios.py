"""What promtool is to play through a rule file: series minute by minute, and what is to be seen of them when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

GONE: Final = "stale"  # what a target's series get once it does not show them any more


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert as Alertmanager is told of it; without what follows from the rule's name."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Look:
    """Which alerts of this name fire at a minute: these and no others."""

    minute: int
    alert: str
    firing: Sequence[Firing] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression gives at a minute: (series, number) of each, and no others."""

    expr: str
    minute: int
    samples: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """``series``: selector -> its values, a minute each, as promtool writes them."""

    name: str
    series: Mapping[str, str]
    looks: Sequence[Look] = ()
    values: Sequence[Value] = field(default_factory=tuple)

    def as_yaml(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name,
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
        }
        if self.looks:
            found["alert_rule_test"] = [_look(look) for look in self.looks]
        if self.values:
            found["promql_expr_test"] = [_value(value) for value in self.values]
        return found


def _look(look: Look) -> dict[str, Any]:
    firing = [{"exp_labels": dict(one.labels), "exp_annotations": dict(one.annotations)} for one in look.firing]
    return {"eval_time": f"{look.minute}m", "alertname": look.alert, "exp_alerts": firing}


def _value(value: Value) -> dict[str, Any]:
    samples = [{"labels": name, "value": _number(number)} for name, number in value.samples]
    return {"expr": value.expr, "eval_time": f"{value.minute}m", "exp_samples": samples}


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def steady(value: Decimal | float | str, minutes: int) -> str:
    """A number for so many minutes, at least one."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return f"{text}+0x{max(1, minutes) - 1}"


def missing(minutes: int) -> str:
    """No sample for so many minutes, at least one."""
    return f"_x{max(1, minutes)}"
