"""Aggregations, one file each. To add one, put a subclass of ``Aggregation`` with a ``name`` into a file here."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from engine.aggregations.base import Aggregation, ItemKind, States
from engine.aggregations.numerals import number_text
from engine.catalog.model import FieldType, Metric

__all__ = ["Aggregation", "ItemKind", "States", "aggregation_for", "number_text", "registry"]


@cache
def registry() -> Mapping[str, type[Aggregation]]:
    """Every aggregation of this package by the name it has in the catalog."""
    found: dict[str, type[Aggregation]] = {}
    for module in pkgutil.iter_modules(__path__):
        for candidate in vars(import_module(f"{__name__}.{module.name}")).values():
            if (
                inspect.isclass(candidate)
                and issubclass(candidate, Aggregation)
                and candidate.__module__ == f"{__name__}.{module.name}"
                and "name" in vars(candidate)  # what others share has none
            ):
                found[candidate.name] = candidate
    return found


def aggregation_for(metric: Metric, value: FieldType | None) -> Aggregation:
    """The aggregation of a metric over values of a type (None: no expression). ValueError where they do not fit."""
    return registry()[metric.agg](metric, value)
