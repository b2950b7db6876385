"""How ids become durable: the entries that came between two flushes, in records of some thousands (protocol rule 5)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.block_keys import UnknownVersion
from engine.sorted_ids import Int64s, UInt64s

SEGMENT_VERSION: Final = 1
SEGMENT_ENTRIES: Final = 1 << 15  # in one record, unless more come at once: those of a few hundred kB are sent faster
_SEGMENT: Final = struct.Struct("<BBxxIqqq")  # version, bytes of a time, count, first offset, next offset, lowest time


@dataclass(frozen=True, slots=True)
class Segment:
    """Entries of the events accepted between two offsets: ids, times (microseconds) and offsets, in the order of the
    offsets.
    """

    first_offset: int
    next_offset: int
    ids: UInt64s
    times: Int64s
    offsets: Int64s

    def below(self, offset: int) -> Segment:
        """Only what was accepted below an offset."""
        if self.next_offset <= offset:
            return self
        count = int(np.searchsorted(self.offsets, offset))
        return Segment(
            self.first_offset,
            max(offset, self.first_offset),
            self.ids[:count],
            self.times[:count],
            self.offsets[:count],
        )


def encode_segment(segment: Segment) -> bytes:
    """Version 1, little endian: head, ids of 16 bytes, offsets above the first as u32, times above the lowest as u32
    or u64. Ids do not compress, so that nobody should try.
    """
    lowest = int(segment.times.min()) if len(segment.times) else 0
    times = segment.times - lowest
    width = 4 if not len(times) or int(times.max()) < 2**32 else 8
    if segment.next_offset - segment.first_offset > 2**32:
        raise ValueError("a dedupe segment spans more than 2^32 offsets")
    head = _SEGMENT.pack(SEGMENT_VERSION, width, len(times), segment.first_offset, segment.next_offset, lowest)
    ids = np.ascontiguousarray(segment.ids, "<u8")
    offsets = (segment.offsets - segment.first_offset).astype("<u4")
    return b"".join((head, ids.data, offsets.data, times.astype(f"<u{width}").data))


def decode_segment(raw: bytes) -> Segment:
    """Raises `UnknownVersion` for one that another program wrote, ValueError for one that is cut short."""
    if raw[:1] != bytes((SEGMENT_VERSION,)):
        raise UnknownVersion(
            f"a dedupe segment of version {raw[:1].hex() or 'nothing'}; this program reads version {SEGMENT_VERSION}"
        )
    if len(raw) < _SEGMENT.size:
        raise ValueError("a dedupe segment is cut short")
    _, width, count, first, following, lowest = _SEGMENT.unpack_from(raw)
    ids_end = _SEGMENT.size + 16 * count
    offsets_end = ids_end + 4 * count
    if width not in (4, 8) or len(raw) != offsets_end + width * count:
        raise ValueError("a dedupe segment is cut short")
    ids = np.frombuffer(raw, "<u8", 2 * count, _SEGMENT.size).reshape(-1, 2)
    offsets = np.frombuffer(raw, "<u4", count, ids_end).astype(np.int64) + first
    times = np.frombuffer(raw, f"<u{width}", count, offsets_end).astype(np.int64) + lowest
    return Segment(first, following, ids, times, offsets)


def entries_of(segments: Iterable[Segment]) -> Segment | None:
    """All entries of some segments as one; None where there are none."""
    found = sorted((segment for segment in segments if len(segment.times)), key=lambda segment: segment.first_offset)
    if not found:
        return None
    return _joined(found)


def in_records(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Segments in the order of their offsets, none of them empty, put together as long as they fit one record."""
    together: list[Segment] = []
    count = 0
    for segment in segments:
        if together and count + len(segment.times) > SEGMENT_ENTRIES:
            yield _joined(together)
            together, count = [], 0
        together.append(segment)
        count += len(segment.times)
    if together:
        yield _joined(together)


def _joined(segments: Sequence[Segment]) -> Segment:
    if len(segments) == 1:
        return segments[0]
    return Segment(
        segments[0].first_offset,
        segments[-1].next_offset,
        np.concatenate([segment.ids for segment in segments]),
        np.concatenate([segment.times for segment in segments]),
        np.concatenate([segment.offsets for segment in segments]),
    )
