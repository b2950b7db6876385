"""Timestamps to microseconds since the epoch, a column at a time.

Texts are RFC 3339: ``2026-11-22T22:41:07Z``, with any number of fraction digits (those beyond the sixth are cut off),
``t``, ``z`` and a blank instead of ``T`` allowed, the offset ``Z`` or ``+01:00``. Without an offset the text is a
wall time of the source's time zone (protocol rule 10). A second 60 is read as the first of the next minute, and only
at the end of a UTC day.

Numbers are counts of the field's unit since the epoch. Integers are exact, nanoseconds are rounded down; fractions
are rounded to the nearest microsecond. Years 1 to 9999.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.catalog.model import TimeUnit
from engine.event_time.zones import Zone

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

EARLIEST_US: Final = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
LATEST_US: Final = 253_402_300_800_000_000 - 1  # 9999-12-31T23:59:59.999999Z
NO_TIME: Final = np.iinfo(np.int64).min
"""Stands for a value that is no timestamp."""

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400
_BASE: Final = len("2026-11-22T22:41:07")
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_PER_US: Final[dict[TimeUnit, tuple[int, int]]] = {
    "s": (1_000_000, 1),
    "ms": (1_000, 1),
    "us": (1, 1),
    "ns": (1, 1_000),
}


def parse_texts(texts: Sequence[str | None], zone: Zone) -> Int64s:
    """Microseconds since the epoch of RFC 3339 texts; `NO_TIME` where a text is none, or None."""
    count = len(texts)
    try:
        # None is what TypeError is for.
        lengths = np.fromiter(map(len, texts), np.int64, count)  # type: ignore[arg-type]
    except TypeError:
        return parse_texts(["" if text is None else text for text in texts], zone)
    if count and lengths[0] >= _BASE and (lengths == lengths[0]).all():
        joined = "".join(texts)  # type: ignore[arg-type]
        if joined.isascii():
            return _parse_equal(joined, count, int(lengths[0]), zone)
    times = np.full(count, NO_TIME, dtype=np.int64)
    for length in np.unique(lengths).tolist():
        if length < _BASE:
            continue
        places = np.flatnonzero(lengths == length)
        found = [texts[place] or "" for place in places.tolist()]
        joined = "".join(text if text.isascii() else "?" * length for text in found)
        times[places] = _parse_equal(joined, len(found), length, zone)
    return times


def parse_numbers(values: Sequence[int | float | None], unit: TimeUnit) -> Int64s:
    """Microseconds since the epoch of counts of ``unit``; `NO_TIME` where a number is out of range, or None."""
    times = np.full(len(values), NO_TIME, dtype=np.int64)
    factor, divisor = _PER_US[unit]
    for place, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, int):
            time = value * factor // divisor
        else:
            scaled = value * factor / divisor
            if not EARLIEST_US <= scaled <= LATEST_US:
                continue
            time = round(scaled)
        if EARLIEST_US <= time <= LATEST_US:
            times[place] = time
    return times


def scale_integers(values: Int64s, unit: TimeUnit) -> Int64s:
    """As `parse_numbers`, for an array of integers."""
    factor, divisor = _PER_US[unit]
    low, high = EARLIEST_US * divisor // factor, LATEST_US * divisor // factor
    if divisor > 1:
        scaled = values // divisor
    elif factor > 1:
        scaled = np.clip(values, low, high) * factor
    else:
        scaled = values
    if len(values) and (values.min() < low or values.max() > high):
        # Years 1 to 9999 in nanoseconds do not fit into 64 bits: there, every integer is in range.
        scaled = np.where(
            (scaled >= EARLIEST_US) & (scaled <= LATEST_US) & (values >= low) & (values <= high), scaled, NO_TIME
        )
    return scaled


def _parse_equal(joined: str, count: int, length: int, zone: Zone) -> Int64s:
    """Parse ASCII texts of one length, given as one."""
    chars = np.ascontiguousarray(np.frombuffer(joined.encode("ascii"), np.uint8).reshape(count, length).T)
    last = chars[-1] | 0x20  # lower case
    zulu = last == ord("z")
    if zulu.all():
        return _parse_form(chars, 1, zone)
    offset = np.zeros(count, dtype=np.bool_)
    if length >= _BASE + 6:
        sign = chars[-6]
        offset = ((sign == ord("+")) | (sign == ord("-"))) & (chars[-3] == ord(":"))
    times = np.empty(count, dtype=np.int64)
    for form, suffix in ((zulu, 1), (offset & ~zulu, 6), (~offset & ~zulu, 0)):
        if form.all():
            return _parse_form(chars, suffix, zone)
        if form.any():
            times[form] = _parse_form(np.ascontiguousarray(chars[:, form]), suffix, zone)
    return times


def _parse_form(chars: Bytes, suffix: int, zone: Zone) -> Int64s:
    """``chars`` are columns: one row per character place, of which the last ``suffix`` are the offset."""
    fraction = chars[_BASE : len(chars) - suffix]
    digits = chars[:_BASE] - np.uint8(48)  # what is no digit wraps round to more than 9
    valid = (digits[list(_DIGITS)] <= 9).all(axis=0)
    valid &= (chars[4] == ord("-")) & (chars[7] == ord("-")) & (chars[13] == ord(":")) & (chars[16] == ord(":"))
    valid &= ((chars[10] | 0x20) == ord("t")) | (chars[10] == ord(" "))
    if not valid.all():
        digits = np.where(valid, digits, 0)
    month = _pair(digits, 5)
    months = (_pair(digits, 0) * 100 + _pair(digits, 2)) * 12 + month - 13
    valid &= (month >= 1) & (month <= 12) & (months >= 0)
    starts = _month_starts()
    months = np.where(valid, months, 0)
    first = starts[months]
    day = _pair(digits, 8)
    hour, minute, second = _pair(digits, 11), _pair(digits, 14), _pair(digits, 17)
    valid &= (day >= 1) & (day <= starts[months + 1] - first) & (hour <= 23) & (minute <= 59) & (second <= 60)
    seconds = (first + day - 1).astype(np.int64) * _DAY_S + hour * 3600 + minute * 60 + second
    micros = np.zeros(len(valid), dtype=np.int64)
    if len(fraction):
        tail = fraction[1:] - np.uint8(48)
        valid &= (fraction[0] == ord(".")) & (tail <= 9).all(axis=0) & (len(tail) > 0)
        for place, column in enumerate(tail[:6]):
            micros += column * np.int64(10 ** (5 - place))
    if suffix == 6:
        shift = _offset_seconds(chars[-6:], valid)
        seconds = seconds - shift
    times = seconds * _SECOND_US + micros
    if suffix == 0:
        leap = second == 60
        times = zone.to_utc(times)
        valid &= ~leap | (times // _SECOND_US % _DAY_S == 0)
    elif (second == 60).any():
        valid &= (second < 60) | (seconds % _DAY_S == 0)
    valid &= (times >= EARLIEST_US) & (times <= LATEST_US)
    return times if valid.all() else np.where(valid, times, NO_TIME)


def _offset_seconds(chars: Bytes, valid: Bools) -> Int64s:
    """Seconds east of UTC of ``+hh:mm``; clears ``valid`` where it is none."""
    digits = chars - np.uint8(48)
    valid &= (digits[[1, 2, 4, 5]] <= 9).all(axis=0)
    hours, minutes = _pair(digits, 1), _pair(digits, 4)
    valid &= (hours <= 23) & (minutes <= 59)
    seconds = (hours * 3600 + minutes * 60).astype(np.int64)
    return np.where(chars[0] == ord("-"), -seconds, seconds)


def _pair(digits: Bytes, place: int) -> npt.NDArray[np.int32]:
    pair: npt.NDArray[np.int32] = digits[place] * np.int32(10) + digits[place + 1]
    return pair


@functools.cache
def _month_starts() -> npt.NDArray[np.int32]:
    """Days since the epoch of the first of each month of the years 1 to 9999, and of the month after."""
    months = np.arange("0001-01", "10000-02", dtype="datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64).astype(np.int32)
