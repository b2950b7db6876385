"""Annotations of the catalog as Prometheus' templates, and what they come out as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from string import Formatter
from typing import Final

from engine.alerts.words import digits
from engine.catalog.alerting import Threshold
from engine.plan import KpiPlan
from sinks import names
from sinks.prometheus_rules.rules import literal, quoted

NONE: Final = "-"  # as the engine writes what there is none of
_NOW: Final = "now"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = "%.12g"


@dataclass(frozen=True, slots=True)
class Seen:
    """What an annotation is filled in from at a moment. ``since``: minutes after 1970 began; None: only just."""

    value: Decimal
    dims: Mapping[str, str]
    samples: int | None = None
    target: Decimal | None = None
    since: int | None = None


@dataclass(frozen=True)
class Annotation:
    """The texts of one alert of one KPI. The fields in braces are those of `engine.catalog.alerting`."""

    catalog: str
    plan: KpiPlan
    alert: str
    bounds: Threshold

    def template(self, text: str) -> str:
        return self._written(text, self._templates(), literal)

    def filled(self, text: str, seen: Seen) -> str:
        return self._written(text, self._texts(seen), str)

    @staticmethod
    def _written(text: str, fields: Mapping[str, str], plain: Callable[[str], str]) -> str:
        parts = Formatter().parse(text)
        return "".join(plain(before) + (fields[field] if field else "") for before, field, _, _ in parts)

    def _fixed(self) -> dict[str, str]:
        facts = self.plan.facts
        return {
            "alert": self.alert,
            "kpi": facts.name,
            "title": facts.title,
            "unit": facts.unit or NONE,
            "owner": facts.owner or NONE,
        }

    def _templates(self) -> dict[str, str]:
        dims = {name: f"{{{{ $labels.{name} }}}}" for name in self.plan.kpi.group_by}
        asked = {names.CATALOG_LABEL: self.catalog, names.KPI_LABEL: self.plan.kpi.name}
        since = self._asked("ALERTS_FOR_STATE", {"alertname": self.alert, **asked}, "humanizeTimestamp", _NOW)
        number = f'printf "{_NUMBER}"'
        return dims | {
            "value": f"{{{{ {number} $value }}}}",
            "bound": self._bound(),
            "since": since,
            "samples": self._asked(names.recorded(names.KPI_SAMPLES), asked, number, NONE),
            "target": self._asked(names.recorded(names.KPI_TARGET), asked, number, NONE),
            **{name: literal(text) for name, text in self._fixed().items()},
        }

    def _asked(self, metric: str, labels: Mapping[str, str], shown: str, none: str) -> str:
        """The number of the alert's own series of another metric, asked for when the alert is evaluated."""
        own = [f"{name}={quoted(text)}" for name, text in labels.items()]
        own += [f"{name}=%q" for name in self.plan.kpi.group_by]
        query = quoted(f"{metric}{{{','.join(own)}}}")
        dims = "".join(f" $labels.{name}" for name in self.plan.kpi.group_by)
        found = f"printf {query}{dims} | query" if dims else f"query {query}"
        return f"{{{{ with {found} }}}}{{{{ . | first | value | {shown} }}}}{{{{ else }}}}{none}{{{{ end }}}}"

    def _bound(self) -> str:
        """Of two the one that is nearer, as `engine.alerts.words.bound_of`."""
        lower, upper = self.bounds.lower, self.bounds.upper
        if lower is None or upper is None:
            return self._nearer(Decimal(0))
        middle = format((lower + upper) / 2, "f")
        middle += "" if "." in middle else ".0"
        return f"{{{{ if gt $value {middle} }}}}{digits(upper)}{{{{ else }}}}{digits(lower)}{{{{ end }}}}"

    def _nearer(self, value: Decimal) -> str:
        lower, upper = self.bounds.lower, self.bounds.upper
        if lower is not None and upper is not None:
            return digits(upper if value > (lower + upper) / 2 else lower)
        bound = upper if lower is None else lower
        assert bound is not None
        return digits(bound)

    def _texts(self, seen: Seen) -> dict[str, str]:
        began = None if seen.since is None else _EPOCH + timedelta(minutes=seen.since)
        return {
            **seen.dims,
            "value": _NUMBER % seen.value,
            "bound": self._nearer(seen.value),
            "since": _NOW if began is None else f"{began:%Y-%m-%d %H:%M:%S} +0000 UTC",
            "samples": NONE if seen.samples is None else str(seen.samples),
            "target": NONE if seen.target is None else _NUMBER % seen.target,
            **self._fixed(),
        }
