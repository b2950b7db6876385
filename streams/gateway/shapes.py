"""The gateway's JSON for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field


class Result(BaseModel):
    """What became of one event."""

    index: int = Field(description="Its place in the request, from 0; blank lines are not counted.")
    status: int = Field(description="202: stored; 413, 415, 422: refused; 503: send it again.")
    reason: str | None = Field(None, description="Why not: as in dead letters, or `not_stored`, `unknown`.")
    field: str | None = Field(None, description="The declared field that is wrong.")
    detail: str | None = Field(None, description="What is wrong, and what to send instead.")


class Taken(BaseModel):
    source: str
    events: int
    stored: int
    refused: int = Field(description="They will never be taken as they are.")
    failed: int = Field(description="Kafka did not take them; send them again.")
    results: list[Result] = Field(description="One for each event, in the order of the request.")


_EVENT: Final[dict[str, Any]] = {"type": "object", "description": "An event, as the source's fields declare it."}
_MANY: Final[dict[str, Any]] = {"type": "array", "items": _EVENT, "minItems": 1}
REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": (
        "One event, many, or CloudEvents: structured, batched, or binary (attributes as `ce-` headers). "
        "A body may be compressed (Content-Encoding: gzip)."
    ),
    "content": {
        "application/json": {"schema": {"anyOf": [_EVENT, _MANY]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One JSON object a line."}},
        "application/cloudevents+json": {"schema": _EVENT},
        "application/cloudevents-batch+json": {"schema": _MANY},
    },
}
