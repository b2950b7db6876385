"""SQL over a source's fields as one polars expression whose type is known before any data is seen.

Compiled node by node from sqlglot's tree and not by ``polars.sql_expr``, which gives decimal products and quotients the
wrong scale, wraps 64 bit integers silently and knows no time zone. The rules, where SQL leaves a choice:

- null: as in SQL; AND, OR and NOT in three-valued logic; a filter keeps what is true.
- ``+ - *`` on integers and decimals are exact (see `typed`). ``/`` gives a number (a double), except by a constant such
  as 100 or 0.5, whose reciprocal is a finite decimal: then it stays exact. A division by zero is null.
- numbers that are not finite, or 2^80 and more, are null, because nothing could add them up.
- ROUND rounds halves away from zero. LIKE knows ``%`` and ``_``, and an escape character only where ESCAPE names one.
- a string beside a timestamp is read as one, in the source's time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import polars as pl
from sqlglot import exp

from engine.catalog.model import FieldType
from engine.expressions import instants
from engine.expressions.derived import round_digits
from engine.expressions.patterns import like
from engine.expressions.syntax import (
    MAX_DIGITS,
    ExpressionError,
    finite_reciprocal,
    missing_argument,
    number_literal,
    parse,
    refuse_more,
    unknown_name,
    unsupported,
)
from engine.expressions.typed import (
    INTEGER_DIGITS,
    NULL,
    NUMERIC,
    TooManyDigits,
    Typed,
    as_decimal,
    as_float,
    columns_of,
    decimal,
    of_field,
    of_instant,
    of_number,
    of_text,
    of_truth,
    unified,
)

SUPPORTED: Final = (
    "comparisons, + - * / %, AND OR NOT, IN, BETWEEN, LIKE, IS NULL, CASE, COALESCE, NULLIF, LOWER, UPPER, ABS, ROUND,"
    " date_trunc, extract"
)
_TOO_LARGE: Final = 2.0**80


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """``expr`` over the columns named in ``columns``; ``canonical`` is one for all spellings of it."""

    expr: pl.Expr
    type: FieldType
    columns: frozenset[str]
    canonical: str


def compile_expression(sql: str, fields: Mapping[str, FieldType], *, timezone: str) -> Compiled:
    """Compile SQL over ``fields``; date_trunc, extract and timestamps without an offset are local to ``timezone``.

    Raises ExpressionError with what is wrong and what to write instead.
    """
    typed = _Compiler(fields, timezone).compile(parse(sql))
    if not typed.columns:
        raise ExpressionError("the expression reads no field", "name at least one; agg: count needs no expr")
    expr = typed.expr
    if typed.kind == "number" and typed.text not in {f'"{name}"' for name in typed.columns}:
        expr = pl.when(expr.abs() < _TOO_LARGE).then(expr)
    return Compiled(expr, typed.type, typed.columns, typed.text)


class _Compiler:
    def __init__(self, fields: Mapping[str, FieldType], timezone: str) -> None:
        self.fields = fields
        self.timezone = timezone
        self._rules: dict[type[exp.Expr], Callable[..., Typed]] = {
            exp.Paren: lambda node: self.compile(node.this),
            exp.Literal: lambda node: of_text(str(node.this)) if node.is_string else of_number(number_literal(node)),
            exp.Null: lambda node: NULL,
            exp.Boolean: lambda node: of_truth(bool(node.this)),
            exp.Column: self._column,
            exp.Cast: self._cast,
            exp.Neg: self._negative,
            exp.Add: lambda node: self._sum(node, "+"),
            exp.Sub: lambda node: self._sum(node, "-"),
            exp.Mul: self._product,
            exp.Div: self._quotient,
            exp.Mod: self._remainder,
            exp.EQ: lambda node: self._comparison(node, "="),
            exp.NEQ: lambda node: self._comparison(node, "<>"),
            exp.LT: lambda node: self._comparison(node, "<"),
            exp.LTE: lambda node: self._comparison(node, "<="),
            exp.GT: lambda node: self._comparison(node, ">"),
            exp.GTE: lambda node: self._comparison(node, ">="),
            exp.And: lambda node: _both(self._condition(node.left), self._condition(node.right)),
            exp.Or: lambda node: _either(self._condition(node.left), self._condition(node.right)),
            exp.Not: lambda node: _not(self._condition(node.this)),
            exp.Is: self._is,
            exp.Between: self._between,
            exp.In: self._in,
            exp.Like: self._like,
            exp.Escape: self._like,
            exp.Case: self._case,
            exp.Coalesce: self._coalesce,
            exp.Nullif: self._nullif,
            exp.Lower: lambda node: self._letters(node, "lower"),
            exp.Upper: lambda node: self._letters(node, "upper"),
            exp.Abs: self._abs,
            exp.Round: self._round,
            exp.TimestampTrunc: self._date_trunc,
            exp.DateTrunc: self._date_trunc,
            exp.Extract: lambda node: self._extract(str(node.this), node.expression),
            exp.Anonymous: self._named,
        }

    def compile(self, node: exp.Expr | None) -> Typed:
        if node is None:
            raise missing_argument()
        rule = self._rules.get(type(node))
        if rule is None:
            raise unsupported(node, SUPPORTED)
        try:
            return rule(node)
        except TooManyDigits as error:
            raise ExpressionError(
                f"{node.sql(dialect='duckdb')} may need {error.digits} digits, more than the {MAX_DIGITS} of a decimal",
                "declare its fields with no more digits than they need, as in decimal(12,2), or as number",
            ) from None

    # ---- names and constants

    def _column(self, node: exp.Column) -> Typed:
        if node.table:
            raise ExpressionError(
                f"{node.sql(dialect='duckdb')}: fields have no dots",
                "declare a field with path: a.b and use the field's name",
            )
        refuse_more(node, "this")
        if not isinstance(node.this, exp.Identifier):
            raise unsupported(node.this, SUPPORTED)
        declared = self.fields.get(node.name)
        if declared is None:
            raise unknown_name("field", node.name, self.fields, quoted=self._beside_text(node))
        return of_field(node.name, declared)

    def _beside_text(self, node: exp.Column) -> bool:
        """Whether a name that is no field is in double quotes, or beside a field that holds text."""
        if node.this.quoted:
            return True
        beside = node.parent.find_all(exp.Column) if node.parent is not None else ()
        types = (self.fields.get(other.name) for other in beside)
        return any(declared is not None and declared.kind == "string" for declared in types)

    def _cast(self, node: exp.Cast) -> Typed:
        """``DATE '...'`` and ``TIMESTAMP '...'`` only."""
        text = node.this
        if (
            isinstance(text, exp.Literal)
            and text.is_string
            and node.to.is_type("date", "timestamp", "timestamptz", "timestampntz")
        ):
            return of_instant(str(text.this), self.timezone)
        raise ExpressionError(
            "casts are not part of the catalog's expressions", "declare the field with the type you need"
        )

    # ---- arithmetic

    def _numeric(self, node: exp.Expr | None, sign: str) -> Typed:
        value = self.compile(node)
        if value.kind == "null":
            raise ExpressionError(f"{sign} with NULL is always null")
        if value.kind not in NUMERIC:
            hint = (
                "write numbers without quotes"
                if value.literal is not None
                else "declare the field as integer, decimal(p,s) or number"
            )
            raise ExpressionError(f"{sign} needs numbers, {value.text} is {_a(value.kind)}", hint)
        return value

    def _negative(self, node: exp.Neg) -> Typed:
        value = self._numeric(node.this, "-")
        if isinstance(value.literal, Decimal):
            return of_number(-value.literal)
        text = f"(- {value.text})"
        if value.kind == "number":
            return Typed(-value.expr, "number", text, columns=value.columns)
        return decimal(-as_decimal(value, value.scale), text, value.digits, value.scale, value)

    def _sum(self, node: exp.Binary, sign: str) -> Typed:
        left, right = self._numeric(node.left, sign), self._numeric(node.right, sign)
        text = f"({sign} {left.text} {right.text})"
        if "number" in (left.kind, right.kind):
            a, b = as_float(left), as_float(right)
            return Typed(a + b if sign == "+" else a - b, "number", text, columns=columns_of((left, right)))
        scale = max(left.scale, right.scale)
        digits = max(left.digits - left.scale, right.digits - right.scale) + scale + 1
        a, b = as_decimal(left, scale), as_decimal(right, scale)
        return decimal(a + b if sign == "+" else a - b, text, digits, scale, left, right)

    def _product(self, node: exp.Mul) -> Typed:
        return self._times(self._numeric(node.left, "*"), self._numeric(node.right, "*"), "*")

    def _times(self, left: Typed, right: Typed, sign: str) -> Typed:
        text = f"({sign} {left.text} {right.text})"
        if "number" in (left.kind, right.kind):
            return Typed(as_float(left) * as_float(right), "number", text, columns=columns_of((left, right)))
        # polars rounds a product to the larger scale of the two, so both get the scale of the product first.
        scale = left.scale + right.scale
        expr = as_decimal(left, scale) * as_decimal(right, scale)
        return decimal(expr, text, left.digits + right.digits, scale, left, right)

    def _quotient(self, node: exp.Div) -> Typed:
        refuse_more(node, "this", "expression", "typed", "safe")
        above, below = self._numeric(node.left, "/"), self._numeric(node.right, "/")
        if isinstance(below.literal, Decimal):
            if below.literal == 0:
                raise ExpressionError("division by zero")
            factor = finite_reciprocal(below.literal)
            if factor is not None and above.kind != "number":
                product = self._times(above, of_number(factor), "*")
                return replace(product, text=f"(/ {above.text} {below.text})")
        divisor = as_float(below)
        expr = pl.when(divisor != 0).then(as_float(above) / divisor)
        return Typed(expr, "number", f"(/ {above.text} {below.text})", columns=columns_of((above, below)))

    def _remainder(self, node: exp.Mod) -> Typed:
        left, right = self._numeric(node.left, "%"), self._numeric(node.right, "%")
        if (left.kind, right.kind) != ("integer", "integer"):
            raise ExpressionError(f"% needs integers, not {left.shown} and {right.shown}")
        wide, divisor = left.expr.cast(pl.Int128), right.expr.cast(pl.Int128).abs()
        rest = (wide.abs() % divisor) * wide.sign()  # SQL's remainder has the sign of what is divided
        expr = pl.when(divisor != 0).then(rest).cast(pl.Int64)
        return Typed(expr, "integer", f"(% {left.text} {right.text})", right.digits, 0, columns_of((left, right)))

    def _abs(self, node: exp.Abs) -> Typed:
        value = self._numeric(node.this, "ABS")
        text = f"(abs {value.text})"
        if value.kind == "number":
            return Typed(value.expr.abs(), "number", text, columns=value.columns)
        return decimal(as_decimal(value, value.scale).abs(), text, value.digits, value.scale, value)

    def _round(self, node: exp.Round) -> Typed:
        refuse_more(node, "this", "decimals")
        value, places = self._numeric(node.this, "ROUND"), round_digits(node)
        text = f"(round {value.text} {places})"
        if value.kind == "number":
            return Typed(value.expr.round(places, mode="half_away_from_zero"), "number", text, columns=value.columns)
        if places >= value.scale:
            return replace(value, text=text, literal=None)
        rounded = value.expr.round(places, mode="half_away_from_zero").cast(pl.Decimal(38, places))
        return decimal(rounded, text, max(1, value.digits - value.scale) + places + 1, places, value)

    # ---- conditions

    def _condition(self, node: exp.Expr | None) -> Typed:
        value = self.compile(node)
        if value.kind == "null":
            return Typed(pl.lit(None, dtype=pl.Boolean), "boolean", "null")
        if value.kind != "boolean":
            raise ExpressionError(
                f"{value.text} is {_a(value.kind)} where a condition is needed", "compare it, as in status = 'paid'"
            )
        return value

    def _comparison(self, node: exp.Binary, sign: str) -> Typed:
        refuse_more(node, "this", "expression")
        return self._compare(self.compile(node.left), self.compile(node.right), sign)

    def _compare(self, left: Typed, right: Typed, sign: str) -> Typed:
        if "null" in (left.kind, right.kind):
            raise ExpressionError("a comparison with NULL is never true", "write IS NULL or IS NOT NULL")
        a, b = unified((left, right), "compare", self.timezone)
        if a.kind == "boolean" and sign not in ("=", "<>"):
            raise ExpressionError(f"booleans have no order, so {sign} cannot compare them")
        expr = {
            "=": pl.Expr.eq,
            "<>": pl.Expr.ne,
            "<": pl.Expr.lt,
            "<=": pl.Expr.le,
            ">": pl.Expr.gt,
            ">=": pl.Expr.ge,
        }[sign](a.expr, b.expr)
        return Typed(expr, "boolean", f"({sign} {a.text} {b.text})", columns=columns_of((a, b)))

    def _is(self, node: exp.Is) -> Typed:
        value, wanted = self.compile(node.this), node.expression
        if isinstance(wanted, exp.Null):
            return Typed(value.expr.is_null(), "boolean", f"(is-null {value.text})", columns=value.columns)
        if isinstance(wanted, exp.Boolean) and value.kind == "boolean":
            truth = bool(wanted.this)
            expr = value.expr.eq_missing(pl.lit(truth))
            return Typed(expr, "boolean", f"(is {value.text} {str(truth).lower()})", columns=value.columns)
        raise ExpressionError(
            "IS takes NULL after it, or TRUE or FALSE where a boolean stands before it", "compare with ="
        )

    def _between(self, node: exp.Between) -> Typed:
        refuse_more(node, "this", "low", "high", "negate")
        value = self.compile(node.this)
        low, high = self.compile(node.args["low"]), self.compile(node.args["high"])
        both = _both(self._compare(value, low, ">="), self._compare(value, high, "<="))
        return _not(both) if node.args.get("negate") else both

    def _in(self, node: exp.In) -> Typed:
        refuse_more(node, "this", "expressions", "negate")
        if not node.expressions:
            raise ExpressionError("IN needs a list of values in parentheses", "write it as IN ('a', 'b')")
        value, *choices = unified(
            [self.compile(child) for child in (node.this, *node.expressions)], "compare", self.timezone
        )
        text = f"(in {value.text} {' '.join(choice.text for choice in choices)})"
        columns = columns_of((value, *choices))
        constants = [choice.literal for choice in choices]
        if value.kind == "string" and all(isinstance(constant, str) for constant in constants):
            expr = value.expr.is_in(pl.Series(constants, dtype=pl.String).implode())
        else:
            expr = value.expr.eq(choices[0].expr)
            for choice in choices[1:]:
                expr = expr.or_(value.expr.eq(choice.expr))
        found = Typed(expr, "boolean", text, columns=columns)
        return _not(found) if node.args.get("negate") else found

    def _like(self, node: exp.Like | exp.Escape) -> Typed:
        escape = ""
        if isinstance(node, exp.Escape):
            escape = str(node.expression.this)
            if len(escape) != 1 or not isinstance(node.this, exp.Like):
                raise ExpressionError("ESCAPE takes one character, after LIKE")
            node = node.this
        refuse_more(node, "this", "expression", "negate")
        value, pattern = self.compile(node.this), self.compile(node.expression)
        if value.kind != "string":
            raise ExpressionError(f"LIKE needs text before it, {value.text} is {_a(value.kind)}")
        if not isinstance(pattern.literal, str):
            raise ExpressionError("LIKE needs a pattern in quotes after it", "write it as LIKE 'abc%'")
        marker = f" {of_text(escape).text}" if escape else ""
        expr = like(value.expr, pattern.literal, escape)
        found = Typed(expr, "boolean", f"(like {value.text} {pattern.text}{marker})", columns=value.columns)
        return _not(found) if node.args.get("negate") else found

    # ---- choices

    def _case(self, node: exp.Case) -> Typed:
        base = self.compile(node.this) if node.this else None
        conditions: list[Typed] = []
        for branch in node.args["ifs"]:
            if base is None:
                conditions.append(self._condition(branch.this))
            else:
                conditions.append(self._compare(base, self.compile(branch.this), "="))
        default = node.args.get("default")
        results = [self.compile(branch.args["true"]) for branch in node.args["ifs"]]
        results.append(self.compile(default) if default else NULL)
        results = unified(results, "choose between", self.timezone)
        expr = results[-1].expr
        for condition, result in zip(reversed(conditions), reversed(results[:-1]), strict=True):
            expr = pl.when(condition.expr).then(result.expr).otherwise(expr)
        branches = " ".join(
            f"{condition.text} {result.text}" for condition, result in zip(conditions, results, strict=False)
        )
        return _like_one(results, expr, f"(case {branches} {results[-1].text})", (*conditions, *results))

    def _coalesce(self, node: exp.Coalesce) -> Typed:
        parts = unified(
            [self.compile(child) for child in (node.this, *node.expressions)], "choose between", self.timezone
        )
        text = f"(coalesce {' '.join(part.text for part in parts)})"
        return _like_one(parts, pl.coalesce([part.expr for part in parts]), text, parts)

    def _nullif(self, node: exp.Nullif) -> Typed:
        value, unwanted = self.compile(node.this), self.compile(node.expression)
        equal = self._compare(value, unwanted, "=")
        expr = pl.when(equal.expr.fill_null(False)).then(None).otherwise(value.expr)
        text = f"(nullif {value.text} {unwanted.text})"
        return replace(value, expr=expr, text=text, columns=equal.columns, literal=None)

    # ---- text and time

    def _letters(self, node: exp.Func, name: str) -> Typed:
        value = self.compile(node.this)
        if value.kind != "string":
            raise ExpressionError(f"{name.upper()} needs text, {value.text} is {_a(value.kind)}")
        expr = value.expr.str.to_lowercase() if name == "lower" else value.expr.str.to_uppercase()
        return Typed(expr, "string", f"({name} {value.text})", columns=value.columns)

    def _instant(self, node: exp.Expr | None, function: str) -> Typed:
        value = self.compile(node)
        if value.kind == "string" and isinstance(value.literal, str):
            return of_instant(value.literal, self.timezone)
        if value.kind != "timestamp":
            raise ExpressionError(f"{function} needs a timestamp, {value.text} is {_a(value.kind)}")
        return value

    def _date_trunc(self, node: exp.Func) -> Typed:
        refuse_more(node, "this", "unit")
        value = self._instant(node.this, "date_trunc")
        unit = node.args.get("unit")
        expr, name = instants.truncated(value.expr, str(unit.name if unit is not None else ""), self.timezone)
        return Typed(expr, "timestamp", f"(date_trunc {name} {value.text} {self.timezone})", columns=value.columns)

    def _extract(self, unit: str, node: exp.Expr) -> Typed:
        value = self._instant(node, "extract")
        expr, name = instants.extracted(value.expr, unit, self.timezone)
        return Typed(
            expr, "integer", f"(extract {name} {value.text} {self.timezone})", INTEGER_DIGITS, 0, value.columns
        )

    def _named(self, node: exp.Anonymous) -> Typed:
        if str(node.this).lower() == "date_part" and len(node.expressions) == 2:
            unit = node.expressions[0]
            if isinstance(unit, exp.Literal) and unit.is_string:
                return self._extract(str(unit.this), node.expressions[1])
        raise unsupported(node, SUPPORTED)


def _a(kind: str) -> str:
    return "null" if kind == "null" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _both(left: Typed, right: Typed) -> Typed:
    return Typed(
        left.expr & right.expr, "boolean", f"(and {left.text} {right.text})", columns=columns_of((left, right))
    )


def _either(left: Typed, right: Typed) -> Typed:
    return Typed(left.expr | right.expr, "boolean", f"(or {left.text} {right.text})", columns=columns_of((left, right)))


def _not(value: Typed) -> Typed:
    return Typed(~value.expr, "boolean", f"(not {value.text})", columns=value.columns)


def _like_one(alike: list[Typed], expr: pl.Expr, text: str, parts: tuple[Typed, ...] | list[Typed]) -> Typed:
    """A result of the type that ``alike`` were brought to."""
    digits = max(value.digits for value in alike)
    first = alike[0]
    return Typed(expr, first.kind, text, digits, first.scale, columns_of(parts))
