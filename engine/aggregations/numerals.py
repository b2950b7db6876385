"""Numbers as text and back: plain JSON numbers, rounded half even where they must be rounded at all."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import isqrt

import polars as pl

SIGNIFICANT = 12  # digits of a quotient (catalog.md: averages, variance and ratios)

_QUOTIENT = Context(prec=SIGNIFICANT, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
_DOUBLE_SUM = Context(prec=15, rounding=ROUND_HALF_EVEN)
_DOUBLE_FRACTION = 12
_PLAIN_DOWN_TO = -40
_PLAIN_UP_TO = 80  # a variance of decimals of 38 digits has 76


def plain(number: Decimal) -> str:
    """The number's digits without an exponent (but for extremes) and without trailing zeros."""
    if not number:
        return "0"
    if not _PLAIN_DOWN_TO <= number.adjusted() <= _PLAIN_UP_TO:
        sign, digits, _ = number.as_tuple()
        text = "".join(map(str, digits)).rstrip("0")
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{'-' if sign else ''}{text[0]}{fraction}e{number.adjusted()}"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quotient(numerator: int, denominator: int) -> str:
    """``numerator / denominator`` to 12 significant digits, half even. Both are exact, so it is rounded once."""
    return plain(_QUOTIENT.divide(Decimal(numerator), Decimal(denominator)))


def square_root(numerator: int, denominator: int) -> str:
    """The square root of a quotient to 12 significant digits, half even, rounded once.

    sqrt(p/q) = sqrt(p q 10^2k) / (q 10^k). Where the integer root is not exact, a half stands for the rest: it lies
    strictly between two points of a grid finer than any rounding boundary, hence on the right side of all of them.
    """
    if numerator == 0:
        return "0"
    magnitude = (len(str(numerator)) - len(str(denominator))) // 2 - 1
    digits = max(0, SIGNIFICANT + 4 - magnitude)
    radicand = numerator * denominator * 10 ** (2 * digits)
    root = isqrt(radicand)
    rest = 0 if root * root == radicand else 1
    return quotient(2 * root + rest, 2 * denominator * 10**digits)


def number_text(value: Fraction, *, divided: bool, doubles: bool) -> str:
    """A ratio or derived value: a quotient to 12 significant digits, what sums of doubles are in as `double_sum`,
    anything else with all its digits.
    """
    numerator, denominator = value.numerator, value.denominator
    if divided:
        return quotient(numerator, denominator)
    if doubles:
        return double_sum(numerator, denominator)
    digits, rest = 0, denominator
    while rest % 10 == 0:
        rest, digits = rest // 10, digits + 1
    for factor in (2, 5):
        while rest % factor == 0:
            rest, digits = rest // factor, digits + 1
    if rest != 1:
        return quotient(numerator, denominator)
    return plain(Decimal(int_text(numerator * 10**digits // denominator, digits)))


def double_sum(numerator: int, denominator: int) -> str:
    """A sum of scaled doubles: up to 15 significant digits, and up to 12 of the fraction.

    The scaling leaves up to 2^-41 of error an event, so that further digits are noise.
    """
    number = _DOUBLE_SUM.divide(Decimal(numerator), Decimal(denominator))
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_DOUBLE_FRACTION:
        units, rest = divmod(numerator * 10**_DOUBLE_FRACTION, denominator)
        units += 2 * rest > denominator or (2 * rest == denominator and units % 2)  # half even
        number = Decimal(units).scaleb(-_DOUBLE_FRACTION)
    return plain(number)


def rounded_double(number: float) -> str:
    """A double to 12 significant digits."""
    return plain(_QUOTIENT.create_decimal(Decimal(number)))


def unscaled_text(unscaled: pl.Expr, scale: int) -> pl.Expr:
    """An Int128 count of 10^-scale units as text with exactly ``scale`` fraction digits."""
    if scale == 0:
        return unscaled.cast(pl.String)
    digits = unscaled.abs().cast(pl.String).str.zfill(scale + 1)
    sign = pl.when(unscaled < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, digits.str.head(-scale), pl.lit("."), digits.str.tail(scale))


def int_text(unscaled: int, scale: int) -> str:
    """The same for one Python integer."""
    if scale == 0:
        return str(unscaled)
    digits = str(abs(unscaled)).zfill(scale + 1)
    return f"{'-' if unscaled < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def double_text(doubles: pl.Series) -> pl.Series:
    """Doubles as the shortest text that reads back the same, plain."""
    text = doubles.cast(pl.String)
    odd = text.str.contains("e", literal=True).fill_null(False)
    text = text.str.strip_suffix(".0")
    if not odd.any():
        return text
    return pl.Series(
        text.name,
        [plain(Decimal(t)) if exponent else t for t, exponent in zip(text, odd, strict=True)],
        dtype=pl.String,
    )
