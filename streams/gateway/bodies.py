"""What a request carries, as records of a topic: values byte for byte as they were sent, and the headers they need.

A body is one JSON object, an array of them, one a line (NDJSON), or CloudEvents in one of the three ways of their HTTP
binding: structured, batched, binary. The attributes of a binary one become the headers of the Kafka binding.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from engine.dead_letters import Reason

T = TypeVar("T")
Headers = Sequence[tuple[str, bytes]]
Form = Literal["one", "array", "lines", "either"]  # "either": an array is many, anything else is one

READ: Final = (
    "application/json (an object, or an array of them), application/x-ndjson (one object a line), "
    "application/cloudevents+json, application/cloudevents-batch+json, or a CloudEvent in binary mode (ce-* headers)"
)
_LINES: Final = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines")
)
_STRUCTURED: Final = "application/cloudevents+json"
_BATCHED: Final = "application/cloudevents-batch+json"
_UTF8: Final = ("", "utf-8", "utf8", "us-ascii")
_GZIP_OR_ZLIB: Final = 47  # window bits: whichever of the two the data begins with
_GZIP: Final = b"\x1f\x8b"  # what it begins with, and no JSON does
_MEMBERS: Final = 100  # of a gzip body: each costs as much as what is left of the body
_BLANK: Final = 10  # lines, blank ones among them, for each event
_MANY: Final = msgspec.json.Decoder(list[msgspec.Raw])


class UnreadableBody(Exception):
    """A body that holds no events, as far as anybody can say. ``status`` is HTTP's."""

    def __init__(self, status: Literal[413, 415, 422], reason: Reason, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Carried:
    """The events of one request. ``headers`` are those of each record."""

    values: list[bytes]
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class BodyKind:
    """What the head of a request says about its body."""

    form: Form
    encoding: str = ""
    headers: Headers = ()  # of the records
    binary: bool = False  # a CloudEvent whose body is its data, and may be empty

    def events(self, body: bytes, most_bytes: int, most_events: int) -> Carried:
        """Raises UnreadableBody. ``most_bytes`` is what it may have after decompression."""
        if self.encoding:
            body = _decompressed(body, most_bytes)
        elif body.startswith(_GZIP):
            raise UnreadableBody(
                415, "unsupported_encoding", "the body is compressed, and no header says so; add Content-Encoding: gzip"
            )
        body = body.removeprefix(codecs.BOM_UTF8)  # it marks the text, and is no part of its first event
        if self.form != "lines" and not self.binary and (not body or body.isspace()):
            raise _nothing()
        match self.form:
            case "one":
                return Carried([body], self.headers)
            case "lines":
                return Carried(_lines(body, most_events), self.headers)
            case "either" if not body.lstrip(b" \t\r\n").startswith(b"["):
                return Carried([body], self.headers)
            case _:
                return Carried(_elements(body, most_events), self.headers)


def body_kind(raw: Iterable[tuple[bytes, bytes]]) -> BodyKind:
    """What a request's headers say. Raises UnreadableBody for what is not read here."""
    headers = {name.lower(): value for name, value in raw}
    stated = headers.get(b"content-type", b"").decode("latin-1")
    type_, charset = _parameters(stated)
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise UnreadableBody(415, "unsupported_encoding", f"content-encoding {encoding!r} is not read; send gzip")
    encoding = "" if encoding == "identity" else encoding
    if b"ce-specversion" in headers and not type_.startswith("application/cloudevents"):
        # What the data is encoded in is for the decoder to judge, as of any other record.
        given = [("content-type", stated.encode())] if stated else []
        return BodyKind("one", encoding, [*given, *_attributes(headers)], binary=True)
    if charset not in _UTF8:
        raise UnreadableBody(415, "unsupported_encoding", f"charset {charset!r} is not read; send UTF-8")
    if type_ == _STRUCTURED:
        return BodyKind("one", encoding, [("content-type", _STRUCTURED.encode())])
    if type_ == _BATCHED:
        return BodyKind("array", encoding, [("content-type", _STRUCTURED.encode())])
    if type_ in _LINES:
        return BodyKind("lines", encoding)
    if type_ in ("application/json", "text/json") or (
        type_.endswith("+json") and not type_.startswith("application/cloudevents")
    ):
        return BodyKind("either", encoding)
    told = f"content-type is {type_!r}" if type_ else "there is no content-type"
    raise UnreadableBody(415, "unsupported_encoding", f"{told}; send {READ}")


def _parameters(stated: str) -> tuple[str, str]:
    """The media type and its charset, in lower case; empty where there is none."""
    type_, _, rest = stated.lower().partition(";")
    charset = ""
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip(' "')
    return type_.strip(), charset


def _attributes(headers: dict[bytes, bytes]) -> Iterable[tuple[str, bytes]]:
    """``ce-*`` of HTTP to ``ce_*`` of Kafka, whose values are plain UTF-8 (CloudEvents HTTP binding, 3.1.3.2)."""
    for name, value in headers.items():
        if name.startswith(b"ce-"):
            yield f"ce_{name[3:].decode('latin-1')}", unquote_to_bytes(_unquoted(value.strip()))


def _unquoted(value: bytes) -> bytes:
    if len(value) < len(b'""') or not (value.startswith(b'"') and value.endswith(b'"')):
        return value
    inside, plain = iter(value[1:-1]), bytearray()
    for byte in inside:
        plain.append(next(inside, byte) if byte == ord("\\") else byte)
    return bytes(plain)


def _decompressed(body: bytes, most: int) -> bytes:
    """Of gzip data also its further members."""
    parts: list[bytes] = []
    left = most
    while body:
        reader = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            part = reader.decompress(body, left + 1)
        except zlib.error as error:
            raise UnreadableBody(422, "malformed", f"the body cannot be decompressed: {error}") from error
        left -= len(part)
        if left < 0:
            raise UnreadableBody(413, "too_large", f"decompressed, a body has at most {most:,} bytes here")
        if not reader.eof:
            raise UnreadableBody(422, "malformed", "the compressed body ends too early")
        parts.append(part)
        if len(parts) > _MEMBERS:
            raise UnreadableBody(
                413, "too_large", f"a compressed body has at most {_MEMBERS} parts; compress it as one"
            )
        body = reader.unused_data
    return b"".join(parts)


def _lines(body: bytes, most: int) -> list[bytes]:
    if body.count(b"\n") > _BLANK * most:
        raise _too_many(most)
    lines = [line.removesuffix(b"\r") for line in body.split(b"\n")]
    return _some([line for line in lines if line and not line.isspace()], most)


def _elements(body: bytes, most: int) -> list[bytes]:
    try:
        found = _MANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBody(422, "malformed", f"the body is no JSON array: {error}") from error
    return [bytes(element) for element in _some(found, most)]


def _some(events: list[T], most: int) -> list[T]:
    if not events:
        raise _nothing()
    if len(events) > most:
        raise _too_many(most)
    return events


def _nothing() -> UnreadableBody:
    return UnreadableBody(422, "malformed", "there is no event in the body")


def _too_many(most: int) -> UnreadableBody:
    return UnreadableBody(413, "too_large", f"a request has at most {most:,} events")
