"""Keys of blocks, in changelogs and partials.

Big endian, so that keys sort by place: kind u8 | version u8 | dimension set 8 bytes | view 8 bytes | pane i64 with its
sign bit flipped | bucket u32 | split u16 | source partition i32, likewise | epoch u64.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

KEY_VERSION = 1
BLOCK = 1  # aggregates of one source partition
OTHER = 3  # a bucket's `__other__` row on its way to the bucket that adds them up
KINDS = (BLOCK, OTHER)

_KEY = struct.Struct(">BB8s8sQIHIQ")
_SIGN_64 = 1 << 63
_SIGN_32 = 1 << 31


class UnknownVersion(ValueError):
    """A record written by another version of this program; it is refused, never guessed."""


class BlockKey(NamedTuple):
    """``dimension_set`` and ``view`` are 16 hex digits; ``partition`` -1: a sealed block; ``epoch``: its writer's."""

    dimension_set: str
    view: str
    partition: int
    pane: int
    bucket: int
    split: int
    epoch: int
    kind: int = BLOCK

    def pack(self) -> bytes:
        return _KEY.pack(
            self.kind,
            KEY_VERSION,
            bytes.fromhex(self.dimension_set),
            bytes.fromhex(self.view),
            self.pane + _SIGN_64,
            self.bucket,
            self.split,
            self.partition + _SIGN_32,
            self.epoch,
        )

    @classmethod
    def unpack(cls, key: bytes) -> BlockKey:
        """Raises `UnknownVersion`, and ValueError for a key that is not a block's."""
        if len(key) < 2:
            raise ValueError("a record key of less than two bytes")
        if key[1] != KEY_VERSION:
            raise UnknownVersion(f"a record key of version {key[1]}; this program reads version {KEY_VERSION}")
        if key[0] not in KINDS or len(key) != _KEY.size:
            raise ValueError(f"a record key of kind {key[0]} and {len(key)} bytes is not a block's")
        kind, _, dimension_set, view, pane, bucket, split, partition, epoch = _KEY.unpack(key)
        return cls(dimension_set.hex(), view.hex(), partition - _SIGN_32, pane - _SIGN_64, bucket, split, epoch, kind)
