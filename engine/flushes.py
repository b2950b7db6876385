"""What the first stage is told at a flush, and what it answers: all that has to be written, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from engine.records import HEARTBEAT, Heartbeat, encode, record_key


@dataclass(frozen=True, slots=True)
class Progress:
    """What the reader of the topic knows at a flush. ``silent_us``: how long the partition has had nothing, by a fetch
    answered at its end.

    ``behind``: whether there is more to read than a flush holds; None where only the end is known.
    """

    at_end: bool = False
    silent_us: int = 0
    now_us: int | None = None  # wall clock; used for idle partitions only
    behind: bool | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """What one flush writes. Each step is acknowledged before the next: dead letters of what was folded, state;
    partials; manifest; heartbeat; commit.
    """

    state: list[tuple[bytes, bytes]]  # segments and blocks, to the table
    partials: list[tuple[int, bytes, bytes]]  # (partition of partials, key, value)
    manifest: tuple[bytes, bytes]
    heartbeat: Heartbeat
    tombstones: list[bytes]  # table keys, to delete once the manifest is durable, and if no newer owner came before it
    offset: int

    def heartbeats(self, partitions: int) -> list[tuple[int, bytes, bytes]]:
        """The heartbeat for each partition of partials."""
        beat = self.heartbeat
        key = record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source)
        value = encode(beat)
        return [(partition, key, value) for partition in range(partitions)]
