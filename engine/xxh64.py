"""xxh64 with seed 0 of many short byte strings of one length at once (https://github.com/Cyan4973/xxHash, XXH64)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(p)
    for p in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
_Words = npt.NDArray[np.uint64]


def xxh64_rows(rows: npt.NDArray[np.uint8]) -> _Words:
    """The hash of each row of a (count, length) byte matrix."""
    count, length = rows.shape
    rows = np.ascontiguousarray(rows)
    at = 0
    if length >= 32:
        start = _accumulators()
        lanes = [np.full(count, lane, dtype=np.uint64) for lane in start]
        while at + 32 <= length:
            lanes = [_round(lane, _word(rows, at + 8 * i)) for i, lane in enumerate(lanes)]
            at += 32
        a, b, c, d = lanes
        h = _rotl(a, 1) + _rotl(b, 7) + _rotl(c, 12) + _rotl(d, 18)
        for lane in lanes:
            h = (h ^ _round(np.zeros(count, dtype=np.uint64), lane)) * _P1 + _P4
    else:
        h = np.full(count, _P5, dtype=np.uint64)
    h = h + np.uint64(length)
    while at + 8 <= length:
        h ^= _round(np.zeros(count, dtype=np.uint64), _word(rows, at))
        h = _rotl(h, 27) * _P1 + _P4
        at += 8
    if at + 4 <= length:
        h ^= rows[:, at : at + 4].copy().view("<u4").reshape(count).astype(np.uint64) * _P1
        h = _rotl(h, 23) * _P2 + _P3
        at += 4
    while at < length:
        h ^= rows[:, at].astype(np.uint64) * _P5
        h = _rotl(h, 11) * _P1
        at += 1
    h ^= h >> np.uint64(33)
    h *= _P2
    h ^= h >> np.uint64(29)
    h *= _P3
    return h ^ (h >> np.uint64(32))


def _accumulators() -> list[int]:
    mask = 2**64 - 1
    return [(int(_P1) + int(_P2)) & mask, int(_P2), 0, -int(_P1) & mask]


def _word(rows: npt.NDArray[np.uint8], at: int) -> _Words:
    return rows[:, at : at + 8].copy().view("<u8").reshape(len(rows))


def _round(lane: _Words, word: _Words) -> _Words:
    return _rotl(lane + word * _P2, 31) * _P1


def _rotl(words: _Words, bits: int) -> _Words:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
