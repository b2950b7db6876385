"""Arithmetic on typed values: exact on integers and decimals, in doubles where one of the two is a number.

Each result carries the bound of its digits, as SQL has it, so that none can overflow at run time (see `typed`).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import polars as pl

from engine.expressions.syntax import ExpressionError, finite_reciprocal
from engine.expressions.typed import (
    NUMERIC,
    Typed,
    as_decimal,
    as_float,
    columns_of,
    decimal,
    of_number,
    with_article,
)


def numeric(value: Typed, sign: str) -> Typed:
    """The value itself. Raises ExpressionError where it is none that ``sign`` can be used with."""
    if value.kind == "null":
        raise ExpressionError(f"{sign} with NULL is always null")
    if value.kind not in NUMERIC:
        hint = (
            "write numbers without quotes"
            if value.literal is not None
            else "declare the field as integer, decimal(p,s) or number"
        )
        raise ExpressionError(f"{sign} needs numbers, {value.text} is {with_article(value.kind)}", hint)
    return value


def negative(value: Typed) -> Typed:
    if isinstance(value.literal, Decimal):
        return of_number(-value.literal)
    text = f"(- {value.text})"
    if value.kind == "number":
        return Typed(-value.expr, "number", text, columns=value.columns)
    return decimal(-as_decimal(value, value.scale), text, value.digits, value.scale, value)


def added(left: Typed, right: Typed, sign: str) -> Typed:
    """The sum, or the difference where ``sign`` is ``-``."""
    text = f"({sign} {left.text} {right.text})"
    if "number" in (left.kind, right.kind):
        a, b = as_float(left), as_float(right)
        return Typed(a + b if sign == "+" else a - b, "number", text, columns=columns_of((left, right)))
    scale = max(left.scale, right.scale)
    digits = max(left.digits - left.scale, right.digits - right.scale) + scale + 1
    a, b = as_decimal(left, scale), as_decimal(right, scale)
    return decimal(a + b if sign == "+" else a - b, text, digits, scale, left, right)


def product(left: Typed, right: Typed) -> Typed:
    text = f"(* {left.text} {right.text})"
    if "number" in (left.kind, right.kind):
        return Typed(as_float(left) * as_float(right), "number", text, columns=columns_of((left, right)))
    # polars rounds a product to the larger scale of the two, so both get the scale of the product first.
    scale = left.scale + right.scale
    expr = as_decimal(left, scale) * as_decimal(right, scale)
    return decimal(expr, text, left.digits + right.digits, scale, left, right)


def quotient(above: Typed, below: Typed) -> Typed:
    """Null where the divisor is zero; exact where it is a constant whose reciprocal is a finite decimal."""
    text = f"(/ {above.text} {below.text})"
    if isinstance(below.literal, Decimal):
        if below.literal == 0:
            raise ExpressionError("division by zero")
        factor = finite_reciprocal(below.literal)
        if factor is not None and above.kind != "number":
            return replace(product(above, of_number(factor)), text=text)
    divisor = as_float(below)
    expr = pl.when(divisor != 0).then(as_float(above) / divisor)
    return Typed(expr, "number", text, columns=columns_of((above, below)))


def remainder(left: Typed, right: Typed) -> Typed:
    if (left.kind, right.kind) != ("integer", "integer"):
        raise ExpressionError(f"% needs integers, not {left.shown} and {right.shown}")
    wide, divisor = left.expr.cast(pl.Int128), right.expr.cast(pl.Int128).abs()
    rest = (wide.abs() % divisor) * wide.sign()  # SQL's remainder has the sign of what is divided
    expr = pl.when(divisor != 0).then(rest).cast(pl.Int64)
    return Typed(expr, "integer", f"(% {left.text} {right.text})", right.digits, 0, columns_of((left, right)))


def absolute(value: Typed) -> Typed:
    text = f"(abs {value.text})"
    if value.kind == "number":
        return Typed(value.expr.abs(), "number", text, columns=value.columns)
    return decimal(as_decimal(value, value.scale).abs(), text, value.digits, value.scale, value)


def rounded(value: Typed, places: int) -> Typed:
    """To so many fraction digits, halves away from zero."""
    text = f"(round {value.text} {places})"
    if value.kind == "number":
        return Typed(value.expr.round(places, mode="half_away_from_zero"), "number", text, columns=value.columns)
    if places >= value.scale:
        return replace(value, text=text, literal=None)
    expr = value.expr.round(places, mode="half_away_from_zero").cast(pl.Decimal(38, places))
    return decimal(expr, text, max(1, value.digits - value.scale) + places + 1, places, value)
