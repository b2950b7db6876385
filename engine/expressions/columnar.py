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
from dataclasses import dataclass
from typing import Final

import polars as pl
from sqlglot import exp

from engine.catalog.model import FieldType
from engine.expressions import arithmetic, conditions, instants
from engine.expressions.syntax import (
    MAX_DIGITS,
    ExpressionError,
    missing_argument,
    number_literal,
    parse,
    refuse_more,
    round_digits,
    unknown_name,
    unsupported,
)
from engine.expressions.typed import (
    INTEGER_DIGITS,
    NULL,
    TooManyDigits,
    Typed,
    of_field,
    of_instant,
    of_number,
    of_text,
    of_truth,
    with_article,
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
            exp.Neg: lambda node: arithmetic.negative(self._number(node.this, "-")),
            exp.Add: lambda node: arithmetic.added(*self._numbers(node, "+"), "+"),
            exp.Sub: lambda node: arithmetic.added(*self._numbers(node, "-"), "-"),
            exp.Mul: lambda node: arithmetic.product(*self._numbers(node, "*")),
            exp.Div: self._quotient,
            exp.Mod: lambda node: arithmetic.remainder(*self._numbers(node, "%")),
            exp.EQ: lambda node: self._comparison(node, "="),
            exp.NEQ: lambda node: self._comparison(node, "<>"),
            exp.LT: lambda node: self._comparison(node, "<"),
            exp.LTE: lambda node: self._comparison(node, "<="),
            exp.GT: lambda node: self._comparison(node, ">"),
            exp.GTE: lambda node: self._comparison(node, ">="),
            exp.And: lambda node: conditions.both(self._condition(node.left), self._condition(node.right)),
            exp.Or: lambda node: conditions.either(self._condition(node.left), self._condition(node.right)),
            exp.Not: lambda node: conditions.negated(self._condition(node.this)),
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
            exp.Abs: lambda node: arithmetic.absolute(self._number(node.this, "ABS")),
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

    def _number(self, node: exp.Expr | None, sign: str) -> Typed:
        return arithmetic.numeric(self.compile(node), sign)

    def _numbers(self, node: exp.Binary, sign: str) -> tuple[Typed, Typed]:
        return self._number(node.left, sign), self._number(node.right, sign)

    def _quotient(self, node: exp.Div) -> Typed:
        refuse_more(node, "this", "expression", "typed", "safe")
        return arithmetic.quotient(*self._numbers(node, "/"))

    def _round(self, node: exp.Round) -> Typed:
        refuse_more(node, "this", "decimals")
        return arithmetic.rounded(self._number(node.this, "ROUND"), round_digits(node))

    # ---- conditions and choices

    def _condition(self, node: exp.Expr | None) -> Typed:
        return conditions.condition(self.compile(node))

    def _comparison(self, node: exp.Binary, sign: str) -> Typed:
        refuse_more(node, "this", "expression")
        return conditions.compared(self.compile(node.left), self.compile(node.right), sign, self.timezone)

    def _is(self, node: exp.Is) -> Typed:
        value, wanted = self.compile(node.this), node.expression
        if isinstance(wanted, exp.Null):
            return conditions.is_null(value)
        if isinstance(wanted, exp.Boolean) and value.kind == "boolean":
            return conditions.is_truth(value, bool(wanted.this))
        raise ExpressionError(
            "IS takes NULL after it, or TRUE or FALSE where a boolean stands before it", "compare with ="
        )

    def _between(self, node: exp.Between) -> Typed:
        refuse_more(node, "this", "low", "high", "negate")
        value = self.compile(node.this)
        low, high = self.compile(node.args["low"]), self.compile(node.args["high"])
        return _as_negated(node, conditions.between(value, low, high, self.timezone))

    def _in(self, node: exp.In) -> Typed:
        refuse_more(node, "this", "expressions", "negate")
        if not node.expressions:
            raise ExpressionError("IN needs a list of values in parentheses", "write it as IN ('a', 'b')")
        value, *choices = (self.compile(child) for child in (node.this, *node.expressions))
        return _as_negated(node, conditions.one_of(value, choices, self.timezone))

    def _like(self, node: exp.Like | exp.Escape) -> Typed:
        escape = ""
        if isinstance(node, exp.Escape):
            escape = str(node.expression.this)
            if len(escape) != 1 or not isinstance(node.this, exp.Like):
                raise ExpressionError("ESCAPE takes one character, after LIKE")
            node = node.this
        refuse_more(node, "this", "expression", "negate")
        value, pattern = self.compile(node.this), self.compile(node.expression)
        return _as_negated(node, conditions.matching(value, pattern, escape))

    def _case(self, node: exp.Case) -> Typed:
        base = self.compile(node.this) if node.this else None
        branches = node.args["ifs"]
        if base is None:
            met = [self._condition(branch.this) for branch in branches]
        else:
            met = [conditions.compared(base, self.compile(branch.this), "=", self.timezone) for branch in branches]
        default = node.args.get("default")
        results = [self.compile(branch.args["true"]) for branch in branches]
        return conditions.chosen(met, [*results, self.compile(default) if default else NULL], self.timezone)

    def _coalesce(self, node: exp.Coalesce) -> Typed:
        return conditions.coalesced([self.compile(child) for child in (node.this, *node.expressions)], self.timezone)

    def _nullif(self, node: exp.Nullif) -> Typed:
        return conditions.null_if(self.compile(node.this), self.compile(node.expression), self.timezone)

    # ---- text and time

    def _letters(self, node: exp.Func, name: str) -> Typed:
        value = self.compile(node.this)
        if value.kind != "string":
            raise ExpressionError(f"{name.upper()} needs text, {value.text} is {with_article(value.kind)}")
        expr = value.expr.str.to_lowercase() if name == "lower" else value.expr.str.to_uppercase()
        return Typed(expr, "string", f"({name} {value.text})", columns=value.columns)

    def _instant(self, node: exp.Expr | None, function: str) -> Typed:
        value = self.compile(node)
        if value.kind == "string" and isinstance(value.literal, str):
            return of_instant(value.literal, self.timezone)
        if value.kind != "timestamp":
            raise ExpressionError(f"{function} needs a timestamp, {value.text} is {with_article(value.kind)}")
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


def _as_negated(node: exp.Expr, found: Typed) -> Typed:
    """NOT of it where the node has its NOT inside, as NOT IN does."""
    return conditions.negated(found) if node.args.get("negate") else found
