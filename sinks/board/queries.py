"""What requests ask for: parameters that several routes take, and dimensions, whose names the catalog gives."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request

from sinks.board.problems import wrong_query

KpiName = Annotated[str, Path(description="A KPI of the catalog.")]
Cursor = Annotated[
    str | None,
    Query(description="Where to go on: `next` of the page before.", pattern="^[A-Za-z0-9_-]*$"),
]
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


def dimensions_of(request: Request, dimensions: tuple[str, ...] = ()) -> dict[str, str]:
    """The dimension values that a query asks for: everything in it but the parameters of the route.

    Raises ProblemError (422) for what is neither, so that a mistyped name does not go unnoticed.
    """
    others = {field.alias for field in request.scope["route"].dependant.query_params}
    where: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in others:
            continue
        if name not in dimensions:
            offered = ", ".join((*dimensions, *sorted(others))) or "none"
            raise wrong_query(name, f"is neither a dimension of the KPI nor a parameter here; there is {offered}")
        if name in where:
            raise wrong_query(name, "is given twice")
        where[name] = value
    return where


def cursor_after(dims: str) -> str:
    """Where to go on after the series of these dims."""
    return base64.urlsafe_b64encode(dims.encode()).decode().rstrip("=")


def after(cursor: str) -> str:
    """The dims of the last series of the page before."""
    cursor = cursor[: len(cursor) - (len(cursor) % 4 == 1)]  # no text ends with a quarter of a group
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode(errors="replace")
