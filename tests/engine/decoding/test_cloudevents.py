"""CloudEvents 1.0: structured, binary, and both in one topic."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.admission import Admission, Admitted, Batch, DecisionState
from engine.catalog.model import Field, FieldType, Source, Watermark
from engine.decoding.layout import LayoutError

NOW_MS = 1_795_394_467_000
TIME = "2026-11-23T00:41:07Z"
Headers = list[tuple[str, bytes]]

FIELDS = (
    Field("amount", FieldType("decimal", 12, 2), ("amount",)),
    Field("region", FieldType("string"), ("where", "region"), optional=True),
    Field("kind", FieldType("string"), ("ce", "type")),
    Field("subject", FieldType("string"), ("ce", "subject"), optional=True),
    Field("priority", FieldType("integer"), ("ce", "priority"), optional=True),
)


def source_of(
    *fields: Field, event_time: str | None = None, identity: str | None = None, dedupe: bool = True
) -> Source:
    return Source(
        name="orders",
        topic="shop.orders",
        format="cloudevents",
        timezone="UTC",
        event_time=event_time,
        identity=identity,
        dedupe_us=10**12 if dedupe else None,
        watermark=Watermark(),
        allowed_lateness_us=10**15,
        fields={declared.name: declared for declared in fields},
    )


def admit(source: Source, records: Sequence[tuple[bytes | None, Headers]]) -> Admitted:
    count = len(records)
    batch = Batch(
        partition=0,
        values=[value for value, _ in records],
        offsets=np.arange(count),
        timestamps=np.full(count, NOW_MS, dtype=np.int64),
        next_offset=count,
        headers=lambda index: records[index][1],
        headed=[index for index, (_, headers) in enumerate(records) if headers],
    )
    return Admission(source, 0, DecisionState.restore(source)).admit(batch)


def structured(id_: str, headers: Headers | None = None, **changes: Any) -> tuple[bytes, Headers]:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": id_,
        "source": "/shop",
        "type": "order",
        "time": TIME,
        "data": {"amount": 1.25, "where": {"region": "EU"}},
    }
    event.update(changes)
    present = {name: value for name, value in event.items() if value is not ...}
    return json.dumps(present).encode(), headers or []


def binary(
    id_: str, value: bytes = b'{"amount": 1.25, "where": {"region": "EU"}}', **changes: Any
) -> tuple[bytes, Headers]:
    attributes: dict[str, Any] = {
        "ce_specversion": "1.0",
        "ce_id": id_,
        "ce_source": "/shop",
        "ce_type": "order",
        "ce_time": TIME,
    }
    attributes.update(changes)
    return value, [(name, text.encode()) for name, text in attributes.items() if text is not ...]


def test_structured_and_binary_say_the_same() -> None:
    json_type: dict[str, Any] = {"content-type": "application/json"}
    records = [
        structured("a", subject="s", priority=3),
        structured("b", [("content-type", b"application/cloudevents+json; charset=UTF-8")]),
        binary("c", ce_subject="s", ce_priority="3"),
        binary("d", **json_type),
        structured("e", data=..., data_base64=base64.b64encode(b'{"amount": "1.25"}').decode()),
    ]
    frame = admit(source_of(*FIELDS), records).frame
    assert frame["_time"].unique().to_list() == [NOW_MS * 1000]
    assert [str(amount) for amount in frame["amount"]] == ["1.25"] * 5
    assert frame["region"].to_list() == ["EU", "EU", "EU", "EU", None]
    assert frame["kind"].to_list() == ["order"] * 5
    assert frame["subject"].to_list() == ["s", None, "s", None, None]
    assert frame["priority"].to_list() == [3, None, 3, None, None]
    assert frame.columns == ["_time", "_offset", "amount", "region", "kind", "subject", "priority"]


def test_source_and_id_are_the_identity_in_either_mode() -> None:
    records = [
        structured("a"),
        binary("a"),
        structured("a", source="/else"),
        structured("hopa", source="/s"),
        binary("b"),
        structured("b"),
    ]
    admitted = admit(source_of(*FIELDS), records)
    assert admitted.frame["_offset"].to_list() == [0, 2, 3, 4]
    assert admitted.duplicate == 2
    assert admit(source_of(*FIELDS, dedupe=False), records).accepted == 6


def test_event_time_and_identity_may_be_fields() -> None:
    at = Field("at", FieldType("timestamp"), ("at",), unit="ms")
    key = Field("key", FieldType("string"), ("ce", "subject"))
    source = source_of(at, key, event_time="at", identity="key")
    records = [
        structured("a", data={"at": NOW_MS - 1}, subject="x", time=...),
        structured("a", data={"at": NOW_MS - 2}, subject="y", time="nonsense"),
        binary("b", b'{"at": 5}', ce_subject="x"),
        binary("c", b'{"at": "x"}', ce_subject="z"),
        structured("d", data={}, subject="z"),
    ]
    admitted = admit(source, records)
    assert admitted.frame["_time"].to_list() == [(NOW_MS - 1) * 1000, (NOW_MS - 2) * 1000]
    assert admitted.duplicate == 1
    assert [(reject.index, reject.reason) for reject in admitted.rejects] == [(3, "event_time"), (4, "event_time")]


def test_the_attribute_time_may_be_a_field_as_well() -> None:
    when = Field("when", FieldType("timestamp"), ("ce", "time"))
    source = source_of(when, event_time="when")
    admitted = admit(source, [structured("a"), binary("b", ce_time=...), binary("c", ce_time="later")])
    assert admitted.frame["when"].cast(int).to_list() == [NOW_MS * 1000]
    assert [reject.reason for reject in admitted.rejects] == ["event_time", "event_time"]


def test_without_fields_in_the_data_the_data_may_be_anything() -> None:
    source = source_of(Field("kind", FieldType("string"), ("ce", "type")))
    records = [structured("a", data="<xml/>"), structured("b", data=...), binary("c", b"\x00\xff"), binary("d", b"")]
    assert admit(source, records).accepted == 4


def test_optional_data_may_be_missing() -> None:
    source = source_of(Field("region", FieldType("string"), ("region",), optional=True))
    assert admit(source, [structured("a", data=...), structured("b", data=None)]).frame["region"].to_list() == [
        None,
        None,
    ]


AVRO = [("content-type", b"application/cloudevents+avro")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ((None, []), "tombstone"),
        ((None, binary("x")[1]), "tombstone"),
        ((b'{"amount": 1}', []), "cloudevent"),
        ((b"[]", []), "wrong_type"),
        (structured("x", specversion=...), "cloudevent"),
        (structured("x", specversion="0.3"), "cloudevent"),
        (structured("x", specversion=1.0), "cloudevent"),
        (structured("", type="order"), "cloudevent"),
        (structured("x", source=...), "cloudevent"),
        (structured("x", type=None), "cloudevent"),
        (structured("x", time=...), "event_time"),
        (structured("x", time="soon"), "event_time"),
        (structured("x", time=5), "event_time"),
        (structured("x", time="2026-11-23T03:41:07Z"), "future"),
        (structured("x", data=...), "missing_field"),
        (structured("x", data={}), "missing_field"),
        (structured("x", data="text"), "wrong_type"),
        (structured("x", data={"amount": 1.255}), "out_of_range"),
        (structured("x", data=..., data_base64="?"), "malformed"),
        (structured("x", data=..., data_base64="AAA="), "malformed"),
        (structured("x", data=..., data_base64="AAA=", datacontenttype="application/avro"), "unsupported_encoding"),
        (structured("x", data=..., data_base64=5), "wrong_type"),
        (structured("x", priority="high"), "wrong_type"),
        (structured("x", AVRO), "unsupported_encoding"),
        ((b"\x00\x01", AVRO), "unsupported_encoding"),
        (binary("x", ce_id=...), "cloudevent"),
        (binary("x", ce_source=""), "cloudevent"),
        (binary("x", ce_specversion="0.3"), "cloudevent"),
        (binary("x", ce_time=...), "event_time"),
        (binary("x", ce_time="soon"), "event_time"),
        (binary("x", ce_priority="high"), "wrong_type"),
        (binary("x", b""), "malformed"),
        (binary("x", b'{"amount": 1}, "id": "y"'), "malformed"),
        (binary("x", b'{"amount": 1', ce_type="order"), "malformed"),
        (binary("x", b'{"amount": []}'), "wrong_type"),
        (binary("x", content_type="application/avro"), "unsupported_encoding"),
        (binary("x", content_encoding="gzip"), "unsupported_encoding"),
        ((b"{}", [*binary("x")[1][:-1], ("ce_time", b"\xff")]), "malformed"),
        ((b"x" * 2_000_000, binary("x")[1]), "too_large"),
    ],
)
def test_refused_and_neighbours_are_unaffected(record: tuple[bytes | None, Headers], reason: str) -> None:
    admitted = admit(source_of(*FIELDS), [structured("a"), record, binary("b")])
    assert [(reject.index, reject.reason) for reject in admitted.rejects] == [(1, reason)]
    assert admitted.frame["_offset"].to_list() == [0, 2]
    alone = admit(source_of(*FIELDS), [record])
    assert (alone.rejects[0].reason, alone.rejects[0].message) == (reason, admitted.rejects[0].message)


@pytest.mark.parametrize(
    "declared",
    [
        Field("id", FieldType("integer"), ("ce", "id")),
        Field("deep", FieldType("string"), ("ce", "data", "x")),
        Field("all", FieldType("string"), ("ce",)),
        Field("long", FieldType("decimal", 30, 2), ("ce", "x")),
    ],
)
def test_attributes_that_cannot_be_read_as_declared(declared: Field) -> None:
    with pytest.raises(LayoutError, match=declared.name):
        admit(source_of(declared), [])
