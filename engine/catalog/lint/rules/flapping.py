"""A critical alert does not page at once on a value that goes to and fro."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.catalog.alerting import Threshold
from engine.catalog.lint.advice import Advice
from engine.catalog.lint.given import Given, Rule
from engine.catalog.lint.history import Floats

RULE = Rule("flapping", "Pages that end by themselves teach people to wait for the end.")

LEAST_RAISED: Final = 3
SHORT: Final = 1  # windows


def advise(given: Given) -> Iterator[Advice]:
    for name, kpi in given.kpis:
        for number, alert in enumerate(kpi.alerts):
            if alert.severity != "critical" or alert.for_us or not isinstance(alert.when, Threshold):
                continue
            when = alert.when
            found = [
                length
                for seen in given.history.get(name, ())
                if all(seen.dims.get(dimension) == value for dimension, value in alert.where.items())
                for length in _lengths((seen if alert.evaluate == "open" else seen.whole(kpi)).values, when)
            ]
            short = sum(length <= SHORT for length in found)
            if short >= LEAST_RAISED:
                message = f"{alert.name} would have ended after one value {short} of {len(found)} times"
                hint = "write for: with the length of two windows, or a recover farther from the bound"
                yield RULE.advice(("kpis", name, "alerts", number), message, hint)


def _lengths(values: Floats, when: Threshold) -> list[int]:
    """For each time that it would have been raised and ended, how many values long it lasted."""
    lower = float("-inf") if when.lower is None else float(when.lower)
    upper = float("inf") if when.upper is None else float(when.upper)
    low = lower if when.recover_lower is None else float(when.recover_lower)
    high = upper if when.recover_upper is None else float(when.recover_upper)
    found: list[int] = []
    length = 0
    for value in values.tolist():
        if value < lower or value > upper or (length and not low <= value <= high):
            length += 1
        elif length:
            found.append(length)
            length = 0
    return found
