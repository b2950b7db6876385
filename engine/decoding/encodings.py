"""Whether a record's value is what it should be, before it is decoded: its headers, its size, its depth."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.dead_letters import Fault
from engine.decoding.batch import Batch, Headers
from engine.decoding.columns import Faults
from engine.decoding.faults import shortened

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 256
"""Objects and lists in each other. Fixed here, since what a parser refuses depends on how much stack is left."""

CLOUDEVENTS: Final = "application/cloudevents"
_NEUTRAL: Final = frozenset(("", "text/plain", "application/octet-stream", "application/x-json"))  # these say nothing
_TEXTS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


@functools.lru_cache(4096)
def header_name(name: str) -> str:
    """Names as they are compared: `Content-Type`, `content_type` and `contentType` are one."""
    return name.lower().replace("-", "").replace("_", "")


def content_type(headers: Headers) -> str:
    """The media type that the headers name, without parameters; empty when they name none."""
    return _parameters(_text(_named(headers)[0]))[0]


def encoding_fault(headers: Headers) -> Fault | None:
    """A fault when the headers say that the value is something else than JSON in UTF-8."""
    type_, encoding = _named(headers)
    return None if type_ is None and encoding is None else _fault_of(type_, encoding)


@functools.lru_cache(1024)
def _fault_of(type_header: bytes | None, encoding_header: bytes | None) -> Fault | None:
    encoding = _text(encoding_header)
    if encoding not in ("", "identity", "utf-8", "utf8"):
        message = f"content-encoding is {shortened(encoding)!r}; only uncompressed values are read"
        return Fault("unsupported_encoding", message)
    type_, charset = _parameters(_text(type_header))
    kind = type_.partition("/")[2]
    if not (type_ in _NEUTRAL or kind == "json" or kind.endswith("+json")) or kind.startswith("cloudevents-batch"):
        return Fault("unsupported_encoding", f"content-type is {shortened(type_)!r}; only JSON is read")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        return Fault("unsupported_encoding", f"charset is {shortened(charset)!r}; only UTF-8 is read")
    return None


def _named(headers: Headers) -> tuple[bytes | None, bytes | None]:
    """The headers content-type and content-encoding; the first of each."""
    type_ = encoding = None
    for name, value in headers:
        canonical = header_name(name)
        if canonical == "contenttype" and type_ is None:
            type_ = value
        elif canonical == "contentencoding" and encoding is None:
            encoding = value
    return type_, encoding


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("ascii", "replace").strip(' "').lower()


def _parameters(text: str) -> tuple[str, str]:
    type_, _, rest = text.partition(";")
    charset = ""
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip(' "')
    return type_.strip(), charset


def refused_values(values: Sequence[bytes | None], max_bytes: int, faults: Faults) -> Sequence[bytes | None]:
    """``values`` without those that are too large or too deep, whose faults are added."""
    try:
        longest = max(map(len, values), default=0)  # type: ignore[arg-type]  # None is what TypeError is for
    except TypeError:
        longest = max((len(value) for value in values if value is not None), default=0)
    if longest <= 2 * MAX_DEPTH:
        return values
    kept = list(values)
    for place, value in enumerate(values):
        if value is None or len(value) <= 2 * MAX_DEPTH:
            continue
        if len(value) > max_bytes:
            faults[place] = Fault("too_large", f"{len(value)} bytes; an event may have {max_bytes}")
            kept[place] = None
        elif value.count(b"[") + value.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
            faults[place] = Fault("malformed", f"nested more than {MAX_DEPTH} deep")
            kept[place] = None
    return kept


def _depth(value: bytes) -> int:
    chars = np.frombuffer(_TEXTS.sub(b"", value), np.uint8) | 0x20  # brackets to braces: [ { and ] } differ in that bit
    steps = (chars == ord("{")).astype(np.int32) - (chars == ord("}"))
    return int(np.cumsum(steps).max(initial=0))


def refused_headers(batch: Batch, faults: Faults) -> None:
    """Add the faults that the headers of records tell of."""
    for place in batch.with_headers():
        headers = batch.headers(place)
        if headers and (fault := encoding_fault(headers)):
            faults.setdefault(place, fault)
