"""Values of an expression while it is being compiled: a polars expression and what is known of it.

Arithmetic on integers and decimals is exact, and cannot overflow at run time: each value carries a bound of its digits,
as SQL's decimals do, and one that might need more than 38 is refused when the catalog is loaded. So ``integer +
integer`` is a decimal without fraction digits, wider than 64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import numpy as np
import polars as pl

from engine.catalog.model import FieldKind, FieldType
from engine.event_time.zones import zone
from engine.expressions.syntax import MAX_DIGITS, ExpressionError

Kind = FieldKind | Literal["null"]
INTEGER_DIGITS: Final = 19  # of a 64 bit integer
_EPOCH: Final = datetime(1970, 1, 1)
NUMERIC: Final = frozenset({"integer", "decimal", "number"})


@dataclass(frozen=True, slots=True)
class Typed:
    """``digits`` and ``scale`` bound an integer or decimal: at most so many digits, so many of them behind the point.

    ``text`` is the canonical form. ``literal`` is the value of a constant, else None.
    """

    expr: pl.Expr
    kind: Kind
    text: str
    digits: int = 0
    scale: int = 0
    columns: frozenset[str] = field(default_factory=frozenset)
    literal: Decimal | str | bool | None = None

    @property
    def shown(self) -> str:
        """The type in the words of the catalog."""
        return f"decimal({self.digits},{self.scale})" if self.kind == "decimal" else self.kind

    @property
    def type(self) -> FieldType:
        if self.kind == "null":
            raise ExpressionError("the expression is always null")
        if self.kind == "decimal":
            return FieldType("decimal", self.digits, self.scale)
        return FieldType(self.kind)


def with_article(kind: Kind) -> str:
    """``a string``, ``an integer``; ``null`` has none."""
    return "null" if kind == "null" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def of_field(name: str, declared: FieldType) -> Typed:
    digits = {"integer": INTEGER_DIGITS, "decimal": declared.precision}.get(declared.kind, 0)
    return Typed(pl.col(name), declared.kind, f'"{name}"', digits, declared.scale, frozenset({name}))


def of_number(value: Decimal) -> Typed:
    """A number as written: an integer where it fits 64 bits and has no fraction digits, else a decimal."""
    sign, figures, exponent = value.as_tuple()
    scale = -exponent if isinstance(exponent, int) else 0
    digits = max(len(figures), scale, 1)
    if scale == 0 and -(2**63) <= value < 2**63:
        return Typed(pl.lit(int(value), dtype=pl.Int64), "integer", str(int(value)), digits, 0, literal=value)
    return Typed(
        pl.lit(value, dtype=pl.Decimal(MAX_DIGITS, scale)), "decimal", f"{value:f}", digits, scale, literal=value
    )


def of_text(value: str) -> Typed:
    return Typed(pl.lit(value, dtype=pl.String), "string", "'" + value.replace("'", "''") + "'", literal=value)


def of_truth(value: bool) -> Typed:
    return Typed(pl.lit(value, dtype=pl.Boolean), "boolean", str(value).lower(), literal=value)


NULL: Final = Typed(pl.lit(None), "null", "null")


def of_instant(text: str, timezone: str) -> Typed:
    """A timestamp in ISO 8601; without an offset it is local to ``timezone``, the first of two where clocks go back."""
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            wall_us = (moment - _EPOCH) // timedelta(microseconds=1)
            moment = _EPOCH + timedelta(microseconds=int(zone(timezone).to_utc(np.array([wall_us]))[0]))
        else:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ExpressionError(
            f"'{text}' is not a timestamp", "write it as '2026-01-31' or '2026-01-31 08:30:00'"
        ) from None
    literal = pl.lit(moment, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
    return Typed(literal, "timestamp", f"timestamp {moment.isoformat()}Z")


def as_decimal(value: Typed, scale: int) -> pl.Expr:
    """An integer or decimal as Decimal(38, scale); ``scale`` is not below the value's own."""
    if value.kind == "decimal" and value.scale == scale:
        return value.expr
    if value.kind == "null":
        return pl.lit(None, dtype=pl.Decimal(MAX_DIGITS, scale))
    return value.expr.cast(pl.Decimal(MAX_DIGITS, scale))


def as_float(value: Typed) -> pl.Expr:
    return value.expr if value.kind == "number" else value.expr.cast(pl.Float64)


class TooManyDigits(Exception):
    """A result that may not fit a decimal; whoever knows the text of the expression says so."""

    def __init__(self, digits: int) -> None:
        super().__init__(digits)
        self.digits = digits


def decimal(expr: pl.Expr, text: str, digits: int, scale: int, *parts: Typed) -> Typed:
    """A decimal result. Raises TooManyDigits when it may need more than there are."""
    if digits > MAX_DIGITS:
        raise TooManyDigits(digits)
    return Typed(expr, "decimal", text, digits, scale, columns_of(parts))


def columns_of(parts: Sequence[Typed]) -> frozenset[str]:
    return frozenset[str]().union(*(part.columns for part in parts))


def unified(values: Sequence[Typed], doing: str, timezone: str) -> list[Typed]:
    """The values brought to one type, as a comparison, CASE, COALESCE or IN needs.

    Integers become decimals beside decimals, both become numbers beside a number; text becomes a timestamp beside one.
    Raises ExpressionError, saying what was being done, for anything else.
    """
    if any(value.kind == "timestamp" for value in values):
        values = [
            of_instant(value.literal, timezone) if value.kind == "string" and isinstance(value.literal, str) else value
            for value in values
        ]
    kinds = {value.kind for value in values if value.kind != "null"}
    if not kinds:
        return list(values)
    if len(kinds) == 1 and kinds <= {"string", "boolean", "timestamp", "number", "integer"}:
        return [_null_of(value, next(iter(kinds))) for value in values]
    if not kinds <= NUMERIC:
        raise _mixed(values, doing)
    if "number" in kinds:
        return [replace(value, expr=as_float(value), kind="number", digits=0, scale=0) for value in values]
    scale = max(value.scale for value in values)
    digits = max(value.digits - value.scale for value in values) + scale
    return [
        replace(decimal(as_decimal(value, scale), value.text, digits, scale, value), literal=value.literal)
        for value in values
    ]


def _null_of(value: Typed, kind: Kind) -> Typed:
    if value.kind != "null":
        return value
    dtype = {
        "string": pl.String(),
        "boolean": pl.Boolean(),
        "timestamp": pl.Datetime("us", "UTC"),
        "number": pl.Float64(),
        "integer": pl.Int64(),
    }[kind]
    return replace(value, expr=pl.lit(None, dtype=dtype), kind=kind)


def _mixed(values: Sequence[Typed], doing: str) -> ExpressionError:
    shown = " and ".join(dict.fromkeys(f"{value.text} ({value.shown})" for value in values if value.kind != "null"))
    hint = "bring them to one type"
    kinds = {value.kind for value in values}
    if "string" in kinds and kinds & NUMERIC:
        texts = (value for value in values if value.kind == "string" and isinstance(value.literal, str))
        text = next((value for value in texts if re.fullmatch(r"[-+]?[0-9.]+", str(value.literal))), None)
        number = next((value for value in values if value.kind in NUMERIC and value.literal is not None), None)
        if text is not None:
            hint = f"a number is written without quotes: {text.literal}"
        elif number is not None:
            hint = f"text is written in single quotes: '{number.text}'"
    elif "boolean" in kinds:
        hint = "a boolean stands alone, or is compared with TRUE or FALSE"
    return ExpressionError(f"cannot {doing} {shown}", hint)
