"""Each aggregation has what it needs and nothing that it would ignore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.catalog import document
from engine.catalog.drafts import Draft, Finding, Whereabouts

WITHOUT_EXPR: Final = ("count", "rate")  # they count events where there is no expr
PARAMETERS: Final = {
    "percentile": ("percentile",),
    "accuracy": ("count_distinct", "percentile", "median"),
    "exact_below": ("count_distinct",),
    "per": ("rate",),
}


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, metric in draft.metrics.items():
        path = ("metrics", name)
        if metric.expr is None and metric.agg not in WITHOUT_EXPR:
            yield Finding(path, f"{metric.agg} without expr", "write expr: FIELD, or an expression over fields")
        if metric.agg == "percentile" and metric.percentile is None:
            yield Finding(path, "percentile is missing", "write percentile: 0.95, or use agg: median")
        node = whereabouts.find(path)[2]
        given = node.entries if isinstance(node, document.Mapping) else {}
        for key, aggregations in PARAMETERS.items():
            if key in given and metric.agg not in aggregations:
                hint = f"remove it, or use agg: {' or '.join(aggregations)}"
                yield Finding((*path, key), f"{metric.agg} has no {key}", hint)
