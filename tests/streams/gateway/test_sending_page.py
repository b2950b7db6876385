"""docs/sending.md promises what is taken, what is refused and for which reasons: it is held to that."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.catalog.loader import parse
from engine.dead_letters import REASONS
from streams.gateway.bodies import Carried, body_kind
from streams.gateway.checking import Check

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "sending.md").read_text()
NOW_MS = 1_795_387_268_000  # a second after the page's example
TYPES = re.findall(r"^\| `(\w+(?:\(\d+,\d+\))?)`( with `unit: ms`)? \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)


def accepted(type_: str, unit: str, value: object) -> bool:
    catalog = f"""\
version: 1
name: page
sources:
  events:
    topic: page.events
    event_time: at
    fields: {{at: timestamp, field: {{type: "{type_}"{unit}}}}}
"""
    loaded = parse([("page.yaml", catalog)]).catalog
    assert loaded is not None
    event = {"at": "2026-11-22T22:41:07Z", "field": value}
    return not Check(loaded.sources["events"]).check(Carried([json.dumps(event).encode()]), NOW_MS).faults


@pytest.mark.parametrize(("type_", "unit", "send", "refused"), TYPES, ids=[f"{row[0]}{row[1]}" for row in TYPES])
def test_values_of_a_type(type_: str, unit: str, send: str, refused: str) -> None:
    for cell, expected in ((send, True), (refused, False)):
        values = re.findall(r"`([^`]+)`", cell)
        assert values
        for value in values:
            assert accepted(type_, ", unit: ms" if unit else "", json.loads(value)) is expected, value


def test_every_type_is_there() -> None:
    assert len(TYPES) == 7


def test_the_reasons_are_those_of_dead_letters() -> None:
    table = PAGE.partition("### Reasons")[2].partition("Two more")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(set(REASONS) - {"tombstone", "late"})


def test_the_media_types_are_read() -> None:
    table = PAGE.partition("| Content-Type |")[2].partition("CloudEvents are")[0]
    named = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(named) == 4
    for type_ in named:
        body_kind([(b"content-type", type_.encode())])
