"""What the API says of the catalog and its KPIs: JSON objects, with the keys and words of the YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.catalog.lint import Advice, Verdict
from engine.catalog.loader import Loaded
from engine.catalog.model import Catalog, Cumulate, Hop, Metric, Objective, Review, Tumble, Window
from engine.event_time.durations import DAY_US, nominal_us
from engine.plan import plan_catalog
from engine.values import KpiFacts
from sinks.board.definitions import in_words, metric_words, metrics_of, window_words
from sinks.board.excerpts import Excerpts

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """The catalog that a process was started with: ``loaded`` is without problems, ``definition`` names its text."""

    loaded: Loaded
    files: tuple[tuple[str, str], ...]
    definition: str


class CatalogFacts:
    def __init__(self, told: Told) -> None:
        catalog, whereabouts = told.loaded.catalog, told.loaded.whereabouts
        assert catalog is not None and whereabouts is not None
        self.catalog: Catalog = catalog
        self.kpis: dict[str, KpiFacts] = {plan.facts.name: plan.facts for plan in plan_catalog(catalog).kpis}
        self._told = told
        self._excerpts = Excerpts(told.files, whereabouts)

    def about(self) -> Object:
        """The catalog itself."""
        goals = [{"name": goal.name, "title": goal.title, "owner": goal.owner} for goal in self.catalog.goals.values()]
        return {
            "name": self.catalog.name,
            "goals": goals,
            "timezone": self.catalog.calendar.timezone,
            "loaded_definition": self._told.definition,
        }

    def listed(self, name: str, series: int, now: datetime) -> Object:
        """A KPI as lists of them show it."""
        kpi, facts = self.catalog.kpis[name], self.kpis[name]
        return {
            "name": name,
            "title": facts.title,
            "description": kpi.description,
            "type": kpi.type,
            "goal": kpi.goal,
            "owner": kpi.owner,
            "category": kpi.category,
            "indicator": kpi.indicator,
            "favorable": kpi.favorable,
            "unit": facts.unit,
            "group_by": kpi.group_by,
            "window": {**_window(kpi.window), "words": window_words(kpi.window)},
            "timezone": kpi.calendar.timezone,
            "compare": {"offset_window": str(kpi.compare)} if kpi.compare else None,
            "objectives": [_objective(objective) for objective in kpi.objectives],
            "review": _review(kpi.review, _day(now, kpi.calendar.timezone)) if kpi.review else None,
            "labels": kpi.labels,
            "definition": facts.definition,
            "series": series,
        }

    def described(
        self, name: str, series: int, now: datetime, active: Sequence[Object] | None, verdict: Verdict
    ) -> Object:
        """Everything about one KPI. ``active`` are its alerts that pend or fire, None where they are not known."""
        kpi = self.catalog.kpis[name]
        metrics = metrics_of(kpi)
        excerpt = self._excerpts.of(name, metrics)
        return {
            **self.listed(name, series, now),
            "words": in_words(kpi, self.catalog),
            "yaml": excerpt.yaml,
            "metrics": [_metric(self.catalog.metrics[metric]) for metric in metrics],
            "alerts": self._excerpts.alerts(name),
            "active_alerts": active,
            "findings": [_finding(advice) for advice in verdict.advice if _about(advice, name)],
            "file": excerpt.file,
            "line": excerpt.line,
        }


def findings(verdict: Verdict) -> Object:
    """As `streamgauge lint` has it."""
    return {"findings": [_finding(advice) for advice in verdict.advice], "scores": verdict.scores}


def _day(now: datetime, timezone: str) -> date:
    return now.astimezone(ZoneInfo(timezone)).date()


def _window(window: Window) -> Mapping[str, object]:
    match window:
        case Tumble(size=None):
            return {"type": "tumble", "grain": window.grain}
        case Tumble():
            return {"type": "tumble", "size": str(window.size)}
        case Hop():
            return {"type": "hop", "size": str(window.size), "slide": str(window.slide)}
        case Cumulate():
            return {"type": "cumulate", "grain_to_date": window.grain, "step": str(window.step)}


def _objective(objective: Objective) -> Object:
    return {
        "op": objective.op,
        "value": objective.value,
        "upper": objective.upper,
        "where": objective.where,
        "valid_from": objective.valid_from,
        "warn_within": objective.warn_within,
        "share": objective.share,
        "pacing": objective.pacing,
        "quiet_until": objective.quiet_until,
    }


def _review(review: Review, today: date) -> Object:
    due = date.fromisoformat(review.last) + timedelta(days=-(-nominal_us(review.every) // DAY_US))
    return {"every": str(review.every), "last": review.last, "due": due.isoformat(), "overdue": due < today}


def _metric(metric: Metric) -> Object:
    return {
        "name": metric.name,
        "title": metric.title or metric.name,
        "description": metric.description,
        "source": metric.source,
        "agg": metric.agg,
        "expr": metric.expr,
        "filter": metric.filter,
        "unit": metric.unit,
        "words": metric_words(metric, unit=metric.unit),
    }


def _finding(advice: Advice) -> Object:
    return {
        "rule": advice.rule,
        "subject": advice.subject,
        "severity": advice.severity,
        "message": advice.message,
        "why": advice.why,
        "change": advice.hint,
    }


def _about(advice: Advice, kpi: str) -> bool:
    return advice.path[:2] == ("kpis", kpi)
