"""Expressions over metrics: exact arithmetic on fractions, with SQL's rules for null.

``revenue@30d`` is the metric one offset earlier. It is compiled to closures once and evaluated for each value of a
KPI; a division by zero is not null but `ZeroDenominator`, so that the value can say why it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from sqlglot import exp

from engine.catalog.model import Offset
from engine.event_time.durations import parse_offset
from engine.expressions.syntax import (
    ExpressionError,
    finite_reciprocal,
    missing_argument,
    number_literal,
    parse,
    refuse_more,
    round_digits,
    unknown_name,
    unsupported,
)

Term = tuple[str, Offset | None]
Values = Mapping[Term, Fraction | None]
Kind = Literal["number", "boolean", "null"]
Evaluate = Callable[[Values], Fraction | bool | None]

SUPPORTED: Final = "+ - * /, comparisons, AND OR NOT, IN, BETWEEN, IS NULL, CASE, COALESCE, NULLIF, ABS, ROUND"
_SHIFTED: Final = re.compile(r'(?P<metric>[A-Za-z_]\w*|"[^"]*")\s*@\s*(?P<amount>\d+)\s*(?P<unit>[A-Za-z]+)')
_PLACEHOLDER: Final = "__shifted_"
_ADDING: Final = (exp.Add, exp.Sub, exp.Neg, exp.Paren, exp.Column, exp.Identifier)


class ZeroDenominator(ArithmeticError):
    """A division by zero within a derived value: the value is null, reason ``zero_denominator``."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A compiled derived expression.

    ``terms`` in order of appearance, each once. ``divides`` says whether the result may need rounding. ``canonical`` is
    the same for expressions that differ in spacing, case of keywords and superfluous parentheses only.
    """

    terms: tuple[Term, ...]
    divides: bool
    canonical: str
    _evaluate: Evaluate

    def evaluate(self, values: Values) -> Fraction | None:
        """The value, or None where SQL gives null. Raises ZeroDenominator, and KeyError for a missing term."""
        result = self._evaluate(values)
        return result if isinstance(result, Fraction) else None


@dataclass(frozen=True, slots=True)
class _Part:
    kind: Kind
    evaluate: Evaluate
    text: str


def compile_derived(sql: str, metrics: Collection[str] | None = None) -> Derived:
    """Compile an expression over ``metrics`` (None: any name is one). Raises ExpressionError."""
    compiler = _Compiler(metrics)
    part = compiler.compile(parse(compiler.take_offsets(sql)))
    if part.kind != "number":
        raise ExpressionError(f"the expression gives {_spoken(part.kind)}, not a number")
    if not compiler.terms:
        raise ExpressionError("the expression names no metric")
    return Derived(tuple(compiler.terms), compiler.divides, part.text, part.evaluate)


def only_adds(sql: str) -> bool:
    """Whether an expression is a sum of metrics, some with a minus: then its parts over time add up to it."""
    try:
        tree = parse(_Compiler(None).take_offsets(sql))
    except ExpressionError:
        return True  # what is wrong with it is told elsewhere
    return "@" not in sql and all(isinstance(node, _ADDING) for node in tree.walk())


def _spoken(kind: Kind) -> str:
    return {"number": "a number", "boolean": "true or false", "null": "null"}[kind]


class _Compiler:
    def __init__(self, metrics: Collection[str] | None) -> None:
        self.metrics = metrics
        self.terms: dict[Term, None] = {}
        self.divides = False
        self._shifted: list[Term] = []
        self._rules: dict[type[exp.Expr], Callable[..., _Part]] = {
            exp.Paren: lambda node: self.compile(node.this),
            exp.Literal: self._literal,
            exp.Null: lambda node: _Part("null", lambda values: None, "null"),
            exp.Boolean: self._boolean,
            exp.Column: self._column,
            exp.Neg: self._negative,
            exp.Add: lambda node: self._arithmetic(node, "+", lambda a, b: a + b),
            exp.Sub: lambda node: self._arithmetic(node, "-", lambda a, b: a - b),
            exp.Mul: lambda node: self._arithmetic(node, "*", lambda a, b: a * b),
            exp.Div: self._division,
            exp.EQ: lambda node: self._comparison(node, "=", lambda a, b: a == b),
            exp.NEQ: lambda node: self._comparison(node, "<>", lambda a, b: a != b),
            exp.LT: lambda node: self._comparison(node, "<", lambda a, b: a < b),
            exp.LTE: lambda node: self._comparison(node, "<=", lambda a, b: a <= b),
            exp.GT: lambda node: self._comparison(node, ">", lambda a, b: a > b),
            exp.GTE: lambda node: self._comparison(node, ">=", lambda a, b: a >= b),
            exp.And: lambda node: self._connective(node, "and", False),
            exp.Or: lambda node: self._connective(node, "or", True),
            exp.Not: self._not,
            exp.Is: self._is,
            exp.Between: self._between,
            exp.In: self._in,
            exp.Case: self._case,
            exp.Coalesce: self._coalesce,
            exp.Nullif: self._nullif,
            exp.Abs: self._abs,
            exp.Round: self._round,
        }

    def take_offsets(self, sql: str) -> str:
        """Replace each ``metric@offset`` by a name of its own, which the SQL grammar can read."""

        def replace(match: re.Match[str]) -> str:
            amount, unit = match["amount"], match["unit"]
            try:
                offset = parse_offset(amount + unit if len(unit) == 1 else f"{amount} {unit.lower()}")
            except ValueError as error:
                raise ExpressionError(f"{match[0]}: {error}", "write metric@30d or metric@1 month") from None
            self._shifted.append((match["metric"].strip('"'), offset))
            return f"{_PLACEHOLDER}{len(self._shifted) - 1}"

        replaced = _SHIFTED.sub(replace, sql)
        if "@" in replaced:
            raise ExpressionError(
                "@ without a metric before and an offset after it", "write metric@30d or metric@1 month"
            )
        return replaced

    def compile(self, node: exp.Expr | None) -> _Part:
        if node is None:
            raise missing_argument()
        rule = self._rules.get(type(node))
        if rule is None:
            raise unsupported(node, SUPPORTED)
        return rule(node)

    def number(self, node: exp.Expr | None) -> _Part:
        part = self.compile(node)
        if part.kind == "boolean":
            raise ExpressionError(f"{part.text} is true or false where a number is needed")
        return part

    def condition(self, node: exp.Expr | None) -> _Part:
        part = self.compile(node)
        if part.kind == "number":
            raise ExpressionError(f"{part.text} is a number where a condition is needed", "compare it, as in > 0")
        return part

    def _literal(self, node: exp.Literal) -> _Part:
        if node.is_string:
            raise ExpressionError(f"text '{node.this}' in an expression over metrics", "metrics are numbers")
        value = Fraction(number_literal(node))
        return _Part("number", lambda values: value, str(value))

    def _boolean(self, node: exp.Boolean) -> _Part:
        value = bool(node.this)
        return _Part("boolean", lambda values: value, str(value).lower())

    def _column(self, node: exp.Column) -> _Part:
        refuse_more(node, "this")
        name = node.name
        if name.startswith(_PLACEHOLDER):
            term = self._shifted[int(name.removeprefix(_PLACEHOLDER))]
        else:
            term = (name, None)
        if self.metrics is not None and term[0] not in self.metrics:
            raise unknown_name("metric", term[0], self.metrics)
        self.terms.setdefault(term)
        offset = f"@{term[1]}" if term[1] is not None else ""
        return _Part("number", lambda values: values[term], f'"{term[0]}"{offset}')

    def _negative(self, node: exp.Neg) -> _Part:
        inner = self.number(node.this)

        def evaluate(values: Values) -> Fraction | None:
            value = inner.evaluate(values)
            return None if value is None else -Fraction(value)

        return _Part("number", evaluate, f"(- {inner.text})")

    def _arithmetic(self, node: exp.Binary, sign: str, apply: Callable[[Fraction, Fraction], Fraction]) -> _Part:
        left, right = self.number(node.left), self.number(node.right)

        def evaluate(values: Values) -> Fraction | None:
            a, b = left.evaluate(values), right.evaluate(values)
            return None if a is None or b is None else apply(Fraction(a), Fraction(b))

        return _Part("number", evaluate, f"({sign} {left.text} {right.text})")

    def _division(self, node: exp.Div) -> _Part:
        refuse_more(node, "this", "expression", "typed", "safe")
        below = node.right.unnest()
        if isinstance(below, exp.Literal) and not below.is_string:
            value = number_literal(below)
            if value == 0:
                raise ExpressionError("division by zero")
            self.divides = self.divides or finite_reciprocal(value) is None
        else:
            self.divides = True

        def divide(a: Fraction, b: Fraction) -> Fraction:
            if b == 0:
                raise ZeroDenominator
            return a / b

        return self._arithmetic(node, "/", divide)

    def _comparison(self, node: exp.Binary, sign: str, holds: Callable[[Fraction, Fraction], bool]) -> _Part:
        return _compare(self.number(node.left), self.number(node.right), sign, holds)

    def _connective(self, node: exp.Connector, sign: str, deciding: bool) -> _Part:
        return _connect(self.condition(node.left), self.condition(node.right), sign, deciding)

    def _not(self, node: exp.Not) -> _Part:
        return _negate(self.condition(node.this))

    def _is(self, node: exp.Is) -> _Part:
        inner, wanted = self.compile(node.this), node.expression
        if isinstance(wanted, exp.Null):
            return _Part("boolean", lambda values: inner.evaluate(values) is None, f"(is-null {inner.text})")
        if isinstance(wanted, exp.Boolean) and inner.kind != "number":
            value = bool(wanted.this)
            return _Part(
                "boolean", lambda values: inner.evaluate(values) is value, f"(is {inner.text} {str(value).lower()})"
            )
        raise ExpressionError("IS takes NULL, TRUE or FALSE after it")

    def _between(self, node: exp.Between) -> _Part:
        refuse_more(node, "this", "low", "high", "negate")
        value, low, high = self.number(node.this), self.number(node.args["low"]), self.number(node.args["high"])
        above = _compare(value, low, ">=", lambda a, b: a >= b)
        below = _compare(value, high, "<=", lambda a, b: a <= b)
        part = _connect(above, below, "and", False)
        return _negate(part) if node.args.get("negate") else part

    def _in(self, node: exp.In) -> _Part:
        refuse_more(node, "this", "expressions", "negate")
        if not node.expressions:
            raise ExpressionError("IN needs at least one value")
        value = self.number(node.this)
        choices = [self.number(choice) for choice in node.expressions]
        part = _compare(value, choices[0], "=", lambda a, b: a == b)
        for choice in choices[1:]:
            part = _connect(part, _compare(value, choice, "=", lambda a, b: a == b), "or", True)
        return _negate(part) if node.args.get("negate") else part

    def _case(self, node: exp.Case) -> _Part:
        base = self.number(node.this) if node.this else None
        branches: list[tuple[_Part, _Part]] = []
        for branch in node.args["ifs"]:
            if base is None:
                when = self.condition(branch.this)
            else:
                when = _compare(base, self.number(branch.this), "=", lambda a, b: a == b)
            branches.append((when, self.number(branch.args["true"])))
        default = node.args.get("default")
        otherwise = self.number(default) if default else _Part("null", lambda values: None, "null")

        def evaluate(values: Values) -> Fraction | bool | None:
            for when, then in branches:
                if when.evaluate(values) is True:
                    return then.evaluate(values)
            return otherwise.evaluate(values)

        text = " ".join(f"{when.text} {then.text}" for when, then in branches)
        return _Part("number", evaluate, f"(case {text} {otherwise.text})")

    def _coalesce(self, node: exp.Coalesce) -> _Part:
        parts = [self.number(child) for child in (node.this, *node.expressions)]

        def evaluate(values: Values) -> Fraction | bool | None:
            for part in parts:
                value = part.evaluate(values)
                if value is not None:
                    return value
            return None

        return _Part("number", evaluate, f"(coalesce {' '.join(part.text for part in parts)})")

    def _nullif(self, node: exp.Nullif) -> _Part:
        value, unwanted = self.number(node.this), self.number(node.expression)

        def evaluate(values: Values) -> Fraction | bool | None:
            found = value.evaluate(values)
            other = unwanted.evaluate(values)
            return None if found is not None and found == other else found

        return _Part("number", evaluate, f"(nullif {value.text} {unwanted.text})")

    def _abs(self, node: exp.Abs) -> _Part:
        inner = self.number(node.this)

        def evaluate(values: Values) -> Fraction | None:
            value = inner.evaluate(values)
            return None if value is None else abs(Fraction(value))

        return _Part("number", evaluate, f"(abs {inner.text})")

    def _round(self, node: exp.Round) -> _Part:
        refuse_more(node, "this", "decimals")
        inner, digits = self.number(node.this), round_digits(node)

        def evaluate(values: Values) -> Fraction | None:
            value = inner.evaluate(values)
            return None if value is None else round_half_away(Fraction(value), digits)

        return _Part("number", evaluate, f"(round {inner.text} {digits})")


def round_half_away(value: Fraction, digits: int) -> Fraction:
    """Rounded to so many fraction digits, halves away from zero, as SQL rounds."""
    scale = 10**digits
    scaled = abs(value) * scale
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if value >= 0 else -whole, scale)


def _compare(left: _Part, right: _Part, sign: str, holds: Callable[[Fraction, Fraction], bool]) -> _Part:
    if "null" in (left.kind, right.kind):
        raise ExpressionError("a comparison with NULL is never true", "write IS NULL or IS NOT NULL")

    def evaluate(values: Values) -> bool | None:
        a, b = left.evaluate(values), right.evaluate(values)
        return None if a is None or b is None else holds(Fraction(a), Fraction(b))

    return _Part("boolean", evaluate, f"({sign} {left.text} {right.text})")


def _connect(left: _Part, right: _Part, sign: str, deciding: bool) -> _Part:
    """AND (decided by a false) or OR (decided by a true) of three-valued logic."""

    def evaluate(values: Values) -> bool | None:
        a = left.evaluate(values)
        if a is deciding:
            return deciding
        b = right.evaluate(values)
        if b is deciding:
            return deciding
        return None if a is None or b is None else not deciding

    return _Part("boolean", evaluate, f"({sign} {left.text} {right.text})")


def _negate(part: _Part) -> _Part:
    def evaluate(values: Values) -> bool | None:
        value = part.evaluate(values)
        return None if value is None else not value

    return _Part("boolean", evaluate, f"(not {part.text})")
