"""Every metric, source, goal and field that is named exists."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, metric in draft.metrics.items():
        yield from _unknown(draft, ("metrics", name, "source"), "sources", "source", metric.source)
    for name, kpi in draft.kpis.items():
        for key, metric_name in draft.metrics_of(kpi):
            yield from _unknown(draft, ("kpis", name, key), "metrics", "metric", metric_name)
        if kpi.goal is not None:
            yield from _unknown(draft, ("kpis", name, "goal"), "goals", "goal", kpi.goal)
    for name, source in draft.sources.items():
        for key in ("event_time", "identity"):
            field = getattr(source, key)
            if field is not None and field not in source.fields and field not in draft.unread_fields[name]:
                yield Finding(
                    ("sources", name, key), f'unknown field "{field}"', one_of(field, tuple(source.fields), "fields")
                )


def _unknown(draft: Draft, path: Path, section: str, noun: str, name: str) -> Iterator[Finding]:
    known = draft.declared[section]
    if name not in known and section not in draft.unread_sections:
        yield Finding(path, f'unknown {noun} "{name}"', one_of(name, sorted(known), f"{noun}s"))
