"""SQL text to a syntax tree, with the bounds and the refusals that hold for every expression.

The tree is sqlglot's; what it means is decided by `columnar` and `derived`, which know each node they accept and refuse
every other, so that a newer grammar cannot slip in a meaning nobody checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Final

from sqlglot import Dialect, exp
from sqlglot.errors import ParseError, TokenError

MAX_CHARACTERS: Final = 10_000
MAX_DEPTH: Final = 150
MAX_DIGITS: Final = 38  # of a decimal: what 128 bits hold

_DIALECT: Final = Dialect.get_or_raise("duckdb")

# Of the grammar, not of the words it is spelled with: sqlglot's name for what our messages call by another.
_SPOKEN: Final = {
    "dpipe": "||",
    "intdiv": "integer division",
    "ilike": "ILIKE",
    "regexplike": "a regular expression",
    "anonymous": "this function",
    "star": "*",
    "placeholder": "a placeholder",
    "alias": "a name after an expression",
    "subquery": "a query",
    "select": "a query",
    "struct": "{ }",
    "array": "[ ]",
    "bracket": "[ ]",
    "dot": "a dotted name",
    "tuple": "a list in parentheses",
    "window": "OVER",
}


class ExpressionError(ValueError):
    """The expression cannot be used. ``message`` says why, ``hint`` what to write instead (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint


def parse(sql: str) -> exp.Expr:
    """Read one expression. Raises ExpressionError for what is not one, is too large, or holds comments."""
    if not sql.strip():
        raise ExpressionError("the expression is empty")
    if len(sql) > MAX_CHARACTERS:
        raise ExpressionError(f"the expression has {len(sql):,} characters, more than {MAX_CHARACTERS:,}")
    try:
        trees = _DIALECT.parse(sql)
    except ParseError as error:
        raise _not_sql(error) from None
    except TokenError:
        raise ExpressionError("not an SQL expression: a quote or comment is not closed", "close it") from None
    except RecursionError:
        raise _too_deep() from None
    if len(trees) != 1 or trees[0] is None:
        raise ExpressionError("more than one expression", "remove the ; and what follows")
    tree = trees[0]
    if "trunc" in sql.casefold():
        _check_truncations(sql)
    _check_shape(tree)
    return tree


def _not_sql(error: ParseError) -> ExpressionError:
    first = error.errors[0] if error.errors else {}
    description = str(first.get("description") or "it cannot be read").strip().rstrip(".").lower()
    if description.startswith("required keyword"):
        description = "something is missing"
    column = first.get("col")
    where = f" at column {column}" if column else ""
    near = str(first.get("highlight") or "").strip()
    return ExpressionError(
        f"not an SQL expression: {description}{where}" + (f", near {near}" if near else ""),
        "check parentheses, commas and operators; a name that is a word of SQL is written in double quotes",
    )


def _too_deep() -> ExpressionError:
    return ExpressionError(f"nested more than {MAX_DEPTH} levels deep", "use IN for long chains of OR")


def _check_shape(tree: exp.Expr) -> None:
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if node.comments:
            raise ExpressionError("a comment within an expression", "write it as a YAML comment, with #")
        pending.extend((child, depth + 1) for child in node.iter_expressions())


def _check_truncations(sql: str) -> None:
    """The grammar reads a third argument of date_trunc, a time zone, and drops it: so it is looked for before."""
    tokens = _DIALECT.tokenize(sql)
    for number, token in enumerate(tokens):
        if token.text.casefold() not in ("date_trunc", "datetrunc"):
            continue
        depth = commas = 0
        for following in tokens[number + 1 :]:
            depth += (following.text == "(") - (following.text == ")")
            commas += depth == 1 and following.text == ","
            if depth == 0:
                break
        if commas > 1:
            raise ExpressionError("date_trunc takes a unit and a timestamp", "its time zone is the source's timezone")


def unsupported(node: exp.Expr, supported: str) -> ExpressionError:
    """What to say of a node that no rule accepts."""
    if isinstance(node, exp.AggFunc):
        return ExpressionError(
            f"{node.key.upper()} cannot stand in an expression",
            "an expression sees one event; the metric's agg does the aggregating",
        )
    if isinstance(node, exp.Anonymous):
        name = str(node.this)
        return ExpressionError(f"there is no function {name}", f"use {supported}")
    spoken = _SPOKEN.get(node.key)
    if spoken is None:
        spoken = node.sql_names()[0] if isinstance(node, exp.Func) else node.key.upper()
    return ExpressionError(f"{spoken} is not part of the catalog's expressions", f"use {supported}")


def missing_argument() -> ExpressionError:
    return ExpressionError("an argument is missing", "check the parentheses of each function")


def refuse_more(node: exp.Expr, *known: str) -> None:
    """Refuse an argument that the rule for this node does not read, so that nothing written is ignored."""
    for name, value in node.args.items():
        if value and name not in known:
            raise ExpressionError(f"{node.sql(dialect='duckdb')}: {name} is not part of the catalog's expressions")


def unknown_name(kind: str, name: str, known: Iterable[str], *, quoted: bool = False) -> ExpressionError:
    """An unknown field or metric, with the names that come close. ``quoted``: it may have been meant as text."""
    names = sorted(known)
    by_folded = {candidate.casefold(): candidate for candidate in names}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.8 if quoted else 0.6)
    if close:
        return ExpressionError(f'unknown {kind} "{name}"', f'did you mean "{by_folded[close[0]]}"?')
    if quoted:
        return ExpressionError(f'unknown {kind} "{name}"', f"text is written in single quotes: '{name}'")
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return ExpressionError(f'unknown {kind} "{name}"', f"{kind}s are: {shown}" if names else f"there are no {kind}s")


def number_literal(node: exp.Literal) -> Decimal:
    """The exact value of a number as written."""
    try:
        value = Decimal(str(node.this))
    except InvalidOperation as error:  # as in 1e, which SQL's tokens allow
        raise ExpressionError(f"{node.this} is not a number") from error
    if value.is_zero():
        value = Decimal(0) if value.as_tuple().exponent >= 0 else value  # type: ignore[operator]
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ExpressionError(f"{node.this} is not a number")
    if exponent > MAX_DIGITS or -exponent > MAX_DIGITS or len(value.as_tuple().digits) + max(exponent, 0) > MAX_DIGITS:
        raise ExpressionError(f"the number {node.this} has more than {MAX_DIGITS} digits")
    return Decimal(int(value)) if exponent > 0 else value


def finite_reciprocal(value: Decimal) -> Decimal | None:
    """1 / value as a decimal of at most 12 fraction digits, or None where it has no such form (value is not zero)."""
    numerator, denominator = value.as_integer_ratio()
    digits = 0
    while (10**digits * denominator) % numerator:
        digits += 1
        if digits > 12:
            return None
    return Decimal(10**digits * denominator // numerator).scaleb(-digits)


def round_digits(node: exp.Round) -> int:
    """The second argument of ROUND: how many fraction digits stay, 0 to 12."""
    given = node.args.get("decimals")
    if given is None:
        return 0
    if not isinstance(given, exp.Literal) or given.is_string or not str(given.this).isdigit() or int(given.this) > 12:
        raise ExpressionError("ROUND takes a whole number from 0 to 12 as its second argument")
    return int(given.this)
