"""Kafka's record batch format (magic 2) in plain Python: slow, but content with header names that are not UTF-8.

aiokafka's reader refuses such a batch as a whole, so that one event from a careless producer would stop the consumer
for ever. This one is used for those batches only. Source: the protocol guide, "Record Batch" and "Record".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import crc32c
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch

Headers = list[tuple[str, bytes | None]]

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH = struct.Struct(">qi")
_MAGIC = 2
_MAGIC_AT = 16  # behind base offset, length and leader epoch
_CHECKSUM = struct.Struct(">I")
_CHECKSUM_AT = 17
_LOG_APPEND_TIME = 0x08
_CODECS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}


def slices(raw: bytes | memoryview) -> list[memoryview]:
    """Each whole record batch of a fetched partition; a cut-off last one is left out."""
    found, position, view = [], 0, memoryview(raw)
    while position + _LENGTH.size <= len(raw):
        end = position + _LENGTH.size + _LENGTH.unpack_from(raw, position)[1]
        if end > len(raw):
            break
        found.append(view[position:end])
        position = end
    return found


def record_batch(batch: memoryview) -> Any:
    """aiokafka's reader of a record batch, which copies nothing of it but what its records are asked for. Raises
    CorruptRecordException where it is of an older format, which Kafka 4 does not give.
    """
    if len(batch) <= _MAGIC_AT or batch[_MAGIC_AT] != _MAGIC:
        raise CorruptRecordException(f"a record batch of another format than {_MAGIC}")
    return DefaultRecordBatch(batch)


def is_whole(batch: memoryview) -> bool:
    """Whether a record batch's checksum is right: CRC-32C of all that follows it, by the processor's own instruction,
    which is some fifteen times as quick as aiokafka's tables.
    """
    (checksum,) = _CHECKSUM.unpack_from(batch, _CHECKSUM_AT)
    return bool(crc32c.crc32c(batch[_CHECKSUM_AT + _CHECKSUM.size :]) == checksum)


def lenient_records(batch: memoryview) -> Iterator[tuple[int, int, bytes | None, bytes | None, Headers]]:
    """(offset, timestamp in ms, key, value, headers) of each record. Undecodable bytes in header names are replaced."""
    base, _, _, _, _, attributes, _, first_timestamp, max_timestamp, _, _, _, count = _HEADER.unpack_from(batch)
    decode = _CODECS.get(attributes & 0x07)
    if decode is None:
        raise UnsupportedCodecError(f"Unknown compression codec {attributes & 0x07:#04x}")
    body = decode(bytes(batch[_HEADER.size :]))
    appended = bool(attributes & _LOG_APPEND_TIME)
    position = 0
    for _ in range(count):
        length, position = _varint(body, position)
        end = position + length
        delta, position = _varint(body, position + 1)
        offset_delta, position = _varint(body, position)
        key, position = _bytes(body, position)
        value, position = _bytes(body, position)
        headers: Headers = []
        number, position = _varint(body, position)
        for _ in range(number):
            name, position = _bytes(body, position)
            content, position = _bytes(body, position)
            headers.append(((name or b"").decode("utf-8", "replace"), content))
        if position != end:
            raise CorruptRecordException(f"A record of {length} bytes ends {position - end} bytes off")
        yield base + offset_delta, max_timestamp if appended else first_timestamp + delta, key, value, headers


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """A zigzag-encoded integer, and the position behind it."""
    shift = number = 0
    while True:
        byte = body[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), position
        shift += 7


def _bytes(body: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = _varint(body, position)
    if length < 0:
        return None, position
    return body[position : position + length], position + length
