"""Exact decimals, from JSON numbers and from texts.

A JSON number of a decimal of up to 15 digits is read as the nearest double, as JSON readers do (RFC 8259, 6), and is
valid when a decimal of the declared scale has that same nearest double; that decimal is then the value, since doubles
tell all decimals of 15 digits apart. Longer declared decimals, and texts, are read digit by digit. Fraction digits
beyond the scale are invalid unless they are zeros; so is a value of more digits than the precision (protocol rule
17).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.catalog.model import FieldType

DOUBLE_DIGITS: Final = 15
"""Decimals of up to this many digits survive the way through a double."""

_STORED_DIGITS: Final = 38  # of a polars Decimal
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?(?P<exponent>\d+))?", re.ASCII)
_LONGEST_EXPONENT: Final = 4
_LONGEST_TEXT: Final = 400


def stored_type(type_: FieldType) -> pl.Decimal:
    return pl.Decimal(_STORED_DIGITS, type_.scale)


def of_doubles(values: npt.NDArray[np.float64], type_: FieldType) -> npt.NDArray[np.bool_]:
    """Which doubles stand for a decimal of ``type_`` (of at most `DOUBLE_DIGITS` digits). The series' own cast then
    gives it.
    """
    power = 10.0**type_.scale
    with np.errstate(over="ignore", invalid="ignore"):
        unscaled = np.rint(values * power)
        exact: npt.NDArray[np.bool_] = (unscaled / power == values) & (np.abs(unscaled) < 10.0**type_.precision)
    return exact


def is_number(text: str) -> bool:
    """Whether a text is a decimal number at all, of whatever size."""
    return _NUMBER.fullmatch(text) is not None


def of_text(text: str, type_: FieldType) -> Decimal | None:
    """The decimal that a text or a JSON number's digits stand for; None when it is none of ``type_``."""
    if len(text) > _LONGEST_TEXT:
        return None
    written = _NUMBER.fullmatch(text)
    if written is None or len(written["exponent"] or "") > _LONGEST_EXPONENT:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # the pattern admits neither NaN nor Infinity
    significant = "".join(map(str, digits)).lstrip("0")
    if not significant:
        return Decimal(0)
    places = exponent + type_.scale  # trailing zeros to add, or to find
    if len(significant) + places > type_.precision:
        return None
    if places < 0:
        if len(significant) <= -places or significant[places:].strip("0"):
            return None
        significant = significant[:places]
    else:
        significant += "0" * places
    return Decimal((sign, tuple(map(int, significant)), -type_.scale))
