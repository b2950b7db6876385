"""What requests ask for: parameters that several routes take, and dimensions, whose names the catalog gives."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from sinks.board.problems import wrong_query

KpiName = Annotated[str, Path(description="A KPI of the catalog.")]
Cursor = Annotated[
    str | None,
    Query(description="Where to go on: `next` of the page before.", pattern="^[A-Za-z0-9_-]*$"),
]
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d:?\d\d)")


def _with_offset(text: object) -> str:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise PydanticCustomError(
            "moment", "write a time with its offset, as 2026-11-23T00:00:00Z or 2026-11-23T01:00:00%2B01:00"
        )
    return text


Moment = Annotated[datetime, BeforeValidator(_with_offset)]
DIMENSIONS: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "dimensions",
            "in": "query",
            "description": "Any dimension of the KPI: only series with this value, as region=EU.",
            "style": "form",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    ]
}


def dimensions_of(request: Request, dimensions: tuple[str, ...] = (), repeated: Collection[str] = ()) -> dict[str, str]:
    """The dimension values that a query asks for: everything in it but the parameters of the route.

    Raises ProblemError (422) for what is neither, so that a mistyped name does not go unnoticed, and for what is given
    twice, unless it is one of ``repeated``.
    """
    others = {field.alias for field in request.scope["route"].dependant.query_params}
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in dimensions and name not in others:
            offered = ", ".join((*dimensions, *sorted(others))) or "none"
            told = "is neither a dimension of the KPI nor a parameter here" if dimensions else "is no parameter here"
            raise wrong_query(name, f"{told}; there is {offered}")
        if name in given and name not in repeated:
            raise wrong_query(name, "is given twice")
        given[name] = value
    return {name: value for name, value in given.items() if name not in others}


def cursor_after(dims: str) -> str:
    """Where to go on after the series of these dims."""
    return base64.urlsafe_b64encode(dims.encode()).decode().rstrip("=")


def after(cursor: str) -> str:
    """The dims of the last series of the page before."""
    cursor = cursor[: len(cursor) - (len(cursor) % 4 == 1)]  # no text ends with a quarter of a group
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode(errors="replace")
