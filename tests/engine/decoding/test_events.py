"""JSON events: what is read, what is refused and why, and that a bad event changes nothing for its neighbours."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.admission import Admission, Admitted, Batch, DecisionState
from engine.catalog.model import Field, FieldKind, FieldType, Source, TimeUnit, Watermark
from engine.decoding.encodings import MAX_DEPTH
from engine.decoding.layout import LayoutError

NOW_MS = 1_795_394_467_000
AT = "2026-11-23T00:41:07Z"


def field(
    name: str,
    kind: FieldKind,
    path: str = "",
    *,
    optional: bool = False,
    unit: TimeUnit | None = None,
    decimal: tuple[int, int] = (0, 0),
) -> Field:
    return Field(name, FieldType(kind, *decimal), tuple((path or name).split(".")), optional=optional, unit=unit)


ORDERS = (
    field("at", "timestamp", "meta.at"),
    field("id", "string"),
    field("customer", "integer"),
    field("amount", "decimal", decimal=(12, 2)),
    field("exact", "decimal", optional=True, decimal=(38, 4)),
    field("weight", "number", optional=True),
    field("paid", "boolean", optional=True),
    field("shipped", "timestamp", "meta.shipping.at", optional=True),
    field("carrier", "string", "meta.shipping.carrier", optional=True),
    field("seen", "timestamp", optional=True, unit="ms"),
)


def source_of(*fields: Field, event_time: str = "at", identity: str | None = None) -> Source:
    return Source(
        name="orders",
        topic="shop.orders",
        format="json",
        timezone="Europe/Amsterdam",
        event_time=event_time,
        identity=identity,
        dedupe_us=None if identity is None else 10**12,
        watermark=Watermark(),
        allowed_lateness_us=10**15,
        fields={declared.name: declared for declared in fields},
    )


def batch_of(values: Sequence[bytes | None], **more: Any) -> Batch:
    count = len(values)
    return Batch(0, values, np.arange(count), np.full(count, NOW_MS, dtype=np.int64), count, **more)


def admit(values: Sequence[bytes | None], *fields: Field, identity: str | None = None, **more: Any) -> Admitted:
    source = source_of(*(fields or ORDERS), identity=identity)
    return Admission(source, 0, DecisionState.restore(source)).admit(batch_of(values, **more))


def order(**changes: Any) -> dict[str, Any]:
    event = {"id": "a", "meta": {"at": AT}, "customer": 7, "amount": 12.5, "undeclared": [{"x": None}]}
    event.update(changes)
    return {name: value for name, value in event.items() if value is not ...}


def text(**changes: Any) -> bytes:
    return json.dumps(order(**changes)).encode()


GOOD = text(id="good")


def test_every_type_as_a_column() -> None:
    values = [
        text(),
        text(
            exact="1234567890123456789012345678901234.5678",
            weight=-0.0,
            paid=True,
            meta={"at": "2026-11-23T01:41:07.5", "shipping": {"at": AT, "carrier": "Ünïcode\u0000"}},
            seen=NOW_MS,
        ),
        text(amount="7.1", exact=10**33, weight=3, paid=None, meta={"at": AT, "shipping": None}, seen=1.5),
    ]
    frame = admit(values).frame
    assert frame.drop("_time", "_offset").to_dict(as_series=False) == {
        "at": [datetime(2026, 11, 23, 0, 41, 7, part, tzinfo=UTC) for part in (0, 500_000, 0)],
        "id": ["a", "a", "a"],
        "customer": [7, 7, 7],
        "amount": [Decimal("12.50"), Decimal("12.50"), Decimal("7.10")],
        "exact": [None, Decimal("1234567890123456789012345678901234.5678"), Decimal(10**33)],
        "weight": [None, 0.0, 3.0],
        "paid": [None, True, None],
        "shipped": [None, datetime(2026, 11, 23, 0, 41, 7, tzinfo=UTC), None],
        "carrier": [None, "Ünïcode\u0000", None],
        "seen": [
            None,
            datetime(2026, 11, 23, 0, 41, 7, tzinfo=UTC),
            datetime(1970, 1, 1, 0, 0, 0, 1500, tzinfo=UTC),
        ],
    }
    assert str(frame["weight"][1]) == "0.0"


BAD: list[tuple[str, bytes | None, str]] = [
    ("null", None, "tombstone"),
    ("empty", b"", "malformed"),
    ("blank", b"  \n", "malformed"),
    ("no JSON", b"hello", "malformed"),
    ("cut short", GOOD[:-1], "malformed"),
    ("two events", GOOD + b"\n" + GOOD, "malformed"),
    ("byte order mark", b"\xef\xbb\xbf" + GOOD, "malformed"),
    ("UTF-16", GOOD.decode().encode("utf-16"), "malformed"),
    ("a schema registry's magic byte", b"\x00\x00\x00\x00\x07" + GOOD, "malformed"),
    ("invalid UTF-8 in a declared field", GOOD.replace(b"good", b"g\xffd"), "malformed"),
    ("a surrogate encoded in UTF-8", GOOD.replace(b"good", b"\xed\xa0\x80"), "malformed"),
    ("a lone high surrogate", GOOD.replace(b"good", b"\\ud800"), "malformed"),
    ("a lone low surrogate", GOOD.replace(b"good", b"\\udc00"), "malformed"),
    ("a high surrogate and a letter", GOOD.replace(b"good", b"\\ud800\\u0041"), "malformed"),
    ("NaN", text(weight=float("nan")), "malformed"),
    ("NaN, undeclared", text(undeclared=float("nan")), "malformed"),
    ("Infinity", text(weight=float("-inf")), "malformed"),
    ("a list", b"[" + GOOD + b"]", "wrong_type"),
    ("a number", b"5", "wrong_type"),
    ("a text", b'"order"', "wrong_type"),
    ("null in JSON", b"null", "wrong_type"),
    ("depth", text(undeclared=...)[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed"),
    ("depth without end", b'{"x":' * 50_000, "malformed"),
    ("a text for an integer", text(customer="7"), "wrong_type"),
    ("a fraction for an integer", text(customer=7.0), "wrong_type"),
    ("true for an integer", text(customer=True), "wrong_type"),
    ("2^63", text(customer=2**63), "out_of_range"),
    ("5000 digits", GOOD.replace(b"7", b"7" * 5000), "out_of_range"),
    ("a number for a text", text(id=7), "wrong_type"),
    ("a text for a number", text(weight="1.5"), "wrong_type"),
    ("2^80", text(weight=2.0**80), "out_of_range"),
    ("-2^80", text(weight=-(2.0**80)), "out_of_range"),
    ("1e999", GOOD.replace(b"12.5", b'12.5, "weight": 1e999'), "out_of_range"),
    ("1 for a boolean", text(paid=1), "wrong_type"),
    ("true for a decimal", text(amount=True), "wrong_type"),
    ("a third fraction digit", text(amount=1.255), "out_of_range"),
    ("a third fraction digit, in a text", text(amount="1.255"), "out_of_range"),
    ("0.1 + 0.2", text(amount=0.1 + 0.2), "out_of_range"),
    ("11 digits before the point", text(amount=12345678901), "out_of_range"),
    ("1e999 for a decimal", GOOD.replace(b"12.5", b"1e999"), "out_of_range"),
    ("a text of 1e99999 for a decimal", text(amount="1e99999"), "out_of_range"),
    ("a text of 500 digits for a decimal", text(amount="7" * 500), "out_of_range"),
    ("words for a decimal", text(amount="cheap"), "wrong_type"),
    ("an empty text for a decimal", text(amount=""), "wrong_type"),
    ("a number and more for a decimal", text(amount="1.25 EUR"), "wrong_type"),
    ("a comma for a decimal", text(amount="1,25"), "wrong_type"),
    ("NaN in a text", text(amount="NaN"), "wrong_type"),
    ("an object for a decimal", text(amount={}), "wrong_type"),
    ("a fifth fraction digit, of many", text(exact="0.00001"), "out_of_range"),
    ("too many digits before the point, of many", text(exact="7" * 40), "out_of_range"),
    ("1e99999, of many", GOOD.replace(b"12.5", b'12.5, "exact": 1e99999'), "out_of_range"),
    ("words for a decimal of many digits", text(exact="cheap"), "wrong_type"),
    ("false for a decimal of many digits", text(exact=False), "wrong_type"),
    ("a list for a decimal of many digits", text(exact=[1]), "wrong_type"),
    ("35 digits before the point", text(exact=10**34), "out_of_range"),
    ("true for a long decimal", text(exact=True), "wrong_type"),
    ("a list for a long decimal", text(exact=[1]), "wrong_type"),
    ("missing", text(amount=...), "missing_field"),
    ("null in a required field", text(amount=None), "missing_field"),
    ("no time", text(meta={}), "event_time"),
    ("null for the time", text(meta={"at": None}), "event_time"),
    ("no time that could be read", text(meta={"at": "yesterday"}), "event_time"),
    ("a number for a time", text(meta={"at": 5}), "event_time"),
    ("a list around the time", text(meta=[AT]), "wrong_type"),
    ("another time that cannot be read", text(meta={"at": AT, "shipping": {"at": "x"}}), "wrong_type"),
    ("a number beyond the year 9999", text(seen=10**18), "wrong_type"),
    ("a huge number for a time", text(seen=10**30), "wrong_type"),
    ("tomorrow", text(meta={"at": "2026-11-23T02:41:07Z"}), "future"),
    ("more than 1 MiB", text(undeclared="x" * 1024 * 1024), "too_large"),
]


@pytest.mark.parametrize(("value", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refused(value: bytes | None, reason: str) -> None:
    admitted = admit([GOOD, value, GOOD])
    assert [(reject.index, reject.reason) for reject in admitted.rejects] == [(1, reason)]
    assert admitted.frame["_offset"].to_list() == [0, 2]
    assert admitted.invalid == 1
    [message] = [reject.message for reject in admitted.rejects]
    assert 0 < len(message) < 400


good = st.builds(
    text,
    id=st.text(max_size=5),
    customer=st.integers(-(2**63), 2**63 - 1),
    amount=st.one_of(st.integers(-999, 999), st.just("1.25"), st.just(0.07)),
    exact=st.one_of(st.none(), st.just("1.5"), st.just(2), st.just(0.25)),
    weight=st.one_of(st.none(), st.floats(-1e9, 1e9), st.integers(-9, 9)),
    meta=st.sampled_from([{"at": AT}, {"at": "2026-11-22T01:00:00"}, {"at": AT, "shipping": {"carrier": "x"}}]),
    seen=st.one_of(st.none(), st.integers(0, NOW_MS), st.just(0.5)),
)


@given(
    st.lists(
        st.one_of(good, st.sampled_from([row[1] for row in BAD if row[1] is None or len(row[1]) < 1000])), max_size=12
    )
)
def test_neighbours_are_unaffected(values: list[bytes | None]) -> None:
    together = admit(values)
    alone = [admit([value]) for value in values]
    assert [(reject.index, reject.reason, reject.message) for reject in together.rejects] == [
        (index, one.rejects[0].reason, one.rejects[0].message) for index, one in enumerate(alone) if one.rejects
    ]
    expected = [row for one in alone for row in one.frame.drop("_offset").rows()]
    assert together.frame.drop("_offset").rows() == expected


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_do_more_than_be_refused(values: list[bytes]) -> None:
    assert admit(values).invalid == len(values)


def nested(depth: int) -> bytes:
    """An event whose deepest list is at that depth; its own object is the first."""
    return GOOD[:-1] + b',"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_the_depth_that_is_read_does_not_depend_on_the_stack() -> None:
    def at_stack(frames: int) -> list[int]:
        if frames:
            return at_stack(frames - 1)
        admitted = admit([nested(MAX_DEPTH), nested(MAX_DEPTH + 1), text(undeclared=["[" * 300, [1], {}] * 100)])
        return admitted.frame["_offset"].to_list()

    assert at_stack(0) == at_stack(sys.getrecursionlimit() // 3) == [0, 2]


def test_of_a_key_given_twice_the_last_value_counts() -> None:
    frame = admit([GOOD[:-1] + b',"customer":9}']).frame
    assert frame["customer"].to_list() == [9]


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ([], True),
        ([("content-type", b"application/json")], True),
        ([("Content-Type", b'application/json; charset="UTF-8"')], True),
        ([("contentType", b'"application/json"')], True),
        ([("content-type", b"application/vnd.shop.order+json")], True),
        ([("content-type", b"application/octet-stream")], True),
        ([("content-type", None)], True),
        ([("content-encoding", b"identity")], True),
        ([("trace", b"\xff")], True),
        ([("content-type", b"application/avro")], False),
        ([("content-type", b"avro/binary")], False),
        ([("content-type", b"application/x-protobuf")], False),
        ([("content-type", b"\xff\xfe")], False),
        ([("content-type", b"application/json; charset=utf-16")], False),
        ([("content-type", b"application/cloudevents-batch+json")], False),
        ([("content-encoding", b"gzip")], False),
        ([("Content_Encoding", b"snappy")], False),
    ],
    ids=str,
)
@pytest.mark.parametrize("told", [True, False])
def test_headers_that_name_another_encoding(headers: list[tuple[str, bytes]], accepted: bool, told: bool) -> None:
    admitted = admit(
        [GOOD, GOOD, b"{"], headers=lambda index: headers if index else [], headed=[1, 2] if told else None
    )
    reasons = {reject.index: reject.reason for reject in admitted.rejects}
    assert reasons == ({2: "malformed"} if accepted else {1: "unsupported_encoding", 2: "unsupported_encoding"})


def test_two_fields_may_read_the_same_place() -> None:
    fields = (
        field("at", "timestamp", "at", unit="ms"),
        field("at_number", "number", "at"),
        field("at_integer", "integer", "at", optional=True),
        field("same", "integer", "at"),
    )
    admitted = admit([b'{"at": 5}', b'{"at": 5.5}', b"{}", b'{"at": null}', b'{"at": "x"}'], *fields)
    assert admitted.frame.select("at_number", "at_integer", "same").rows() == [(5.0, 5, 5)]
    assert [reject.reason for reject in admitted.rejects] == ["wrong_type", "event_time", "event_time", "event_time"]


def test_a_path_through_another_field_is_refused() -> None:
    with pytest.raises(LayoutError, match="'meta'"):
        admit([], field("at", "timestamp", "meta.at"), field("meta", "string"))


def test_an_optional_event_time_has_to_be_there() -> None:
    fields = (field("at", "timestamp", optional=True), field("n", "integer", optional=True))
    admitted = admit([b"{}", f'{{"at": "{AT}"}}'.encode(), b'{"at": null, "n": 1}'], *fields)
    assert [(reject.index, reject.reason) for reject in admitted.rejects] == [(0, "event_time"), (2, "event_time")]


def test_many_fields_in_another_order_than_declared() -> None:
    fields = [field(f"field{place}", "integer") for place in range(40)]
    event = {f"field{place}": place for place in reversed(range(40))} | {"at": AT}
    frame = admit([json.dumps(event).encode()], field("at", "timestamp"), *fields).frame
    assert frame.drop("_time", "_offset", "at").row(0) == tuple(range(40))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", ['"1"', '"2"', '"\\u0031"']),
        ("integer", ["1", "2", "1"]),
        ("decimal", ["1.5", "2", '"1.50"']),
        ("timestamp", [f'"{AT}"', '"2026-11-23T00:41:08Z"', '"2026-11-23T01:41:07+01:00"']),
    ],
)
def test_identities_are_equal_as_values(kind: FieldKind, values: list[str]) -> None:
    fields = (field("at", "timestamp"), field("key", kind, decimal=(12, 2)))
    admitted = admit([f'{{"at": "{AT}", "key": {value}}}'.encode() for value in values], *fields, identity="key")
    assert admitted.frame["_offset"].to_list() == [0, 1]
    assert admitted.duplicate == 1
