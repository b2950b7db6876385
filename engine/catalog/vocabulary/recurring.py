"""What stands behind single keys in many places: names, expressions, durations, time zones."""

from __future__ import annotations

from typing import Final, get_args

from engine.catalog.kinds import Choice, MapOf, Name, Parsed, Text
from engine.catalog.model import Grain
from engine.catalog.records import Key
from engine.catalog.words import DURATION, EXPIRY, OFFSET, parse_exact, parse_positive, parse_zone
from engine.event_time.durations import parse_duration, parse_expiry, parse_offset

NAME: Final = r"[A-Za-z][A-Za-z0-9_]{0,63}"
NAME_SAYS: Final = "a name: a letter, then letters, digits and _, at most 64"
LABEL: Final = r"[A-Za-z_][A-Za-z0-9_]{0,63}"

text: Final = Text()
name: Final = Text(NAME, NAME_SAYS)
expression: Final = Text(says="an SQL expression", longest=10_000)
duration: Final = Parsed(parse_duration, DURATION, "a duration", "write it as 90s, 5m, 1h, 30d or 2w")
exact: Final = Parsed(parse_positive, r"[0-9]+[smh]", "an exact duration", "write it as 90s, 5m or 72h")
exact_or_zero: Final = Parsed(parse_exact, r"[0-9]+[smh]", "an exact duration", "write it as 0s, 30s or 5m")
offset: Final = Parsed(parse_offset, OFFSET, "an offset", "write it as 30d, 1 month or 1 year")
expiry: Final = Parsed(parse_expiry, EXPIRY, "a duration", "write it as 90d or 3y")
zone: Final = Parsed(parse_zone, r"[A-Za-z0-9_+\-/]{1,64}", "a time zone", "write an IANA name, as Europe/Amsterdam")
address: Final = Text(r"https?://\S+", "an address", "write it as https://...")
where: Final = MapOf(Name(), "dimension", LABEL, "a dimension", subjects=False)
grain: Final = Choice(get_args(Grain), "grains")


def of_type(word: str, default: bool = False) -> Key:
    """The key that tells one form of a thing from its others."""
    return Key(Choice((word,)), f"{word}", required=not default, essential=True)
