"""Rules of Prometheus as values, and small pieces of PromQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.alerts.words import length

OF_WORKERS: Final = "instance, pod, job"  # what two workers that show one series are told apart by
_DIRECTIVE: Final = re.compile(r"\{\{")


@dataclass(frozen=True, slots=True)
class Recording:
    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_yaml(self) -> dict[str, Any]:
        return {"record": self.record, "expr": self.expr, **({"labels": dict(self.labels)} if self.labels else {})}


@dataclass(frozen=True, slots=True)
class Alerting:
    """``labels`` and ``annotations`` are Prometheus' templates: see `literal`."""

    alert: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    for_us: int = 0
    keep_firing_for_us: int = 0

    def as_yaml(self) -> dict[str, Any]:
        found: dict[str, Any] = {"alert": self.alert, "expr": self.expr}
        if self.for_us:
            found["for"] = length(self.for_us)
        if self.keep_firing_for_us:
            found["keep_firing_for"] = length(self.keep_firing_for_us)
        return found | {"labels": dict(self.labels), "annotations": dict(self.annotations)}


def quoted(text: str) -> str:
    """As a string of PromQL."""
    return json.dumps(text, ensure_ascii=False)


def equal(**labels: str) -> list[str]:
    return [f"{name}={quoted(text)}" for name, text in labels.items()]


def selector(metric: str, matchers: Iterable[str]) -> str:
    return f"{metric}{{{','.join(matchers)}}}"


def any_of(label: str, values: Iterable[str]) -> str:
    """A matcher of these names, in order; they have no sign that a pattern would read as another."""
    found = sorted(values)
    if len(found) == 1:
        return f"{label}={quoted(found[0])}"
    return f"{label}=~{quoted('|'.join(found))}"


def literal(text: str) -> str:
    """In a template, what stands for this text itself."""
    return _DIRECTIVE.sub('{{ "{{" }}', text)
