"""JSON answers: numbers with all their digits, an ETag that follows from the content, 304 where it is known already."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
import xxhash
from fastapi import Request
from starlette.responses import Response

from sinks.board.problems import path_of

encode = msgspec.json.Encoder(decimal_format="number").encode


def etag_of(body: bytes) -> str:
    return f'"{xxhash.xxh3_128_hexdigest(body)}"'


def answer(
    request: Request, body: bytes, etag: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """200 with the body, or 304. ``etag`` is that of the body, where it has been computed already."""
    etag = etag or etag_of(body)
    told = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=told)
    return Response(body, headers=told, media_type="application/json")


def next_link(request: Request, cursor: str | None) -> dict[str, str]:
    """The header that leads to the next page (RFC 8288), relative to where this one was; none at the end."""
    if cursor is None:
        return {}
    query = [(name, text) for name, text in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<{path_of(request.scope)}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'}


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names the ETag; weak ones count as the same (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in named or "*" in named
