"""Events that were refused: kept as they came in `<topic>.dlq`, listed, sent again; and when to stop instead.

Key, value and headers of a dead letter are those of the event, with `kpi.errors.*` headers added. It lies in the
partition of the same number as the event's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import ConsumerRecord

from engine.dead_letters import Reject
from sinks.names import DEAD_LETTER_HEADERS, dead_letter_topic
from streams.fetching import Original
from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.record_format import Headers
from streams.security import KafkaSecurity

REPLAYED_AT_ONCE = 5_000
WRITE_SECONDS = 30.0
# Refusals that say something about the producer; being late or sent ahead of time says something about time.
TIMELY = frozenset({"late", "future"})


class TooManyDeadLetters(Exception):
    """So many events are refused that the source, the catalog or this program is more likely wrong than the events."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was refused. ``topic``, ``partition`` and ``offset`` are where it came from."""

    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    message: str
    timestamp_ms: int  # when it was refused, since the epoch
    key: bytes | None
    value: bytes | None
    headers: Headers  # its own


def dead_letter_records(
    topic: str, partition: int, rejects: Iterable[Reject], originals: Mapping[int, Original]
) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]:
    """What to write to the dead letters for events of one partition; `originals` by offset."""
    records = []
    for reject in rejects:
        original = originals[reject.offset]
        why = (topic, str(partition), str(reject.offset), reject.stage, reject.reason, reject.message)
        added = [(name, text.encode()) for name, text in zip(DEAD_LETTER_HEADERS, why, strict=True)]
        # An event that was a dead letter before and was sent again says only where it came from last.
        own: list[Any] = [header for header in original.headers if header[0] not in DEAD_LETTER_HEADERS]
        records.append((original.key, original.value, own + added))
    return records


class DeadLetterLimit:
    """Of one partition: tells when more than `ratio` of the last `window` events, or `run` in a row, were refused."""

    def __init__(self, ratio: float = 0.5, window: int = 10_000, run: int = 10_000) -> None:
        self._ratio = ratio
        self._window = window
        self._run = run
        self._recent: deque[tuple[int, int]] = deque()
        self._events = 0
        self._refused = 0
        self._in_a_row = 0

    def observe(self, offsets: Sequence[int], rejects: Iterable[Reject]) -> str | None:
        """Take in the offsets of a batch and its refusals. What is wrong, when it is too much."""
        refused = {reject.offset: reject for reject in rejects if reject.reason not in TIMELY}
        self._recent.append((len(offsets), len(refused)))
        self._events += len(offsets)
        self._refused += len(refused)
        while self._events - self._recent[0][0] >= self._window:
            events, gone = self._recent.popleft()
            self._events -= events
            self._refused -= gone
        if not refused:
            self._in_a_row = 0 if len(offsets) else self._in_a_row
            return None
        last = list(refused.values())[-1]
        example = f"the last at offset {last.offset}: {last.message}"
        for offset in offsets:
            self._in_a_row = self._in_a_row + 1 if offset in refused else 0
            if self._in_a_row >= self._run:
                return f"{self._in_a_row} events in a row were refused, {example}"
        if self._events >= self._window and self._refused > self._ratio * self._events:
            return f"{self._refused} of the last {self._events} events were refused, {example}"
        return None


async def list_dead_letters(
    topic: str,
    brokers: str,
    security: KafkaSecurity | None = None,
    *,
    reasons: Collection[str] | None = None,
    limit: int | None = None,
) -> list[DeadLetter]:
    """The dead letters of a source topic, oldest first. Raises KafkaError, ReadStalled."""
    found: list[DeadLetter] = []
    async with topic_reader(brokers, security) as reader:
        tps = await reader.partitions(dead_letter_topic(topic))
        async for _, messages in reader.messages(await reader.ends(tps)):
            letters = (_dead_letter(message) for message in messages)
            found.extend(letter for letter in letters if letter and (not reasons or letter.reason in reasons))
    found.sort(key=lambda letter: (letter.timestamp_ms, letter.partition, letter.offset))
    return found[:limit]


async def replay_dead_letters(
    topic: str,
    brokers: str,
    security: KafkaSecurity | None = None,
    *,
    reasons: Collection[str] | None = None,
    limit: int | None = None,
) -> int:
    """Send dead letters to their source topic again, each to the partition it came from; how many were sent.

    Deduplication is kept by partition (protocol rule 5). Raises KafkaError, ReadStalled, WriteFailed.
    """
    letters = await list_dead_letters(topic, brokers, security, reasons=reasons, limit=limit)
    async with BulkWriter(brokers, security, timeout=WRITE_SECONDS) as writer:
        for begin in range(0, len(letters), REPLAYED_AT_ONCE):
            places: dict[tuple[str, int], list[Any]] = {}
            for letter in letters[begin : begin + REPLAYED_AT_ONCE]:
                record = (letter.key, letter.value, letter.headers)
                places.setdefault((letter.topic, letter.partition), []).append(record)
            await writer.write_with_headers(places)
    return len(letters)


def _dead_letter(message: ConsumerRecord[Any, Any]) -> DeadLetter | None:
    """None for a record that somebody else wrote there: without the headers nobody knows what it is."""
    headers = dict(message.headers)
    why = [headers.get(name) for name in DEAD_LETTER_HEADERS]
    topic, partition, offset, stage, reason, text = ((part or b"").decode(errors="replace") for part in why)
    if None in why or not (partition.isdecimal() and offset.isdecimal()):
        return None
    own = [header for header in message.headers if header[0] not in DEAD_LETTER_HEADERS]
    return DeadLetter(
        topic, int(partition), int(offset), stage, reason, text, message.timestamp, message.key, message.value, own
    )
