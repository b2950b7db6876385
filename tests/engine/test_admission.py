"""Verdicts are a function of the partition's prefix (protocol rules 2, 5 and 6): against a plain reading of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.admission import Admission, Admitted, Batch, DecisionState
from engine.catalog.model import Field, FieldType, Source, Watermark
from engine.event_time import NEVER

SECOND = 1_000_000


def source_of(
    *,
    dedupe: int | None = 50,
    delay: int = 5,
    lateness: int = 20,
    future: int = 10,
    optional_id: bool = False,
) -> Source:
    """A source whose settings are in seconds."""
    fields = (
        Field("id", FieldType("string"), ("id",), optional=optional_id),
        Field("at", FieldType("timestamp"), ("at",), unit="s"),
        Field("amount", FieldType("decimal", 12, 2), ("amount",)),
    )
    return Source(
        name="orders",
        topic="shop.orders",
        format="json",
        timezone="UTC",
        event_time="at",
        identity=None if dedupe is None else "id",
        dedupe_us=None if dedupe is None else dedupe * SECOND,
        watermark=Watermark(delay_us=delay * SECOND, max_future_us=future * SECOND),
        allowed_lateness_us=lateness * SECOND,
        fields={declared.name: declared for declared in fields},
    )


@dataclass(frozen=True)
class Sent:
    """One record: ``at`` in seconds, ``stamp`` its Kafka timestamp in seconds."""

    id: str | None
    at: int
    stamp: int
    readable: bool = True

    @property
    def value(self) -> bytes:
        amount = 1.25 if self.readable else "cheap"
        return json.dumps({"id": self.id, "at": self.at, "amount": amount}).encode()


@dataclass
class Rules:
    """The rules, read word by word, one event at a time."""

    source: Source
    entries: list[tuple[str, int]] = field(default_factory=list)
    highest: int | None = None

    def verdict(self, sent: Sent) -> str:
        source = self.source
        time = sent.at * SECOND
        if not sent.readable:
            return "invalid"
        if time > sent.stamp * SECOND + source.watermark.max_future_us:
            return "invalid"
        watermark = None if self.highest is None else self.highest - source.watermark.delay_us
        if source.dedupe_us is not None and sent.id is not None:
            for id_, accepted_time in self.entries:
                if id_ == sent.id and (watermark is None or accepted_time >= watermark - source.dedupe_us):
                    return "duplicate"
        if watermark is not None and time < watermark - source.allowed_lateness_us:
            return "late"
        if sent.id is not None:
            self.entries.append((sent.id, time))
        self.highest = time if self.highest is None else max(self.highest, time)
        return "accepted"


def batch_of(sent: Sequence[Sent], offsets: Sequence[int]) -> Batch:
    return Batch(
        partition=0,
        values=[event.value for event in sent],
        offsets=np.array(offsets, dtype=np.int64),
        timestamps=np.array([event.stamp * 1000 for event in sent], dtype=np.int64),
        next_offset=(offsets[-1] + 1) if offsets else 0,
    )


def verdicts_of(admitted: Admitted, offsets: Sequence[int]) -> dict[int, str]:
    """The verdict by offset; checks that the counts and the frame say the same."""
    found = dict.fromkeys(admitted.frame["_offset"].to_list(), "accepted")
    for reject in admitted.rejects:
        assert offsets[reject.index] == reject.offset
        found[reject.offset] = "late" if reject.reason == "late" else "invalid"
    for offset in offsets:
        found.setdefault(offset, "duplicate")
    assert admitted.accepted + admitted.duplicate + admitted.late + admitted.invalid == len(offsets)
    for verdict in ("accepted", "duplicate", "late", "invalid"):
        assert getattr(admitted, verdict) == sum(found[offset] == verdict for offset in offsets)
    return {offset: found[offset] for offset in offsets}


ids = st.sampled_from("abcdefgh")
ascending = st.lists(
    st.builds(
        lambda id_, step, back, lag, readable: (id_, step, back, lag, readable),
        ids,
        st.integers(0, 12),
        st.sampled_from([0, 0, 0, 3, 7, 24, 26, 30, 60, -9, -11, -30]),
        st.sampled_from([0, 0, 0, 40]),
        st.sampled_from([True] * 9 + [False]),
    ),
    max_size=60,
)


@st.composite
def streams(draw: st.DrawFn) -> list[Sent]:
    """Events whose time goes on, with stragglers, leaps ahead, duplicates with the same and with another time."""
    now = 1_000
    sent: list[Sent] = []
    for id_, step, back, lag, readable in draw(ascending):
        now += step
        if sent and draw(st.integers(0, 3)) == 0:
            again = sent[draw(st.integers(0, len(sent) - 1))]
            sent.append(Sent(again.id, again.at, now))
        else:
            sent.append(Sent(id_, now - back, now - lag, readable))
    return sent


@st.composite
def split(draw: st.DrawFn, count: int) -> list[int]:
    """Lengths of batches that make up ``count`` records."""
    lengths = []
    while count:
        length = draw(st.integers(1, count))
        lengths.append(length)
        count -= length
    return lengths


@given(data=st.data(), sent=streams())
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dedupe": None},
        {"dedupe": 25, "delay": 5, "lateness": 20},
        {
            "dedupe": 10,
            "delay": 0,
            "lateness": 40,
        },  # covers less than the lateness: ids expire before their events are late
        {"dedupe": 0, "delay": 0, "lateness": 0},
        {"dedupe": 100_000, "lateness": 100_000},
    ],
    ids=str,
)
def test_rules_5_and_6_whatever_the_batches(data: st.DataObject, sent: list[Sent], settings: dict[str, Any]) -> None:
    source = source_of(**settings)
    rules = Rules(source)
    gaps = data.draw(st.lists(st.integers(0, 3), min_size=len(sent), max_size=len(sent)))
    offsets = [place + sum(gaps[: place + 1]) for place in range(len(sent))]
    expected = {offset: rules.verdict(event) for offset, event in zip(offsets, sent, strict=True)}
    admission = Admission(source, 0, DecisionState.restore(source))
    found: dict[int, str] = {}
    first = 0
    for length in data.draw(split(len(sent))):
        part = slice(first, first + length)
        found |= verdicts_of(admission.admit(batch_of(sent[part], offsets[part])), offsets[part])
        first += length
    assert found == expected


@given(data=st.data(), sent=streams())
@pytest.mark.parametrize("settings", [{}, {"dedupe": 25}, {"dedupe": 0, "lateness": 0}], ids=str)
def test_rule_2_decides_again_as_before_a_restart(
    data: st.DataObject, sent: list[Sent], settings: dict[str, Any]
) -> None:
    """Flushes at any offsets, then a stop, perhaps in the middle of a flush: the rest is judged as without it."""
    source = source_of(**settings)
    rules = Rules(source)
    offsets = list(range(len(sent)))
    expected = [rules.verdict(event) for event in sent]
    state = DecisionState.restore(source)
    admission = Admission(source, 0, state)
    durable: dict[int, bytes] = {}
    highest, resume = NEVER, 0
    first = 0
    for length in data.draw(split(data.draw(st.integers(0, len(sent))))):
        part = slice(first, first + length)
        admission.admit(batch_of(sent[part], offsets[part]))
        first += length
        if data.draw(st.booleans()):
            segments, gone = state.since_flush(), state.expired_segments()
            durable.update({segment_first: raw for segment_first, _, raw in segments})
            if not data.draw(st.booleans()):
                continue  # the manifest was not acknowledged; a later flush may still be
            highest, resume = state.highest_us, first
            for segment_first in gone:
                del durable[segment_first]
    restored = DecisionState.restore(source, highest, sorted(durable.items()), resume)
    rest = Admission(source, 0, restored).admit(batch_of(sent[resume:], offsets[resume:]))
    found = verdicts_of(rest, offsets[resume:])
    assert found == dict(zip(offsets[resume:], expected[resume:], strict=True))


def admit(source: Source, *batches: Sequence[Sent]) -> list[dict[int, str]]:
    admission = Admission(source, 0, DecisionState.restore(source))
    answers, first = [], 0
    for sent in batches:
        offsets = list(range(first, first + len(sent)))
        answers.append(verdicts_of(admission.admit(batch_of(sent, offsets)), offsets))
        first += len(sent)
    return answers


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("what", "sent", "expected"),
    [
        (
            "a duplicate with a later time does not raise the watermark",
            [("a", 100), ("a", 200), ("b", 90)],
            ["accepted", "duplicate", "accepted"],
        ),
        (
            "an expired id counts as new",
            [("a", 100), ("b", 200), ("a", 190)],
            ["accepted", "accepted", "accepted"],
        ),
        (
            "an id that was accepted again is a duplicate of that",
            [("a", 100), ("b", 200), ("a", 190), ("a", 195)],
            ["accepted", "accepted", "accepted", "duplicate"],
        ),
        (
            "a late event leaves no id behind",
            [("b", 200), ("a", 100), ("a", 190)],
            ["accepted", "late", "accepted"],
        ),
        (
            "duplicate comes before late",
            [("a", 160), ("b", 190), ("a", 160)],
            ["accepted", "accepted", "duplicate"],
        ),
        (
            "an event at watermark - lateness is in time, one second earlier it is late",
            [("a", 200), ("b", 175), ("c", 174)],
            ["accepted", "accepted", "late"],
        ),
        (
            "an id at watermark - dedupe counts, one second earlier it does not",
            [("a", 146), ("b", 145), ("c", 200), ("a", 200), ("b", 200), ("d", 201), ("a", 201)],
            ["accepted", "accepted", "accepted", "duplicate", "duplicate", "accepted", "duplicate"],
        ),
    ],
)
def test_verdicts(what: str, sent: list[tuple[str, int]], expected: list[str], together: bool) -> None:
    records = [Sent(id_, at, 1_000) for id_, at in sent]
    answers = admit(source_of(), records) if together else admit(source_of(), *[[record] for record in records])
    assert [verdict for answer in answers for verdict in answer.values()] == expected, what


def test_future_is_measured_against_the_kafka_timestamp() -> None:
    [answer] = admit(source_of(future=10), [Sent("a", 110, 100), Sent("b", 111, 100), Sent("c", 105, 100)])
    assert list(answer.values()) == ["accepted", "invalid", "accepted"]


def test_an_event_without_the_optional_identity_is_never_a_duplicate() -> None:
    [answer] = admit(source_of(optional_id=True), [Sent(None, 100, 100), Sent("a", 100, 100), Sent(None, 100, 100)])
    assert set(answer.values()) == {"accepted"}


def test_the_frame_holds_the_declared_types_in_the_order_of_the_offsets() -> None:
    source = source_of()
    admitted = Admission(source, 0, DecisionState.restore(source)).admit(
        batch_of([Sent("a", 100, 100), Sent("a", 100, 100), Sent("b", 101, 100)], [7, 8, 11])
    )
    assert admitted.frame.schema == {
        "_time": pl.Int64(),
        "_offset": pl.Int64(),
        "id": pl.String(),
        "at": pl.Datetime("us", "UTC"),
        "amount": pl.Decimal(38, 2),
    }
    assert admitted.frame["_offset"].to_list() == [7, 11]
    assert admitted.frame["_time"].to_list() == [100 * SECOND, 101 * SECOND]


def test_an_empty_batch_and_one_of_bad_events_alone_give_empty_frames() -> None:
    source = source_of()
    admission = Admission(source, 0, DecisionState.restore(source))
    empty = admission.admit(batch_of([], []))
    bad = admission.admit(batch_of([Sent("a", 100, 100, readable=False)], [0]))
    assert empty.frame.schema == bad.frame.schema
    assert (empty.frame.height, bad.frame.height, bad.invalid) == (0, 0, 1)
    assert admission.state.highest_us == NEVER


def test_a_batch_can_be_cut_at_an_offset() -> None:
    sent = [Sent("a", 100, 100), Sent("b", 101, 101), Sent("c", 102, 102)]
    batch = Batch(
        partition=3,
        values=[event.value for event in sent],
        offsets=np.array([10, 12, 15]),
        timestamps=lambda: np.array([100_000, 101_000, 102_000]),
        next_offset=16,
        headers=lambda index: [("n", str(index).encode())],
        headed=[0, 2],
    )
    cut = batch.since(11)
    assert batch.since(3) is batch
    assert cut.offsets.tolist() == [12, 15]
    assert callable(cut.timestamps)
    assert cut.timestamps().tolist() == [101_000, 102_000]
    assert list(cut.with_headers()) == [1]
    assert cut.headers(1) == [("n", b"2")]
    assert (cut.partition, cut.next_offset) == (3, 16)


def test_segments_expire_with_their_last_entry() -> None:
    source = source_of(dedupe=50, delay=5)
    state = DecisionState.restore(source)
    admission = Admission(source, 0, state)
    admission.admit(batch_of([Sent("a", 100, 1_000), Sent("b", 120, 1_000)], [0, 1]))
    assert [(first, following) for first, following, _ in state.since_flush()] == [(0, 2)]
    assert state.since_flush() == []
    admission.admit(batch_of([Sent("c", 175, 1_000)], [2]))
    assert state.expired_segments() == []  # the watermark is 170, so that 120 counts
    admission.admit(batch_of([Sent("d", 176, 1_000)], [3]))
    assert state.expired_segments() == [0]
    assert state.expired_segments() == []


def test_rejects_say_where_they_were_refused() -> None:
    source = source_of()
    sent: list[Any] = [
        Sent("a", 100, 100, readable=False),
        Sent("b", 200, 100),
        Sent("c", 110, 100),
        Sent("d", 10, 100),
    ]
    admitted = Admission(source, 0, DecisionState.restore(source)).admit(batch_of(sent, [0, 1, 2, 3]))
    assert [(reject.offset, reject.reason, reject.stage) for reject in admitted.rejects] == [
        (0, "wrong_type", "decode"),
        (1, "future", "admit"),
        (3, "late", "admit"),
    ]


def test_rule_2_former_settings_judge_what_they_judged_before() -> None:
    former, present = source_of(lateness=20), source_of(lateness=100)
    state = DecisionState.restore(former)
    before = Admission(former, 0, state).admit(batch_of([Sent("a", 200, 1_000), Sent("b", 150, 1_000)], [0, 1]))
    after = Admission(present, 0, state).admit(batch_of([Sent("a", 200, 1_000), Sent("c", 150, 1_000)], [2, 3]))
    assert verdicts_of(before, [0, 1]) == {0: "accepted", 1: "late"}
    assert verdicts_of(after, [2, 3]) == {2: "duplicate", 3: "accepted"}


def test_a_record_without_a_timestamp_is_not_future() -> None:
    source = source_of()
    batch = Batch(0, [Sent("a", 100, 0).value], np.array([0]), np.array([-1]), 1)
    assert Admission(source, 0, DecisionState.restore(source)).admit(batch).accepted == 1


def test_dedupe_without_any_identity_in_the_batch() -> None:
    source = source_of(optional_id=True)
    state = DecisionState.restore(source)
    assert Admission(source, 0, state).admit(batch_of([Sent(None, 100, 100)] * 2, [0, 1])).accepted == 2
    assert state.since_flush() == []
