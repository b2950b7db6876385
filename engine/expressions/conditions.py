"""Conditions on typed values, in SQL's three-valued logic, and the choices made by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from engine.expressions.patterns import like
from engine.expressions.syntax import ExpressionError
from engine.expressions.typed import Typed, columns_of, of_text, unified, with_article

_COMPARISONS = {
    "=": pl.Expr.eq,
    "<>": pl.Expr.ne,
    "<": pl.Expr.lt,
    "<=": pl.Expr.le,
    ">": pl.Expr.gt,
    ">=": pl.Expr.ge,
}


def condition(value: Typed) -> Typed:
    """The value as a condition. Raises ExpressionError where it is none."""
    if value.kind == "null":
        return Typed(pl.lit(None, dtype=pl.Boolean), "boolean", "null")
    if value.kind != "boolean":
        raise ExpressionError(
            f"{value.text} is {with_article(value.kind)} where a condition is needed",
            "compare it, as in status = 'paid'",
        )
    return value


def compared(left: Typed, right: Typed, sign: str, timezone: str) -> Typed:
    if "null" in (left.kind, right.kind):
        raise ExpressionError("a comparison with NULL is never true", "write IS NULL or IS NOT NULL")
    a, b = unified((left, right), "compare", timezone)
    if a.kind == "boolean" and sign not in ("=", "<>"):
        raise ExpressionError(f"booleans have no order, so {sign} cannot compare them")
    expr = _COMPARISONS[sign](a.expr, b.expr)
    return Typed(expr, "boolean", f"({sign} {a.text} {b.text})", columns=columns_of((a, b)))


def both(left: Typed, right: Typed) -> Typed:
    text = f"(and {left.text} {right.text})"
    return Typed(left.expr & right.expr, "boolean", text, columns=columns_of((left, right)))


def either(left: Typed, right: Typed) -> Typed:
    text = f"(or {left.text} {right.text})"
    return Typed(left.expr | right.expr, "boolean", text, columns=columns_of((left, right)))


def negated(value: Typed) -> Typed:
    return Typed(~value.expr, "boolean", f"(not {value.text})", columns=value.columns)


def is_null(value: Typed) -> Typed:
    return Typed(value.expr.is_null(), "boolean", f"(is-null {value.text})", columns=value.columns)


def is_truth(value: Typed, truth: bool) -> Typed:
    """Whether it is just this, which null is not."""
    expr = value.expr.eq_missing(pl.lit(truth))
    return Typed(expr, "boolean", f"(is {value.text} {str(truth).lower()})", columns=value.columns)


def between(value: Typed, low: Typed, high: Typed, timezone: str) -> Typed:
    return both(compared(value, low, ">=", timezone), compared(value, high, "<=", timezone))


def one_of(value: Typed, choices: Sequence[Typed], timezone: str) -> Typed:
    value, *choices = unified([value, *choices], "compare", timezone)
    text = f"(in {value.text} {' '.join(choice.text for choice in choices)})"
    constants = [choice.literal for choice in choices]
    if value.kind == "string" and all(isinstance(constant, str) for constant in constants):
        expr = value.expr.is_in(pl.Series(constants, dtype=pl.String).implode())
    else:
        expr = value.expr.eq(choices[0].expr)
        for choice in choices[1:]:
            expr = expr.or_(value.expr.eq(choice.expr))
    return Typed(expr, "boolean", text, columns=columns_of((value, *choices)))


def matching(value: Typed, pattern: Typed, escape: str) -> Typed:
    """LIKE; ``escape`` is one character, or empty where there is none."""
    if value.kind != "string":
        raise ExpressionError(f"LIKE needs text before it, {value.text} is {with_article(value.kind)}")
    if not isinstance(pattern.literal, str):
        raise ExpressionError("LIKE needs a pattern in quotes after it", "write it as LIKE 'abc%'")
    marker = f" {of_text(escape).text}" if escape else ""
    expr = like(value.expr, pattern.literal, escape)
    return Typed(expr, "boolean", f"(like {value.text} {pattern.text}{marker})", columns=value.columns)


def chosen(conditions: Sequence[Typed], results: Sequence[Typed], timezone: str) -> Typed:
    """CASE: the result of the first condition that is true, the last result where none is."""
    alike = unified(results, "choose between", timezone)
    expr = alike[-1].expr
    for when, result in zip(reversed(conditions), reversed(alike[:-1]), strict=True):
        expr = pl.when(when.expr).then(result.expr).otherwise(expr)
    branches = " ".join(f"{when.text} {result.text}" for when, result in zip(conditions, alike, strict=False))
    return _of_one_type(alike, expr, f"(case {branches} {alike[-1].text})", (*conditions, *alike))


def coalesced(parts: Sequence[Typed], timezone: str) -> Typed:
    """COALESCE: the first that is not null."""
    alike = unified(parts, "choose between", timezone)
    text = f"(coalesce {' '.join(part.text for part in alike)})"
    return _of_one_type(alike, pl.coalesce([part.expr for part in alike]), text, alike)


def null_if(value: Typed, unwanted: Typed, timezone: str) -> Typed:
    """NULLIF: the value, unless it equals the other."""
    equal = compared(value, unwanted, "=", timezone)
    expr = pl.when(equal.expr.fill_null(False)).then(None).otherwise(value.expr)
    text = f"(nullif {value.text} {unwanted.text})"
    return replace(value, expr=expr, text=text, columns=equal.columns, literal=None)


def _of_one_type(alike: Sequence[Typed], expr: pl.Expr, text: str, parts: Sequence[Typed]) -> Typed:
    """A result of the type that ``alike`` were brought to."""
    digits = max(value.digits for value in alike)
    first = alike[0]
    return Typed(expr, first.kind, text, digits, first.scale, columns_of(parts))
