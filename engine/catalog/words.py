"""Short texts of the catalog that have a form of their own: types of fields, exact durations, days and months."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime, time
from typing import Final

from engine.catalog.matching import close_to
from engine.catalog.model import Duration, FieldKind, FieldType
from engine.event_time.durations import nominal_us, parse_duration
from engine.event_time.zones import zone_names

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
KINDS: Final[tuple[FieldKind, ...]] = ("string", "integer", "number", "boolean", "timestamp")

# What the JSON Schema says of texts whose reading is done by functions.
DURATION: Final = "[0-9]+[smhdw]"
EXPIRY: Final = "[0-9]+[smhdwy]"
OFFSET: Final = "[0-9]+[smhdw]|[0-9]+ (second|minute|hour|day|week|month|quarter|year)s?"
CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
MOMENT: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2})?"
FIELD_TYPE: Final = r"(string|integer|number|boolean|timestamp|decimal\(\s*[0-9]+\s*,\s*[0-9]+\s*\))\s*\??"

_DECIMAL: Final = re.compile(r"decimal\(\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*\)")
_OTHER_NAMES: Final = {
    "int": "integer",
    "int64": "integer",
    "bigint": "integer",
    "long": "integer",
    "str": "string",
    "text": "string",
    "varchar": "string",
    "bool": "boolean",
    "float": "number",
    "double": "number",
    "real": "number",
    "datetime": "timestamp",
    "date": "timestamp",
    "time": "timestamp",
    "numeric": "decimal(12,2)",
    "money": "decimal(12,2)",
    "decimal": "decimal(12,2)",
}
MAX_PRECISION: Final = 38


def parse_field_type(text: str) -> tuple[FieldType, bool]:
    """A type, and whether a ``?`` makes the field optional. Raises ValueError with what to write instead."""
    optional = text.endswith("?")
    bare = text.removesuffix("?").strip()
    for kind in KINDS:
        if bare == kind:
            return FieldType(kind), optional
    match = _DECIMAL.fullmatch(bare)
    if match is not None:
        precision, scale = int(match[1]), int(match[2])
        if not 1 <= precision <= MAX_PRECISION:
            raise ValueError(f"{bare}: a decimal has 1 to {MAX_PRECISION} digits")
        if scale > precision:
            raise ValueError(f"{bare}: no more digits behind the point ({scale}) than there are in all ({precision})")
        return FieldType("decimal", precision, scale), optional
    if bare.startswith("decimal(") and not bare.endswith(")"):
        raise ValueError(f'"{text}" ends at its comma; in braces write it in quotes: "decimal(12,2)"')
    mark = "?" if optional else ""
    name = re.sub(r"\(.*", "", bare).lower()
    instead = _OTHER_NAMES.get(name)
    if instead is not None:
        raise ValueError(f'"{text}" is not a type; write {instead}{mark}')
    kinds = "string, integer, number, decimal(p,s), boolean, timestamp"
    raise ValueError(f'"{text}" is not a type; types are {kinds}')


def parse_zone(text: str) -> str:
    """An IANA time zone of the ``tzdata`` package. Raises ValueError with the name that comes close."""
    names = zone_names()
    if text in names:
        return text
    cities = {name.rpartition("/")[2]: name for name in sorted(names)}
    close = close_to(text, sorted(names)) or cities.get(close_to(text, sorted(cities)) or "")
    hint = f'did you mean "{close}"?' if close else "write an IANA name, as Europe/Amsterdam"
    raise ValueError(f'there is no time zone "{text}"; {hint}')


def parse_positive(text: str) -> int:
    """An exact duration of at least a second, in microseconds. Raises ValueError."""
    length = parse_exact(text)
    if length == 0:
        raise ValueError(f"{text} is nothing; write at least 1s")
    return length


def parse_exact(text: str) -> int:
    """An exact duration in microseconds; zero is one. Raises ValueError, for days and weeks with the hours to write."""
    duration: Duration = parse_duration(text, allow_zero=True)
    length = nominal_us(duration)
    if duration.unit in ("d", "w"):
        hours = length // 3_600_000_000
        raise ValueError(f"{text} has no exact length here, local days have 23 to 25 hours; write {hours}h")
    return length


def parse_clock(text: str) -> time:
    """A time of day, as 22:00. Raises ValueError."""
    if not re.fullmatch(CLOCK, text):
        midnight = '"00:00"' if text in ("24:00", "24") else '"22:00"'
        raise ValueError(f'"{text}" is not a time of day; write it as {midnight}')
    return time.fromisoformat(text)


def parse_moment(text: str) -> datetime:
    """A local time without its zone: a day (its first moment), or a day and a time of day. Raises ValueError."""
    if not re.fullmatch(MOMENT, text):
        local = re.fullmatch(f"({MOMENT})(:[0-9.]+)?(Z|[-+][0-9:]+)", text)
        if local is not None:
            raise ValueError(f"{text} has a zone of its own; write it as {local[1]}, local to timezone")
        raise ValueError(f'"{text}" is not a day or a time; write it as 2026-12-24 or 2026-12-24T18:00')
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"there is no time {text}; write it as 2026-12-24 or 2026-12-24T18:00") from None


def parse_start(text: str) -> time | datetime:
    """What a silence begins with: a time of day where it comes again, or a moment. Raises ValueError."""
    if re.fullmatch(CLOCK, text) or re.fullmatch("[0-9:]{2,5}", text):
        return parse_clock(text)
    return parse_moment(text)


def parse_country(text: str) -> str:
    """A country whose public holidays are known, by its ISO 3166 code. Raises ValueError."""
    known = countries()
    if text in known:
        return text
    hint = "write the two letters of ISO 3166, as NL or DE"
    if text.upper() in known:
        hint = f'did you mean "{text.upper()}"?'
    raise ValueError(f'the holidays of "{text}" are not known; {hint}')


@functools.cache
def countries() -> Mapping[str, tuple[str, ...]]:
    """The countries whose public holidays are known, each with the parts of it that have more."""
    import holidays  # takes a tenth of a second, and few catalogs have any

    known = holidays.list_supported_countries(include_aliases=False)
    return {country: tuple(parts) for country, parts in known.items()}
