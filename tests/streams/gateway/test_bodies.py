"""A request's head and body, as the records that would be stored."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gateway.bodies import UnreadableBody, body_kind

MOST = 10_000  # bytes
EVENTS = 20


def read(body: bytes, type_: str | None = "application/json", **headers: str) -> tuple[list[bytes], dict[str, bytes]]:
    """The values of the records, and the headers that each of them has."""
    raw = [(name.replace("_", "-").encode(), text.encode("latin-1")) for name, text in headers.items()]
    if type_ is not None:
        raw.append((b"content-type", type_.encode()))
    carried = body_kind(raw).events(body, MOST, EVENTS)
    return carried.values, dict(carried.headers)


def refused(body: bytes, type_: str | None = "application/json", **headers: str) -> tuple[int, str, str]:
    with pytest.raises(UnreadableBody) as caught:
        read(body, type_, **headers)
    return caught.value.status, caught.value.reason, str(caught.value)


def test_an_object_is_one_event_byte_for_byte() -> None:
    odd = b' { "a" : 1.50,"a":2 , "b":"\\u00e9" }\n'
    for type_ in ("application/json", "application/json; charset=UTF-8", "text/json", "application/vnd.shop+json"):
        assert read(odd, type_) == ([odd], {})


def test_an_array_is_many_each_byte_for_byte() -> None:
    assert read(b'\r\n[ {"a": 1.50} ,\n{"a":[2]}, 3]') == ([b'{"a": 1.50}', b'{"a":[2]}', b"3"], {})


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), min_size=1, max_size=20))
def test_array_and_lines_carry_what_was_put_in(events: list[Any]) -> None:
    texts = [json.dumps(event).encode() for event in events]
    assert read(b"[" + b" , ".join(texts) + b"]")[0] == texts
    for type_ in ("application/x-ndjson", "application/jsonl"):
        assert read(b"\n".join(texts), type_)[0] == texts
        assert read(b"\r\n\r\n".join(texts) + b"\r\n", type_)[0] == texts


def test_a_line_that_is_no_json_is_still_one_event() -> None:
    assert read(b'{"a": 1}\n{broken\n\n{"a": 2}', "application/x-ndjson")[0] == [b'{"a": 1}', b"{broken", b'{"a": 2}']


def test_a_structured_cloudevent_says_so_in_its_header() -> None:
    kind = {"content-type": b"application/cloudevents+json"}
    assert read(b"{}", "application/cloudevents+json; charset=utf-8") == ([b"{}"], kind)
    assert read(b"[{}, {}]", "application/cloudevents-batch+json") == ([b"{}", b"{}"], kind)
    assert read(b"[{}, {}]", "application/cloudevents+json") == ([b"[{}, {}]"], kind), "for the decoder to refuse"


def test_a_binary_cloudevent_has_its_attributes_as_kafka_headers() -> None:
    found = read(
        b"[1]", "application/json", ce_specversion="1.0", ce_id="7", ce_type='"a \\"b\\""', ce_subject="Caf%C3%A9 %25"
    )
    assert found == (
        [b"[1]"],
        {
            "content-type": b"application/json",
            "ce_specversion": b"1.0",
            "ce_id": b"7",
            "ce_type": b'a "b"',
            "ce_subject": "Café %".encode(),
        },
    )
    assert read(b"", None, ce_specversion="1.0")[1] == {"ce_specversion": b"1.0"}


def test_what_is_not_read_is_told_with_what_is() -> None:
    for type_ in (None, "text/plain", "application/x-www-form-urlencoded", "application/cloudevents+avro", "text/csv"):
        status, reason, message = refused(b"{}", type_)
        assert (status, reason) == (415, "unsupported_encoding")
        assert "application/x-ndjson" in message
    assert refused(b"{}", "application/json; charset=latin-1")[0] == 415
    assert refused(b"{}", content_encoding="br")[0] == 415


@pytest.mark.parametrize("body", [b"[", b"[{}", b"[{} {}]", b"[" * 5000, b"[]", b" [ ] "])
def test_an_array_that_is_none_is_refused_as_a_whole(body: bytes) -> None:
    assert refused(body)[:2] == (422, "malformed")


def test_more_events_than_are_taken_at_once_are_refused() -> None:
    for most, body, type_ in (
        (EVENTS, b"[" + b",".join([b"{}"] * EVENTS) + b"]", "application/json"),
        (EVENTS, b"{}\n\n" * EVENTS, "application/x-ndjson"),
    ):
        assert len(read(body, type_)[0]) == most
        more = body[:-1] + b",{}]" if type_ == "application/json" else body + b"{}"
        assert refused(more, type_)[:2] == (413, "too_large")
    assert refused(b"\n" * 500, "application/x-ndjson")[:2] == (413, "too_large")


def test_lines_without_any_event_are_refused() -> None:
    assert refused(b"\n \r\n", "application/x-ndjson")[:2] == (422, "malformed")


def test_compressed_bodies_are_read_and_bounded() -> None:
    body = b'[{"a": 1}, {"a": 2}]'
    for packed, name in ((gzip.compress(body), "gzip"), (zlib.compress(body), "deflate")):
        assert read(packed, content_encoding=name)[0] == [b'{"a": 1}', b'{"a": 2}']
    lines = gzip.compress(b"{}\n") + gzip.compress(b"{}")  # as `cat a.gz b.gz` makes it
    assert read(lines, "application/x-ndjson", content_encoding="gzip")[0] == [b"{}", b"{}"]
    assert read(gzip.compress(b"7" * MOST), content_encoding="gzip")[0] == [b"7" * MOST]
    bomb = gzip.compress(b" " * (MOST + 1))
    assert len(bomb) < 100
    assert refused(bomb, content_encoding="gzip")[:2] == (413, "too_large")
    assert read(gzip.compress(b"\n") * 99 + gzip.compress(b"{}"), "application/jsonl", content_encoding="gzip")
    assert refused(gzip.compress(b"") * 101, content_encoding="gzip")[:2] == (413, "too_large")
    twice = gzip.compress(b" " * (MOST // 2 + 1)) * 2
    assert refused(twice, content_encoding="gzip")[:2] == (413, "too_large")


@pytest.mark.parametrize("body", [b"", b"{}", gzip.compress(b'{"a": 1}')[:-3], gzip.compress(b"{}") + b"x"])
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes) -> None:
    assert refused(body, content_encoding="gzip")[:2] == (422, "malformed")


def test_a_compressed_body_that_does_not_say_so_is_told_which_header_is_missing() -> None:
    for type_ in ("application/json", "application/x-ndjson"):
        status, _, message = refused(gzip.compress(b"{}"), type_)
        assert (status, "Content-Encoding: gzip" in message) == (415, True)


@pytest.mark.parametrize(
    "type_",
    ["application/json", "application/x-ndjson", "application/cloudevents+json", "application/cloudevents-batch+json"],
)
@pytest.mark.parametrize("body", [b"", b" \r\n", b"\xef\xbb\xbf"])
def test_a_body_without_any_event_is_told_so(body: bytes, type_: str) -> None:
    assert refused(body, type_) == (422, "malformed", "there is no event in the body")


def test_a_byte_order_mark_is_no_part_of_the_first_event() -> None:
    mark = b"\xef\xbb\xbf"
    assert read(mark + b'{"a": 1}')[0] == [b'{"a": 1}']
    assert read(mark + b'[{"a": 1}, {}]')[0] == [b'{"a": 1}', b"{}"]
    assert read(mark + b'{"a": 1}\n{}', "application/x-ndjson")[0] == [b'{"a": 1}', b"{}"]
    assert read(gzip.compress(mark + b"{}"), content_encoding="gzip")[0] == [b"{}"]
