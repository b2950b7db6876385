"""How numbers are written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest

from engine.aggregations import number_text
from engine.aggregations.numerals import double_text, plain, quotient, square_root, unscaled_text


@pytest.mark.parametrize(
    ("unscaled", "scale", "text"),
    [
        (121344055, 2, "1213440.55"),
        (1000, 2, "10.00"),
        (-5, 2, "-0.05"),
        (0, 2, "0.00"),
        (7, 0, "7"),
        (-(10**38) + 1, 38, "-0." + "9" * 38),
        (2**127 - 1, 0, str(2**127 - 1)),
        (-(2**127) + 1, 1, "-17014118346046923173168730371588410572.7"),
    ],
)
def test_decimals_have_the_digits_of_their_scale(unscaled: int, scale: int, text: str) -> None:
    frame = pl.DataFrame({"x": pl.Series([unscaled, None], dtype=pl.Int128)})
    assert frame.select(unscaled_text(pl.col("x"), scale)).to_series().to_list() == [text, None]


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (10, 4, "2.5"),
        (1000, 10, "100"),
        (2, 3, "0.666666666667"),
        (-2, 3, "-0.666666666667"),
        (1, 3 * 10**9, "0.000000000333333333333"),
        (1234567890125, 10, "123456789012"),  # half to even
        (1234567890135, 10, "123456789014"),
        (10**15 + 1, 1, "1000000000000000"),
        (0, 7, "0"),
        (1, 10**50, "1e-50"),
        (15, 10**60, "1.5e-59"),
        (12 * 10**89, 1, "1.2e90"),
    ],
)
def test_quotients_have_twelve_digits(numerator: int, denominator: int, text: str) -> None:
    assert quotient(numerator, denominator) == text


def test_roots_are_rounded_once() -> None:
    assert square_root(4, 9) == "0.666666666667"
    assert square_root(2, 1) == "1.41421356237"
    assert square_root(1, 10**80) == "0.0000000000000000000000000000000000000001"
    # Exactly between two texts of 12 digits: to even. One part in 10^40 above: up.
    half = 1_000_000_000_005  # 1.000000000005 at 13 digits
    assert square_root(half * half, 10**24) == "1"
    assert square_root(half * half * 10**40 + 1, 10**64) == "1.00000000001"


@pytest.mark.parametrize(
    ("value", "divided", "doubles", "text"),
    [
        (Fraction(1, 3), True, False, "0.333333333333"),
        (Fraction(123456789012345678, 100), False, False, "1234567890123456.78"),
        (Fraction(123456789012345678, 100), True, False, "1234567890120000"),
        (Fraction(10), False, False, "10"),
        (Fraction(1, 3), False, False, "0.333333333333"),
        (Fraction(1, 2**20), False, False, "0.00000095367431640625"),  # a product of decimals: all digits
        (Fraction(1, 2**20 * 5**18), False, False, "0.00000000000000000025"),
        (Fraction(329853488333, 2**40), False, True, "0.3"),
        (Fraction(329853488333, 2**40) + Fraction(1, 10), False, True, "0.4"),
        (Fraction(1, 3), True, True, "0.333333333333"),
        (Fraction(0), False, False, "0"),
        (Fraction(-5, 8), False, False, "-0.625"),
    ],
)
def test_derived_values(value: Fraction, divided: bool, doubles: bool, text: str) -> None:
    assert number_text(value, divided=divided, doubles=doubles) == text


def test_doubles_are_as_short_as_they_can_be() -> None:
    doubles = pl.Series([0.1, 10.0, 1e22, 1e-7, -2.5, None, 123456789012345680.0, 0.0])
    assert double_text(doubles).to_list() == [
        "0.1",
        "10",
        "10000000000000000000000",
        "0.0000001",
        "-2.5",
        None,
        "123456789012345680",
        "0",
    ]


def test_plain_has_no_artefacts() -> None:
    assert plain(Decimal("-0.00")) == "0"
    assert plain(Decimal("1.00E+3")) == "1000"
    assert plain(Decimal("120")) == "120"
