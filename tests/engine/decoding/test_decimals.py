from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.model import FieldType
from engine.decoding.decimals import of_doubles, of_text, stored_type


@st.composite
def unscaled(draw: st.DrawFn, most: int = 15) -> tuple[FieldType, int]:
    precision = draw(st.integers(1, most))
    scale = draw(st.integers(0, precision))
    number = draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    return FieldType("decimal", precision, scale), number


def exact(type_: FieldType, number: int) -> Decimal:
    sign, digits, _ = Decimal(number).as_tuple()
    return Decimal((sign, digits, -type_.scale))


@given(unscaled())
def test_rule_17_a_double_of_up_to_15_digits_is_its_decimal(value: tuple[FieldType, int]) -> None:
    type_, number = value
    decimal = exact(type_, number)
    doubles = np.array([float(str(decimal))])
    assert of_doubles(doubles, type_).all()
    assert pl.Series(doubles).cast(stored_type(type_)).to_list() == [decimal]


@given(unscaled(14), st.integers(1, 9))
def test_rule_17_a_digit_too_many_is_seen_in_the_double(value: tuple[FieldType, int], digit: int) -> None:
    type_, number = value
    finer = FieldType("decimal", type_.precision + 1, type_.scale + 1)
    double = float(str(exact(finer, number * 10 + (digit if number >= 0 else -digit))))
    assert not of_doubles(np.array([double]), type_).any()
    assert of_doubles(np.array([double]), finer).all()


@pytest.mark.parametrize(
    ("double", "type_"),
    [
        (0.1 + 0.2, FieldType("decimal", 12, 2)),
        (1e10, FieldType("decimal", 12, 2)),
        (-1e10, FieldType("decimal", 12, 2)),
        (1e300, FieldType("decimal", 15, 15)),
        (float("nan"), FieldType("decimal", 12, 2)),
        (float("inf"), FieldType("decimal", 12, 2)),
        (5e-324, FieldType("decimal", 12, 2)),
        (0.5, FieldType("decimal", 5, 0)),
    ],
)
def test_doubles_that_are_no_such_decimal(double: float, type_: FieldType) -> None:
    assert not of_doubles(np.array([double]), type_).any()


@given(unscaled(38), st.booleans())
def test_texts_are_exact_to_the_last_digit(value: tuple[FieldType, int], exponent: bool) -> None:
    type_, number = value
    decimal = exact(type_, number)
    text = f"{number}e-{type_.scale}" if exponent else f"{decimal:f}"
    assert of_text(text, type_) == decimal
    assert of_text(text + "0" if "." in text else f"{number}0e-{type_.scale + 1}", type_) == decimal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.34", "12.34"),
        ("-12.3", "-12.30"),
        ("+5", "5.00"),
        ("007.10", "7.10"),
        ("1.2300000", "1.23"),
        ("1e3", "1000.00"),
        ("12E-1", "1.20"),
        ("1234567890.12", "1234567890.12"),
        ("0.00", "0.00"),
        ("0e9999", "0.00"),
        ("-0", "0.00"),
        ("1.234", None),
        ("12345678901.00", None),
        ("0.001", None),
        ("1e9999", None),
        ("1e-9999", None),
        ("1e99999999999", None),
        ("", None),
        (" 1", None),
        ("1_0", None),
        ("1,5", None),
        ("1.", None),
        (".5", None),
        ("0x10", None),
        ("NaN", None),
        ("Infinity", None),
        ("١٢", None),
        ("1" * 500, None),
        ("0" * 500, None),
    ],
)
def test_texts(text: str, expected: str | None) -> None:
    value = of_text(text, FieldType("decimal", 12, 2))
    assert value == (None if expected is None else Decimal(expected))
