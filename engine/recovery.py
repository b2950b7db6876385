"""What a table's records say of one source partition: who wrote them rightfully, and which is the newest (protocol
rules 2 and 3).

An owner's epoch is the changelog offset of its assignment record. It is *established* by its first manifest, before
which it rewrites what it recovered under its own epoch. From then on nothing that an earlier owner writes counts, and
nothing depends on keys which such an owner could still overwrite. Until then the earlier owner's records are as good as
ever: they are functions of the same prefix.
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
    blocks: dict[Place, tuple[BlockKey, bytes]] = field(default_factory=dict)
    superseded: list[bytes] = field(default_factory=list)


def recover(records: Iterable[TableRecord], epoch: int) -> Recovered:
    """Read a table's records, newest of each key, for the owner of this epoch."""
    of_epochs = [(key, value, offset, epoch_of(key)) for key, value, offset in records]
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
