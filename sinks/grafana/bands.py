"""The bands of ok, warning and critical that a KPI's values lie in, as Grafana's thresholds.

The law is that of `engine.targets`: Grafana gives a value the colour of the last step that is not above it.
"""

from __future__ import annotations

import math

from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsConfig

from engine.catalog.model import Hop, Kpi, Objective, Tumble
from sinks.grafana.palette import CRITICAL, OK, WARNING


def bands(kpi: Kpi) -> ThresholdsConfig | None:
    """None where no one objective holds for all series, or where a value is not judged before its window is over."""
    if len(kpi.objectives) != 1 or kpi.objectives[0].where or not _judged_while_open(kpi):
        return None
    return ThresholdsConfig(steps=_steps(kpi.objectives[0]))


def _judged_while_open(kpi: Kpi) -> bool:
    match kpi.window:
        case Hop():
            return True
        case Tumble(grain=None):
            return True
        case _:
            return False


def _steps(objective: Objective) -> list[Threshold]:
    lower = None if objective.op == "lte" else objective.value
    upper = objective.value if objective.op == "lte" else objective.upper
    slack = objective.warn_within
    steps = [Threshold(value=None, color=OK if lower is None else CRITICAL)]
    if lower is not None:
        steps += [
            Threshold(value=float(lower - abs(lower) * slack), color=WARNING),
            Threshold(value=float(lower), color=OK),
        ]
    if upper is not None:
        steps += [
            Threshold(value=_above(float(upper)), color=WARNING),
            Threshold(value=_above(float(upper + abs(upper) * slack)), color=CRITICAL),
        ]
    return [
        step
        for step, after in zip(steps, [*steps[1:], None], strict=True)
        if after is None or after.value != step.value
    ]


def _above(bound: float) -> float:
    """The next number: the bound itself still meets an objective of at most that much."""
    return math.nextafter(bound, math.inf)
