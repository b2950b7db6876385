"""The expression of a derived KPI compiles over the metrics."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Whereabouts
from engine.expressions import ExpressionError, compile_derived


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        if kpi.expr is None:
            continue
        known = None if "metrics" in draft.unread_sections else draft.declared["metrics"]
        try:
            compile_derived(kpi.expr, known)
        except ExpressionError as error:
            yield Finding(("kpis", name, "expr"), error.message, error.hint)
