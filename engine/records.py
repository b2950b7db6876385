"""The small records beside the blocks: manifests, heartbeats, window states. MessagePack, versioned; an unknown version
is refused.

Offsets are *next* offsets: everything below is folded in, nothing at or above (protocol.md). Times are microseconds
since the epoch.
"""

from __future__ import annotations

import struct
from typing import Literal, TypeVar, cast

import msgspec

from engine.alerts.states import AlertState
from engine.blocks import UnknownVersion
from engine.decisions import DecisionSettings

VERSION = 1
RecordKind = Literal[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
HEARTBEAT: RecordKind = 2
OTHERS: RecordKind = 3
SEGMENT: RecordKind = 4
MANIFEST: RecordKind = 5
ASSIGNMENT: RecordKind = 6
WINDOWS: RecordKind = 7
ANNOUNCEMENT: RecordKind = 8
SENT: RecordKind = 9
ALERTS: RecordKind = 10
JUDGED: RecordKind = 11
T = TypeVar("T", "Manifest", "Heartbeat", "MergeManifest", "Revisions", "Others", "Sent", "SeriesAlerts", "JudgedFrom")
_HEAD = struct.Struct(">BB")
_ENTRY = struct.Struct(">BBIqQ")


class Manifest(msgspec.Struct, frozen=True):
    """What is durable of one source partition: written after its blocks and partials were acknowledged (protocol rule
    1).
    """

    offset: int
    highest_us: int  # highest accepted event time; NEVER where there was none
    floor_us: int
    topic_id: str  # as Kafka's tools show it; empty where the broker does not tell
    partitions: int
    decision: DecisionSettings
    since_us: dict[str, int]  # "view/column" -> history before this event time is missing
    epoch: int = 0
    version: int = VERSION


class Heartbeat(msgspec.Struct, frozen=True):
    """How far one source partition is, told to every merge partition after the partials it speaks for (protocol rule
    7).
    """

    source: str
    partition: int
    partitions: int
    epoch: int
    offset: int
    watermark_us: int
    floor_us: int
    idle: bool = False
    clock_us: int | None = None  # where the wall clock puts the watermark of an idle partition
    empty: bool = False  # at its end and never had an event: neutral
    behind: bool = False  # there is more to read than a flush holds
    since_us: dict[str, int] = {}
    version: int = VERSION


class MergeManifest(msgspec.Struct, frozen=True):
    """What is durable of one partials partition: written after its values were acknowledged (protocol rule 12)."""

    offset: int
    heartbeats: list[Heartbeat]
    published_us: dict[str, int]  # KPI definition -> publish time up to which windows were published
    closed_us: dict[str, int]  # KPI definition -> window end up to which windows were closed
    merged_us: dict[str, int]  # source -> merged watermark
    dropped_us: dict[str, int]  # view -> panes ending at or before this are gone
    topic_id: str = ""  # of partials
    version: int = VERSION


class Revisions(msgspec.Struct, frozen=True):
    """Revisions above 1 of one window of one KPI: series hash -> revision."""

    of: dict[int, int]
    version: int = VERSION


class Others(msgspec.Struct, frozen=True):
    """One bucket's share of one window. ``parts`` are one-row blocks, in the order of the KPI's (view, offset) pairs,
    the compared ones after.
    """

    start_us: int
    end_us: int
    progress: int
    parts: list[bytes]  # empty where the bucket has nothing in that part
    version: int = VERSION


class Sent(msgspec.Struct, frozen=True):
    """How far one partition of partials has sent the shares of its buckets on: those of windows that end by
    ``upto_us`` lie before this record, and of a bucket that has none there, nothing is above the cap.
    """

    upto_us: int
    version: int = VERSION


class SeriesAlert(msgspec.Struct, frozen=True):
    """One alert of a series that is pending or firing. ``told``: members of its object; ``said`` and ``raised``: what
    there was to say at the last look, and at the last breach; ``sequence`` and ``written_us`` are of the last object.
    """

    alert: str
    state: AlertState
    told: bytes
    said: str
    raised: str
    sequence: int
    written_us: int


class SeriesAlerts(msgspec.Struct, frozen=True):
    """What is pending or firing of one series of one KPI; ``dims`` in their key form. ``untold``: the objects that were
    decided with it (key, JSON), which may not have been told when their worker was killed; ``judged_us``: by alert, the
    last instant that was decided of those that have become inactive with it.
    """

    kpi: str
    dims: str
    alerts: list[SeriesAlert]
    untold: list[tuple[str, bytes]]
    judged_us: dict[str, int]
    version: int = VERSION


class JudgedFrom(msgspec.Struct, frozen=True):
    """Series of one KPI by their hashes: the first start of a window from which alerts judge them."""

    of: dict[int, int]
    version: int = VERSION


def encode(
    record: Manifest | Heartbeat | MergeManifest | Revisions | Others | Sent | SeriesAlerts | JudgedFrom,
) -> bytes:
    return msgspec.msgpack.encode(record)


def _decode(kind: type[T], raw: bytes) -> T:
    try:
        record = msgspec.msgpack.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise UnknownVersion(f"{kind.__name__} of another form than this program writes: {error}") from error
    if record.version != VERSION:
        raise UnknownVersion(f"{kind.__name__} of version {record.version}; this program reads version {VERSION}")
    return record


def decode_manifest(raw: bytes) -> Manifest:
    return _decode(Manifest, raw)


def decode_heartbeat(raw: bytes) -> Heartbeat:
    return _decode(Heartbeat, raw)


def decode_merge_manifest(raw: bytes) -> MergeManifest:
    return _decode(MergeManifest, raw)


def decode_revisions(raw: bytes) -> Revisions:
    return _decode(Revisions, raw)


def decode_others(raw: bytes) -> Others:
    return _decode(Others, raw)


def decode_sent(raw: bytes) -> Sent:
    return _decode(Sent, raw)


def decode_series_alerts(raw: bytes) -> SeriesAlerts:
    return _decode(SeriesAlerts, raw)


def decode_judged_from(raw: bytes) -> JudgedFrom:
    return _decode(JudgedFrom, raw)


def record_key(kind: RecordKind, partition: int, position: int = 0, epoch: int = 0, name: str = "") -> bytes:
    """Key of a record that is not a block: kind, version, partition, a position within it (offset, window end), epoch,
    name.
    """
    return _ENTRY.pack(kind, VERSION, partition, position, epoch) + name.encode()


def announcement(source: str, partition: int, epoch: int) -> tuple[bytes, bytes]:
    """What the new owner of a source partition tells every merge partition before it reads its table: a record of its
    own for each owner, which compaction leaves where it is (protocol rule 3).
    """
    return record_key(ANNOUNCEMENT, partition, 0, epoch, source), b"announced"


def with_epoch(key: bytes, epoch: int) -> bytes:
    """A key made by `record_key`, as the owner of this epoch writes it."""
    kind, partition, position, _, name = split_key(key)
    return record_key(cast(RecordKind, kind), partition, position, epoch, name)


def record_kind(key: bytes) -> int:
    """The kind byte of any key of the engine's topics. Raises `UnknownVersion`."""
    kind, version = _HEAD.unpack_from(key)
    if version != VERSION:
        raise UnknownVersion(f"a record key of version {version}; this program reads version {VERSION}")
    return int(kind)


def split_key(key: bytes) -> tuple[int, int, int, int, str]:
    """(kind, partition, position, epoch, name) of a key made by `record_key`."""
    kind, _, partition, position, epoch = _ENTRY.unpack_from(key)
    return kind, partition, position, epoch, key[_ENTRY.size :].decode()
