"""What a table's records say of one source partition: who wrote them rightfully, and which is the newest (protocol
rules 2 and 3).

An owner's epoch is the changelog offset of its assignment record. It is *established* by its first manifest, before
which it rewrites what it recovered under its own epoch. From then on nothing that an earlier owner writes counts, and
nothing depends on keys which such an owner could still overwrite. Until then the earlier owner's records are as good as
ever: they are functions of the same prefix.

An owner announces its epoch to merge before it reads, and reads to the log's end as it is then. Whatever merge took
from an earlier owner was in the table before it was sent, so the new owner has read it: it judges those events as they
were judged, and no block of its own is older than one that merge has.

Segments are not rewritten, except those that an earlier owner wrote after the assignment. Nothing overwrites the
others; and an owner deletes a key only behind a manifest of its own that lies before any newer assignment, so what it
deletes, however late, is expired for all who come after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.blocks import BLOCK, BlockKey, stamp_of
from engine.records import ASSIGNMENT, MANIFEST, SEGMENT, Manifest, decode_manifest, record_kind, split_key

TableRecord = tuple[bytes, bytes, int]  # key, value, offset in the table's changelog
Place = tuple[str, int, int]  # view, pane, bucket


@dataclass(slots=True)
class Recovered:
    """The newest rightful state. ``superseded`` are keys that nothing needs once a newer owner is established."""

    manifest: Manifest | None = None
    segments: list[tuple[int, bytes]] = field(default_factory=list)  # first offset, entries
    segment_keys: dict[int, set[bytes]] = field(default_factory=dict)
    unfenced: list[tuple[int, bytes]] = field(default_factory=list)  # of the segments, those behind our assignment
    blocks: dict[Place, tuple[BlockKey, bytes]] = field(default_factory=dict)
    superseded: list[bytes] = field(default_factory=list)


def recover(records: Iterable[TableRecord], epoch: int) -> Recovered:
    """Read a table's records, newest of each key, for the owner of this epoch.

    Those of a newer owner are passed over: when there are any, nothing that this one writes counts.
    """
    of_epochs = [(key, value, offset, of) for key, value, offset in records if (of := epoch_of(key)) <= epoch]
    manifests = [(of, key, value) for key, value, _, of in of_epochs if record_kind(key) == MANIFEST]
    established = max((of for of, _, _ in manifests), default=-1)
    found = Recovered()
    for of, _, value in manifests:
        if of == established:
            found.manifest = decode_manifest(value)
    for key, value, offset, of in of_epochs:
        kind = record_kind(key)
        if kind == ASSIGNMENT:
            if offset < epoch:
                found.superseded.append(key)
            continue
        if kind in (BLOCK, MANIFEST) and of != epoch:
            found.superseded.append(key)
        if of < established < offset:
            if kind == SEGMENT:
                found.superseded.append(key)
            continue
        if kind == SEGMENT:
            first = split_key(key)[2]
            found.segments.append((first, value))
            found.segment_keys.setdefault(first, set()).add(key)
            if offset > epoch:
                found.unfenced.append((first, value))
        elif kind == BLOCK:
            block = BlockKey.unpack(key)
            place = (block.view, block.pane, block.bucket)
            kept = found.blocks.get(place)
            if kept is None or (stamp_of(value), block.epoch) > (stamp_of(kept[1]), kept[0].epoch):
                found.blocks[place] = (block, value)
    found.segments.sort()
    return found


def epoch_of(key: bytes) -> int:
    """The epoch that a key of a table ends in."""
    return BlockKey.unpack(key).epoch if record_kind(key) == BLOCK else split_key(key)[3]
