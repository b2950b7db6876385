"""From exact sums to a published number: one division, rounded once, to 12 significant digits half even."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

_TWELVE = Context(prec=12, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
_WIDE = Context(prec=120, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)

# One double in units of 2**-40, the grain in which doubles are summed.
DOUBLE_UNITS = 2**40


def rounded(value: Fraction) -> Decimal:
    """``value`` to 12 significant digits, half even."""
    return _TWELVE.divide(Decimal(value.numerator), Decimal(value.denominator))


def rounded_root(value: Fraction) -> Decimal:
    """The square root of ``value`` to 12 significant digits."""
    return _TWELVE.plus(_WIDE.sqrt(_WIDE.divide(Decimal(value.numerator), Decimal(value.denominator))))


def exact(value: Fraction) -> Decimal:
    """``value``, whose denominator has no factors but 2 and 5, with all of its digits."""
    return _WIDE.divide(Decimal(value.numerator), Decimal(value.denominator))


def sample_variance(n: int, total: int | Decimal, squares: int | Decimal) -> Fraction | None:
    """The variance of a sample of ``n`` with this sum and sum of squares; None below two."""
    if n < 2:
        return None
    return (n * Fraction(squares) - Fraction(total) ** 2) / (n * (n - 1))
