"""Files of events to JSON values, and event times moved to the present."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.loader import parse
from engine.catalog.model import Source
from streamgauge.sending.event_files import UnusableFile, open_event_file
from streamgauge.sending.partitions import by_partition
from streamgauge.sending.shifting import WEEK, Shift, TimeField, time_field, weeks_until
from tests.streamgauge.conftest import ORDERS


@pytest.fixture(scope="module")
def source() -> Source:
    catalog = parse([("orders.yaml", ORDERS.format(name="orders"))]).catalog
    assert catalog is not None
    return catalog.sources["orders"]


def values(path: Path, source: Source, shift: Shift | None = None) -> list[bytes]:
    return [value for chunk in open_event_file(path, source).chunks(None, shift) for value in chunk.values]


def keys(path: Path, source: Source, key: tuple[str, ...]) -> list[bytes | None]:
    return [one for chunk in open_event_file(path, source).chunks(key, None) for one in chunk.keys or []]


def test_lines_of_json_are_sent_as_they_are(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b'{"id": "1",  "amount":1.10}\n\n{"broken\n{"id":"2"}')
    assert values(path, source) == [b'{"id": "1",  "amount":1.10}', b'{"broken', b'{"id":"2"}']


def test_csv_takes_the_types_that_the_source_declares(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "id,at,region,amount,vip,note\n007,2026-01-01T00:00:00Z,EU,12345678.90,true,1\n8,2026-01-02,,0.1,,\n"
    )
    first, second = (json.loads(value) for value in values(path, source))
    assert first == {
        "id": "007",
        "at": "2026-01-01T00:00:00Z",
        "region": "EU",
        "amount": "12345678.90",
        "vip": True,
        "note": "1",
    }
    assert second["region"] is None and second["vip"] is None


def test_parquet_keeps_decimals_and_writes_times_as_rfc_3339(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "orders.parquet"
    at = datetime(2026, 1, 1, 12, 0, 0, 500_000)
    frame = pl.DataFrame({"id": ["1"], "at": [at], "utc": [at.replace(tzinfo=UTC)], "amount": [Decimal("1.10")]})
    frame.write_parquet(path)
    (event,) = (json.loads(value) for value in values(path, source))
    assert event == {
        "id": "1",
        "at": "2026-01-01T12:00:00.500",
        "utc": "2026-01-01T12:00:00.500+00:00",
        "amount": "1.10",
    }
    assert datetime.fromisoformat(event["utc"]) == at.replace(tzinfo=UTC)


def test_keys_are_the_texts_of_a_field(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text('{"id":"a","n":{"x":1}}\n{"id":"b\\u00e9","n":{}}\n{"id":null,"n":{"x":"t"}}\n')
    assert keys(path, source, ("id",)) == [b"a", "bé".encode(), None]
    assert keys(path, source, ("n", "x")) == [b"1", None, b"t"]


def test_a_line_that_cannot_be_read_has_no_key(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b'{"id":"a"}\n{"broken\n[1]\n{"id":"\xff"}\n' + b"[" * 9_000 + b'\n{"id":"b"}')
    assert keys(path, source, ("id",)) == [b"a", None, None, None, None, b"b"]


def test_a_byte_order_mark_is_no_part_of_the_first_event(tmp_path: Path, source: Source) -> None:
    mark = b"\xef\xbb\xbf"
    for name, text in (("orders.jsonl", b'{"id":"a"}\n'), ("orders.csv", b"id,at,region,amount\na,,,\n")):
        path = tmp_path / name
        path.write_bytes(mark + text)
        open_event_file(path, source).check(source)
        assert keys(path, source, ("id",)) == [b"a"]
        assert json.loads(values(path, source)[0])["id"] == "a"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("orders.json", ' \n[{"id": "1"}]', "is a JSON array; write its objects one a line"),
        ("orders.csv", "id,region,amount\n1,EU,1.00\n", "no column 'at' for the event time; it has id, region, amount"),
        ("orders.csv", "id,at,region\n1,2026-01-01,EU\n", "no column 'amount' for the field amount; it has id, at"),
        ("orders.csv", "id;at;region;amount\n1;2;3;4\n", "no column 'at' .* it has id;at;region;amount"),
    ],
)
def test_files_of_which_no_event_would_count_are_refused(
    tmp_path: Path, source: Source, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UnusableFile, match=message):
        open_event_file(path, source).check(source)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.jsonl", None, "does not exist"),
        ("orders.txt", "x", "unknown kind of file '.txt'"),
        ("orders.parquet", "x", "cannot be read"),
        ("orders.csv", "", "cannot be read"),
    ],
)
def test_unusable_files_are_refused_by_name(
    tmp_path: Path, source: Source, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(UnusableFile, match=message) as refused:
        values(path, source)
    assert name in str(refused.value)


def test_a_missing_time_column_is_named(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,when\n1,2026-01-01\n")
    with pytest.raises(UnusableFile, match="no column 'at' for the event time; it has id, when"):
        values(path, source, Shift(time_field(source), 1))


@given(last=st.datetimes(timezones=st.just(UTC)), now=st.datetimes(timezones=st.just(UTC)))
def test_the_fewest_weeks_put_the_last_event_at_or_after_now(last: datetime, now: datetime) -> None:
    weeks = weeks_until(last, now)
    assert weeks >= 0 and now - last <= weeks * WEEK
    assert weeks == 0 or now - last > (weeks - 1) * WEEK


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ("2026-02-27T23:59:59Z", "2026-03-06T23:59:59Z"),
        ("2026-02-27T23:59:59.123456+05:30", "2026-03-06T23:59:59.123456+05:30"),
        ("2024-02-26 10:00", "2024-03-04 10:00"),
        ("2026-12-31", "2027-01-07"),
    ],
)
def test_only_the_date_of_a_time_changes(written: str, moved: str) -> None:
    shift = Shift(TimeField(("at",), None, "Europe/Amsterdam"), 1)
    assert shift.text(written) == moved
    assert pl.DataFrame({"at": [written]}).select(shift.expression("at").alias("at")).item() == moved
    difference = shift.time_field.moment(moved) - shift.time_field.moment(written)
    assert abs(difference - WEEK) <= timedelta(hours=1)


def test_times_as_numbers_and_nested_times_are_moved_too() -> None:
    milliseconds = Shift(TimeField(("meta", "at"), "ms", "UTC"), 2)
    event = b'{"id":"1","price":1.10,"meta":{"at":1767225600000,"x":[1, 2]}}'
    assert milliseconds.json_text(event) == b'{"id":"1","price":1.10,"meta":{"at":1768435200000,"x":[1, 2]}}'
    assert milliseconds.json_text(b'{"id":"1"}') == b'{"id":"1"}'
    assert milliseconds.time_field.moment(1767225600000) == datetime(2026, 1, 1, tzinfo=UTC)


def test_one_key_goes_to_one_partition_the_one_that_kafka_chooses() -> None:
    """Kafka's own tests give murmur2("21") = -973932308 and murmur2("foobar") = -790332482."""
    parts = by_partition([b"1", b"2", b"3", b"4"], [b"21", b"foobar", None, b"21"], 5, turn=14)
    assert parts == {0: [(b"21", b"1"), (b"21", b"4")], 1: [(b"foobar", b"2")], 4: [(None, b"3")]}
    assert by_partition([b"1", b"2"], None, 3, turn=5) == {2: [(None, b"1"), (None, b"2")]}
