"""expr, filter and where compile over the fields of their source, to the types that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from engine.aggregations import aggregation_for, registry
from engine.catalog.checks.aggregations import WITHOUT_EXPR
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.model import FieldType, Metric, Source
from engine.expressions import Compiled, ExpressionError, compile_expression

NUMERIC = ("integer", "decimal", "number")


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    compiler = _Compiler(draft)
    for name, metric in draft.metrics.items():
        source = draft.sources.get(metric.source)
        if source is None:
            continue
        if metric.filter is not None:
            yield from compiler.condition(metric.filter, source, ("metrics", name, "filter"))
        value: FieldType | None = None
        if metric.expr is not None:
            compiled = compiler.compile(metric.expr, source, ("metrics", name, "expr"))
            if isinstance(compiled, Finding):
                yield compiled
            value = compiled.type if isinstance(compiled, Compiled) else None
        if (metric.expr is None) == (value is None):
            yield from _fits(metric, value)
    for name, kpi in draft.kpis.items():
        if kpi.where is not None:
            for source_name in draft.sources_of(kpi):
                source = draft.sources[source_name]
                yield from compiler.condition(kpi.where, source, ("kpis", name, "where"))


def _fits(metric: Metric, value: FieldType | None) -> Iterator[Finding]:
    """The aggregation itself says whether it can take such values."""
    if (value is None and metric.agg not in WITHOUT_EXPR) or (metric.agg == "percentile" and metric.percentile is None):
        return  # another check says so
    if value is not None and value.kind not in NUMERIC and metric.agg not in ("count", "count_distinct"):
        hint = "use a field or expression of type integer, decimal or number"
        yield Finding(("metrics", metric.name, "expr"), f"{metric.agg} needs numbers, {metric.expr} is a {value}", hint)
        return
    if metric.agg not in registry():
        return
    try:
        aggregation_for(metric, value)
    except ValueError as error:
        yield Finding(("metrics", metric.name, "agg"), str(error))


class _Compiler:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._once = lru_cache(maxsize=10_000)(self._compile)

    def _compile(self, sql: str, source_name: str) -> Compiled | ExpressionError:
        source = self.draft.sources[source_name]
        try:
            return compile_expression(sql, self.draft.types(source), timezone=source.timezone)
        except ExpressionError as error:
            return error

    def compile(self, sql: str, source: Source, path: Path) -> Compiled | Finding | None:
        """What it compiles to, or why not; None where the fault may be that of a field whose type could not be read."""
        compiled = self._once(sql, source.name)
        if isinstance(compiled, Compiled):
            return compiled
        if any(name in sql for name in self.draft.unread_fields.get(source.name, ())):
            return None
        return Finding(path, compiled.message, compiled.hint)

    def condition(self, sql: str, source: Source, path: Path) -> Iterator[Finding]:
        compiled = self.compile(sql, source, path)
        if isinstance(compiled, Finding):
            several = path[0] == "kpis"
            yield compiled._replace(message=f"over {source.name}: {compiled.message}") if several else compiled
        elif compiled is not None and compiled.type.kind != "boolean":
            yield Finding(path, f"{sql} is a {compiled.type}, not a condition", "compare it, as in status = 'paid'")
