"""SQL of the catalog: over a source's fields as typed polars expressions, over metrics as exact fractions."""

from engine.expressions.columnar import Compiled, compile_expression
from engine.expressions.derived import Derived, Term, ZeroDenominator, compile_derived, only_adds
from engine.expressions.syntax import ExpressionError

__all__ = [
    "Compiled",
    "Derived",
    "ExpressionError",
    "Term",
    "ZeroDenominator",
    "compile_derived",
    "compile_expression",
    "only_adds",
]
