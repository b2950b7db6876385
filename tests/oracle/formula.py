"""Derived KPIs' arithmetic: exact fractions, SQL's treatment of nulls.

The subset that is also Python's grammar: names, numbers, + - * /, unary minus, NULLIF, COALESCE, ABS. Anything else
is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

Term = tuple[str, str]  # metric, offset as written ("" for none)

_TERM = re.compile(r"\b([A-Za-z_]\w*)@(\d+)\s*(months?|quarters?|years?|[smhdw])\b")


class ZeroDenominator(Exception):
    """A division by zero somewhere in the formula."""


class Formula:
    """``text`` over metrics; ``terms`` are what it needs, in the order of their first use."""

    def __init__(self, text: str) -> None:
        self._named: dict[str, Term] = {}

        def rename(match: re.Match[str]) -> str:
            name = f"{match[1]}__at__{match[2]}_{match[3]}"
            self._named[name] = (match[1], f"{match[2]} {match[3].rstrip('s') if len(match[3]) > 1 else match[3]}")
            return name

        self._tree = ast.parse(" ".join(_TERM.sub(rename, text).split()), mode="eval").body
        functions = {id(node.func) for node in ast.walk(self._tree) if isinstance(node, ast.Call)}
        names = [node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name) and id(node) not in functions]
        self.terms: tuple[Term, ...] = tuple(
            dict.fromkeys(self._named.get(name, (name, "")) for name in names if name.lower() != "null")
        )
        self.divides = any(isinstance(node, ast.Div) for node in ast.walk(self._tree))
        self._text = text

    def evaluate(self, values: Mapping[Term, Fraction | None]) -> Fraction | None:
        return self._value(self._tree, values)

    def _value(self, node: ast.expr, values: Mapping[Term, Fraction | None]) -> Fraction | None:
        match node:
            case ast.Constant(value=int() | float() as number):
                return Fraction(Decimal(str(number)))
            case ast.Name(id=name):
                return None if name.lower() == "null" else values[self._named.get(name, (name, ""))]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._value(operand, values)
                return None if value is None else -value
            case ast.BinOp(left=left, op=operator, right=right):
                return _apply(operator, self._value(left, values), self._value(right, values))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name.lower(), arguments, values)
        raise NotImplementedError(f"{ast.dump(node)} in {self._text!r}")

    def _call(self, name: str, arguments: list[ast.expr], values: Mapping[Term, Fraction | None]) -> Fraction | None:
        if name == "coalesce":
            for argument in arguments:
                if (value := self._value(argument, values)) is not None:
                    return value
            return None
        evaluated = [self._value(argument, values) for argument in arguments]
        if name == "nullif":
            return None if evaluated[0] == evaluated[1] else evaluated[0]
        if name == "abs":
            return None if evaluated[0] is None else abs(evaluated[0])
        raise NotImplementedError(f"{name}() in {self._text!r}")


def _apply(operator: ast.operator, left: Fraction | None, right: Fraction | None) -> Fraction | None:
    if left is None or right is None:
        return None
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            if right == 0:
                raise ZeroDenominator
            return left / right
    raise NotImplementedError(ast.dump(operator))
