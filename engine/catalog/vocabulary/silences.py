"""When alerts are recorded and nobody is told, and the public holidays."""

from __future__ import annotations

from typing import Final

from engine.catalog.kinds import Choice, Flag, ListOf, Parsed, Text
from engine.catalog.records import Either, Key, Record
from engine.catalog.vocabulary.recurring import name, text, where, zone
from engine.catalog.words import CLOCK, MOMENT, WEEKDAYS, parse_clock, parse_country, parse_moment, parse_start

_moment: Final = Parsed(parse_moment, MOMENT, "a day or a time", "write it as 2026-12-24 or 2026-12-24T18:00")

silence: Final = Record(
    "silence",
    {
        "comment": Key(text, "Why, for who looks for an alert that did not come.", required=True),
        "kpis": Key(ListOf(name, "KPIs", 1, "write it as [sales, orders]"), "The KPIs that are silent; default: all."),
        "alerts": Key(
            ListOf(name, "alerts", 1, "write it as [SalesLow]"), "The alerts that are silent; default: all of the KPIs."
        ),
        "where": Key(where, "Only series with these dimension values."),
        "from": Key(
            Parsed(parse_start, f"{CLOCK}|{MOMENT}", "a time", 'write it as "22:00", or as 2026-12-24T18:00'),
            "What it begins with: a time of day of each of its days, or a moment.",
            essential=True,
            examples=("22:00", "2026-12-24T18:00"),
        ),
        "to": Key(
            Parsed(parse_clock, CLOCK, "a time of day", 'write it as "06:00"'),
            "Time of day it ends; at or before its beginning, it is that of the next day.",
            essential=True,
            examples=("06:00",),
        ),
        "until": Key(
            _moment,
            "Moment from which it is over: a day's is its midnight.",
            essential=True,
            examples=("2026-12-27T06:00", "2027-01-01"),
        ),
        "weekdays": Key(
            ListOf(Choice(WEEKDAYS, "weekdays"), "weekdays", 1, "write it as [saturday, sunday]"),
            "Local days that it comes again on; default: all.",
            essential=True,
        ),
        "holidays": Key(Flag(), "Whether it comes again on the holidays of defaults.", essential=True),
        "timezone": Key(zone, "Time zone of its times; default: the catalog's.", essential=True),
    },
    "When alerts are recorded and nobody is told.",
    {
        "reason": "write comment",
        "start": "write from",
        "end": "write until, or to where it comes again",
        "days": "write weekdays",
        "kpi": "write kpis: [...]",
        "alert": "write alerts: [...]",
    },
)

_country: Final = Parsed(parse_country, "[A-Z]{2}", "a country", "write the two letters of ISO 3166, as NL or DE")

holidays: Final = Either(
    _country,
    Record(
        "calendar of holidays",
        {
            "country": Key(_country, "Two letters of ISO 3166.", required=True, examples=("NL",)),
            "subdivision": Key(
                Text(says="a part of a country", hint="write its code, as BY", longest=64),
                "Part of the country that has holidays of its own, by its code.",
                essential=True,
                examples=("BY",),
            ),
        },
        "Public holidays of a country, or of a part of it.",
        {"state": "write subdivision", "region": "write subdivision", "province": "write subdivision"},
    ),
)
