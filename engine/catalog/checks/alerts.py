"""Alerts: a name once in a KPI, series that it has, windows that can be judged so, an evaluator that can."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.alerting import IDENTITY_LABELS, Alert, PaceBelow, Threshold
from engine.catalog.checks.objectives import dimension_findings
from engine.catalog.checks.templates import template_findings
from engine.catalog.drafts import Draft, Finding, Path, Rule, Whereabouts
from engine.catalog.model import Cumulate, Kpi, Tumble


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, rules in draft.rules.items():
        yield from _names(rules, ("kpis", name, "alerts"))
        kpi = draft.kpis.get(name)
        for number, rule in enumerate(rules):
            if kpi is not None and rule.alert is not None:
                yield from _alert(draft, kpi, rule, rule.alert, ("kpis", name, "alerts", number))


def _names(rules: tuple[Rule, ...], path: Path) -> Iterator[Finding]:
    names: set[str] = set()
    for number, rule in enumerate(rules):
        name = rule.read.get("alert")
        if name in names:
            yield Finding((*path, number, "alert"), f"{name} is there twice", "rename one of the two")
        names.add(name)


def _alert(draft: Draft, kpi: Kpi, rule: Rule, alert: Alert, path: Path) -> Iterator[Finding]:
    yield from dimension_findings(draft, kpi, alert.where, path)
    yield from _evaluate(kpi, rule, alert, path)
    for label in alert.labels:
        if label in IDENTITY_LABELS or label in kpi.group_by or label.startswith("__"):
            message = f"{label} is a label that the alert has by itself"
            yield Finding((*path, "labels", label), message, "give it another name")
    for annotation, text in alert.annotations.items():
        yield from template_findings(kpi, text, (*path, "annotations", annotation))


def _evaluate(kpi: Kpi, rule: Rule, alert: Alert, path: Path) -> Iterator[Finding]:
    written = rule.read.get("evaluate")
    here = (*path, "evaluate")
    if alert.evaluator == "prometheus":
        yield from _prometheus(kpi, rule, alert, path)
    elif written == "open" and isinstance(kpi.window, Tumble):
        message = "an open tumbling window has no value that a replay would see again"
        hint = "remove it; to judge earlier, use a window of type cumulate (grain to date) or hop (rolling)"
        yield Finding(here, message, hint)
    if written == "closed" and isinstance(alert.when, PaceBelow):
        yield Finding(here, "pace is judged at each step", "remove it; of a finished grain, write below")


def _prometheus(kpi: Kpi, rule: Rule, alert: Alert, path: Path) -> Iterator[Finding]:
    if not isinstance(alert.when, Threshold):
        word = next(key for key in rule.read["when"].values if key != "recover")
        hint = "write evaluator: engine, or below, above or outside"
        yield Finding((*path, "evaluator"), f"Prometheus cannot evaluate {word}", hint)
    shown = "Prometheus sees the newest value only, that of a window which is still open"
    written = rule.read.get("evaluate")
    if isinstance(kpi.window, Tumble):
        hint = "write evaluator: engine, or use a window of type hop or cumulate"
        yield Finding((*path, "evaluator"), shown, hint)
    elif written == "closed" or (isinstance(kpi.window, Cumulate) and written is None):
        yield Finding((*path, "evaluator"), shown, "write evaluate: open, or evaluator: engine")
