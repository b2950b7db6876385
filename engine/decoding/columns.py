"""The values of one field, as decoded from JSON, to a polars column of its declared type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from engine.catalog.model import Field, FieldType, Source
from engine.dead_letters import Fault, Reason
from engine.decoding import decimals
from engine.decoding.decimals import DOUBLE_DIGITS, stored_type
from engine.decoding.faults import REFUSALS, fault_of, json_path, shortened
from engine.decoding.layout import Leaf, wire_type
from engine.decoding.timestamps import NO_TIME, parse_numbers, parse_texts, scale_integers
from engine.event_time.zones import Zone

Faults = dict[int, Fault]
Column = Callable[[Sequence[Any], Faults], pl.Series]
"""Rows of events to the column of one field, of the same length. Values that are not of the field's type are null and
have their fault added at their index, unless there is one already.
"""

TIMESTAMP: Final = pl.Datetime("us", "UTC")
NUMBER_LIMIT: Final = 2.0**80
"""Doubles from here on cannot be summed exactly (protocol rule 17)."""


def stored(type_: FieldType) -> pl.DataType:
    """The dtype of a field's column."""
    match type_.kind:
        case "string":
            return pl.String()
        case "integer":
            return pl.Int64()
        case "number":
            return pl.Float64()
        case "boolean":
            return pl.Boolean()
        case "decimal":
            return stored_type(type_)
        case "timestamp":
            return TIMESTAMP


def column_of(leaf: Leaf, zone: Zone, *, event_time: bool = False) -> Column:
    """The reader of one field. ``event_time``: its values have to be there, and are refused as such."""
    declared, extract = leaf.field, leaf.extract
    convert = _converter(declared, zone, "event_time" if event_time else "wrong_type")

    if leaf.raw:

        def read(rows: Sequence[Any], faults: Faults) -> pl.Series:
            return convert(_unwrapped(declared, event_time, extract(rows), faults), faults)

        return read
    if event_time and declared.optional:

        def read_required(rows: Sequence[Any], faults: Faults) -> pl.Series:
            values = extract(rows)
            for place, value in enumerate(values):
                if value is None:
                    faults.setdefault(place, Fault("event_time", f"`{json_path(declared.path)}` is missing or null"))
            return convert(values, faults)

        return read_required
    return lambda rows, faults: convert(extract(rows), faults)


def is_needed(leaf: Leaf, source: Source, wanted: Collection[str] | None) -> bool:
    """Whether a field's column has to be made: because it is wanted (None: all are), the time or identity is made of
    it, or some of its values may turn out to be wrong only then.
    """
    declared = leaf.field
    if wanted is None or declared.name in wanted or leaf.raw or declared.name == source.event_time:
        return True
    if declared.type.kind == "string":
        return False  # an identity that is a text is read by itself
    return declared.name == source.identity or declared.type.kind not in ("integer", "boolean")


def _unwrapped(declared: Field, event_time: bool, values: list[Any], faults: Faults) -> list[Any]:
    """Raw JSON to the field's values: to their digits, for decimals."""
    path = json_path(declared.path)
    many_digits = declared.type.kind == "decimal" and declared.type.precision > DOUBLE_DIGITS
    decode = msgspec.json.Decoder(str if many_digits else wire_type(declared)).decode
    for place, raw in enumerate(values):
        text = b"null" if raw is None else bytes(raw)
        if text == b"null":
            values[place] = None
            if event_time or not declared.optional:
                reason: Reason = "event_time" if event_time else "missing_field"
                faults.setdefault(place, Fault(reason, f"`{path}` is missing or null"))
        elif many_digits and text[:1] in b"-0123456789":
            values[place] = text.decode("ascii")
        else:
            try:
                values[place] = decode(text)
            except REFUSALS as error:
                values[place] = None
                fault = fault_of(error)
                reason = "event_time" if event_time else fault.reason
                faults.setdefault(place, Fault(reason, f"{fault.message} - at `{path}`"))
    return values


def _converter(declared: Field, zone: Zone, reason: Reason) -> Column:
    match declared.type.kind:
        case "string":
            return lambda values, faults: pl.Series(values, dtype=pl.String)
        case "integer":
            return lambda values, faults: pl.Series(values, dtype=pl.Int64)
        case "boolean":
            return lambda values, faults: pl.Series(values, dtype=pl.Boolean)
        case "number":
            return lambda values, faults: _numbers(declared, values, faults)
        case "decimal":
            return lambda values, faults: _decimals(declared, values, faults)
        case "timestamp":
            return lambda values, faults: _timestamps(declared, zone, reason, values, faults)


def _numbers(declared: Field, values: Sequence[Any], faults: Faults) -> pl.Series:
    column = pl.Series(values, dtype=pl.Float64)
    beyond = column.abs() >= NUMBER_LIMIT
    if beyond.any():
        for place in beyond.arg_true().to_list():
            message = f"{values[place]!r} at `{json_path(declared.path)}` is too large: numbers stay below 2^80"
            faults.setdefault(place, Fault("out_of_range", message))
        column = column.set(beyond, None)
    zero = column == 0.0
    return column.set(zero, 0.0) if zero.any() else column  # a negative zero is zero


def _decimals(declared: Field, values: Sequence[Any], faults: Faults) -> pl.Series:
    if declared.type.precision <= DOUBLE_DIGITS:
        try:
            doubles = pl.Series(values, dtype=pl.Float64, strict=True)
        except TypeError:
            return _mixed_decimals(declared, values, faults)
        return _double_decimals(declared, doubles, faults)
    return _text_decimals(declared, values, faults)


def _double_decimals(declared: Field, doubles: pl.Series, faults: Faults) -> pl.Series:
    exact = decimals.of_doubles(doubles.to_numpy(), declared.type)
    if not exact.all():
        wrong = pl.Series(~exact) & doubles.is_not_null()
        for place in wrong.arg_true().to_list():
            faults.setdefault(place, _no_decimal(declared, repr(doubles[place]), "out_of_range"))
        doubles = doubles.set(pl.Series(~exact), None)
    return doubles.cast(stored_type(declared.type))


def _mixed_decimals(declared: Field, values: Sequence[Any], faults: Faults) -> pl.Series:
    """Numbers and texts among each other."""
    doubles = pl.Series([None if isinstance(value, str) else value for value in values], dtype=pl.Float64)
    texts = [value if isinstance(value, str) else None for value in values]
    numbers = _double_decimals(declared, doubles, faults)
    return numbers.zip_with(numbers.is_not_null(), _text_decimals(declared, texts, faults))


def _text_decimals(declared: Field, values: Sequence[str | None], faults: Faults) -> pl.Series:
    type_ = declared.type
    texts = pl.Series(values, dtype=pl.String)
    whole = type_.precision - type_.scale
    if whole:
        plain = rf"^-?[0-9]{{1,{whole}}}" + (rf"(\.[0-9]{{1,{type_.scale}}})?$" if type_.scale else "$")
        if texts.str.contains(plain).all():
            return texts.cast(stored_type(type_))
    exact: list[Decimal | None] = []
    for place, text in enumerate(values):
        value = None if text is None else decimals.of_text(text, type_)
        if value is None and text is not None:
            reason: Reason = "out_of_range" if decimals.is_number(text) else "wrong_type"
            faults.setdefault(place, _no_decimal(declared, text, reason))
        exact.append(value)
    return pl.Series(exact, dtype=stored_type(type_))


def _no_decimal(declared: Field, text: str, reason: Reason) -> Fault:
    return Fault(reason, f"{shortened(text)} at `{json_path(declared.path)}` is no {declared.type}")


def _timestamps(declared: Field, zone: Zone, reason: Reason, values: Sequence[Any], faults: Faults) -> pl.Series:
    times: npt.NDArray[np.int64]
    if declared.unit is None:
        times = parse_texts(values, zone)
        unread = "is no RFC 3339 timestamp, as in 2026-11-22T22:41:07Z"
    else:
        unread = f"is no time in {declared.unit} since 1970 within the years 1 to 9999"
        try:
            column = pl.Series(values, dtype=pl.Int64, strict=True)
        except (TypeError, OverflowError):
            times = parse_numbers(values, declared.unit)
        else:
            absent = column.is_null().to_numpy() if column.null_count() else None
            times = scale_integers((column if absent is None else column.fill_null(0)).to_numpy(), declared.unit)
            if absent is not None:
                times = np.where(absent, NO_TIME, times)
    missing = times == NO_TIME
    if not missing.any():
        return pl.Series(times, dtype=pl.Int64).cast(TIMESTAMP)
    for place in np.flatnonzero(missing).tolist():
        if values[place] is not None:
            message = f"{shortened(repr(values[place]))} at `{json_path(declared.path)}` {unread}"
            faults.setdefault(place, Fault(reason, message))
    return pl.Series(times, dtype=pl.Int64).set(pl.Series(missing), None).cast(TIMESTAMP)
