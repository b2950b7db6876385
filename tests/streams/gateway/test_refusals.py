"""What is told of events that do not fit: the reason that the engine would give, the field, what to send instead."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.admission import Admission, Batch, DecisionState
from engine.catalog.loader import parse
from engine.catalog.model import Source
from streams.gateway.bodies import Carried
from streams.gateway.checking import Check
from streams.gateway.refusals import Explaining, Refusal

NOW_MS = 1_760_000_000_000
CATALOG = """\
version: 1
name: shop
sources:
  orders:
    topic: shop.orders
    event_time: ordered_at
    identity: order_id
    dedupe: 48h
    watermark: {max_future: 5m}
    fields:
      order_id: string
      ordered_at: timestamp
      amount: decimal(10,2)
      big: decimal(30,2)?
      items: {type: integer, path: basket.items}
      city: {type: "string?", path: address.city}
      vip: boolean?
      weight: number?
      paid_at: {type: "timestamp?", unit: ms, path: payment.at}
  clicks:
    topic: shop.clicks
    format: cloudevents
    fields:
      page: {type: string, path: page.name}
      kind: {type: string, path: ce.type}
  visits:
    topic: shop.visits
    event_time: at
    identity: number
    dedupe: 48h
    fields:
      number: integer
      at: {type: timestamp, unit: s}
"""
GOOD: dict[str, Any] = {
    "order_id": "o1",
    "ordered_at": "2025-10-09T08:00:00Z",
    "amount": 12.5,
    "basket": {"items": 3},
}
CLICK: dict[str, Any] = {
    "specversion": "1.0", "id": "c1", "source": "/web", "type": "click", "time": "2025-10-09T08:00:00Z",
    "data": {"page": {"name": "home"}},
}  # fmt: skip


def source(name: str) -> Source:
    loaded = parse([("shop.yaml", CATALOG)])
    assert loaded.catalog is not None, loaded.problems
    return loaded.catalog.sources[name]


def refusal(name: str, event: Any, headers: list[tuple[str, bytes]] | None = None) -> Refusal:
    declared = source(name)
    value = event if isinstance(event, bytes) else json.dumps(event).encode()
    checked = Check(declared).check(Carried([value], headers or ()), NOW_MS)
    assert not checked.keys
    return Explaining(declared).refusal(checked.faults[0])


@pytest.mark.parametrize(
    ("changed", "reason", "field", "instead"),
    [
        ({"amount": None}, "missing_field", "amount", "send amount as a number, or text, of at most 10 digits, 2 of"),
        ({"amount": "123456789.00"}, "out_of_range", "amount", "send amount as a number"),
        ({"amount": 1.999}, "out_of_range", "amount", "2 of them behind the point"),
        ({"amount": True}, "wrong_type", "amount", "send amount as a number"),
        ({"big": []}, "wrong_type", "big", "send big as a number, or text, of at most 30 digits"),
        ({"order_id": 7}, "wrong_type", "order_id", "send order_id as text"),
        ({"ordered_at": "yesterday"}, "event_time", "ordered_at", "RFC 3339, as in 2026-11-22T22:41:07Z"),
        ({"ordered_at": None}, "event_time", "ordered_at", "RFC 3339"),
        ({"basket": {}}, "missing_field", "items", "send basket.items (the field items) as a whole number"),
        ({"basket": {"items": "3"}}, "wrong_type", "items", "a whole number without quotes"),
        ({"basket": {"items": 2**63}}, "out_of_range", "items", "a whole number"),
        ({"basket": 3}, "wrong_type", None, "send an object in basket"),
        ({"address": {"city": 5}}, "wrong_type", "city", "as text, or leave it out"),
        ({"vip": "yes"}, "wrong_type", "vip", "true or false"),
        ({"weight": "5"}, "wrong_type", "weight", "a number without quotes"),
        ({"payment": {"at": "now"}}, "wrong_type", "paid_at", "a number of milliseconds since 1970"),
        ({"ordered_at": "2025-10-09T09:00:00Z"}, "future", None, "look at the sender's clock"),
    ],
)
def test_a_field_that_is_wrong(changed: dict[str, Any], reason: str, field: str | None, instead: str) -> None:
    found = refusal("orders", GOOD | changed)
    assert (found.reason, found.field) == (reason, field), found
    assert instead in found.detail
    assert field is None or field in found.detail


def test_a_field_that_is_not_there() -> None:
    event = {name: value for name, value in GOOD.items() if name != "amount"}
    found = refusal("orders", event)
    assert (found.reason, found.field) == ("missing_field", "amount")
    assert found.detail.startswith("Object missing required field `amount`; send amount as a number")


@pytest.mark.parametrize(
    ("value", "reason", "instead"),
    [
        (b"", "malformed", "send JSON in UTF-8"),
        (b"{broken", "malformed", "send JSON in UTF-8"),
        (
            json.dumps(GOOD).encode() + b"\n" + json.dumps(GOOD).encode(),
            "malformed",
            "one a line as application/x-ndjson",
        ),
        (b'{"order_id": "\xff"}', "malformed", "send JSON in UTF-8"),
        (b"[]", "wrong_type", "send a JSON object"),
        (b"null", "wrong_type", "send a JSON object"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "too_large", "without what no KPI needs"),
        (b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}", "malformed", "send JSON"),
    ],
)
def test_an_event_that_is_none(value: bytes, reason: str, instead: str) -> None:
    found = refusal("orders", value)
    assert (found.reason, found.field) == (reason, None)
    assert instead in found.detail
    assert len(found.detail) < 500


def test_cloudevents() -> None:
    assert refusal("clicks", CLICK | {"specversion": "0.3"}).reason == "cloudevent"
    assert refusal("clicks", {name: value for name, value in CLICK.items() if name != "id"}).reason == "cloudevent"
    found = refusal("clicks", CLICK | {"time": "soon"})
    assert (found.reason, found.field) == ("event_time", "time")
    found = refusal("clicks", CLICK | {"data": {"page": {}}})
    assert (found.reason, found.field) == ("missing_field", "page")
    assert "send page.name (the field page) as text" in found.detail
    found = refusal("clicks", CLICK | {"data": {"page": "home"}})
    assert (found.reason, found.field) == ("wrong_type", None)
    assert "send an object in data.page" in found.detail


def test_a_binary_cloudevent() -> None:
    attributes = [(f"ce_{name}", value.encode()) for name, value in CLICK.items() if name != "data"]
    found = refusal("clicks", {"page": {"name": 1}}, attributes)
    assert (found.reason, found.field) == ("wrong_type", "page")
    found = refusal("clicks", {"page": {"name": "home"}}, [*attributes, ("content-type", b"text/csv")])
    assert found.reason == "unsupported_encoding"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
nearly_good = st.fixed_dictionaries(
    {},
    optional={
        "order_id": st.just("o1") | json_values,
        "ordered_at": st.sampled_from(["2025-10-09T08:00:00Z", "2999-01-01T00:00:00Z"]) | json_values,
        "amount": st.just(12.5) | json_values,
        "basket": st.just({"items": 3}) | json_values,
        "address": st.just({"city": None}) | json_values,
    },
)


@given(
    st.binary(max_size=40) | json_values.map(json.dumps).map(str.encode) | nearly_good.map(json.dumps).map(str.encode)
)
def test_what_is_refused_is_what_the_engine_refuses_for_its_reason(value: bytes) -> None:
    declared = source("orders")
    checked = Check(declared).check(Carried([value]), NOW_MS)
    batch = Batch(0, [value], np.array([0]), np.array([NOW_MS]), 1)
    admitted = Admission(declared, 0, DecisionState(declared)).admit(batch)
    assert {index: fault.reason for index, fault in checked.faults.items()} == {
        reject.index: reject.reason for reject in admitted.rejects
    }
    assert list(checked.keys) == ([0] if admitted.accepted else [])
    for fault in checked.faults.values():
        found = Explaining(declared).refusal(fault)
        assert found.reason == fault.reason and fault.message in found.detail


def test_the_key_is_the_identity() -> None:
    orders = Check(source("orders")).check(Carried([json.dumps(GOOD).encode()]), NOW_MS)
    assert orders.keys == {0: b"o1"}
    visits = Check(source("visits")).check(Carried([b'{"number": 42, "at": 1759999999}', b"{}"]), NOW_MS)
    assert visits.keys == {0: b"42"} and list(visits.faults) == [1]
    clicks = Check(source("clicks")).check(Carried([json.dumps(CLICK).encode()]), NOW_MS)
    assert clicks.keys == {0: b"4:/webc1"}
