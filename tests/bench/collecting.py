"""Reads a contender's results until every expected window is there and equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, TopicPartition

from tests.bench.orders import MINUTE_MS, Expected

# part ("count", "sum" in cents, "average" in cents), key number, window start in epoch ms, value
Reading = tuple[str, int, int, float]
Decode = Callable[[bytes], Iterable[Reading]]

_AVERAGE_SLACK = 1e-11  # 12 significant digits are published; doubles are summed by some


class Late(Exception):
    """The expected results did not come in time."""


class Unequal(Exception):
    """A window was published as closed with a wrong value, even if a right one came later."""


@dataclass
class Checklist:
    """Which windows' parts were read and are equal; a later reading of the same window replaces the earlier."""

    expected: Expected
    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.expected.counts.shape
        self._equal: dict[str, npt.NDArray[np.bool_]] = {part: np.zeros(shape, dtype=np.bool_) for part in self.parts}
        self._missing = self.expected.windows * len(self.parts)
        self.unequal = 0

    @property
    def missing(self) -> int:
        return self._missing

    def read(self, reading: Reading) -> None:
        part, key, start_ms, value = reading
        minute = (start_ms - self.expected.base_ms) // MINUTE_MS
        counts = self.expected.counts
        if part not in self._equal or not 0 <= minute < counts.shape[1] or not counts[key, minute]:
            return
        count, cents = int(counts[key, minute]), int(self.expected.cents[key, minute])
        if part == "average":
            equal = abs(value - cents / count) <= _AVERAGE_SLACK * value
        else:
            equal = value == (count if part == "count" else cents)
        seen = self._equal[part]
        if equal and not seen[key, minute]:
            self._missing -= 1
        elif not equal:
            self.unequal += 1
            if seen[key, minute]:
                self._missing += 1
        seen[key, minute] = equal


def collect(
    brokers: str,
    topic: str,
    partitions: int,
    decode: Decode,
    checklist: Checklist,
    *,
    patience: float,
    watch: Callable[[], None],
) -> None:
    """Returns once ``checklist`` misses nothing. ``watch`` is called about ten times a second and may raise; raises
    Late after ``patience`` seconds, Unequal when a closed window said something else first."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"collector-{topic}",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    deadline = time.monotonic() + patience
    try:
        while checklist.missing:
            for message in consumer.consume(10_000, 0.1):
                value = message.value()
                if message.error() is None and value is not None:
                    for reading in decode(value):
                        checklist.read(reading)
            watch()
            if time.monotonic() > deadline:
                raise Late(
                    f"{checklist.missing} results of {topic} missing, {checklist.unequal} unequal "
                    f"after {patience:.0f} s"
                )
        if checklist.unequal:
            raise Unequal(f"{checklist.unequal} closed results of {topic} were wrong at first")
    finally:
        consumer.close()
