"""Errors as problem documents (RFC 9457): what went wrong, in words, in one shape everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "about:blank: the title says it all."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do about it, in words."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "errors": {
            "type": "array",
            "description": "What is wrong with which part of the request.",
            "items": {
                "type": "object",
                "properties": {"in": {"type": "string"}, "name": {"type": "string"}, "message": {"type": "string"}},
                "required": ["in", "name", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "instance"],
}
_TITLES: Final = {
    400: "The request cannot be read",
    401: "A token is needed",
    403: "The token does not permit this",
    404: "There is no such thing",
    408: "The request did not come to its end",
    405: "The method is not offered here",
    413: "The request is too large",
    415: "The media type cannot be read",
    421: "The request was meant for another host",
    422: "The request does not fit",
    429: "Too many requests",
    503: "It is not known at the moment",
}


class ProblemError(Exception):
    """Raise it in a route: the answer is a problem document. ``errors`` are (in, name, message)."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[tuple[str, str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def wrong_query(name: str, message: str) -> ProblemError:
    """422: a query parameter that does not fit."""
    return ProblemError(422, f"{name}: {message}", errors=[("query", name, message)])


def not_known(detail: str) -> ProblemError:
    """503: not for now."""
    return ProblemError(503, detail, headers={"Retry-After": "2"})


def problem_response(
    status: int,
    path: str,
    detail: str | None = None,
    *,
    errors: Sequence[tuple[str, str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
    }
    if detail:
        found["detail"] = detail
    found["instance"] = path
    if errors:
        found["errors"] = [{"in": where, "name": name, "message": message} for where, name, message in errors]
    return Response(
        msgspec.json.encode(found), status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE
    )


def tell_problems(app: FastAPI) -> None:
    """All errors of the app's routes come as problem documents."""

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return problem_response(
            error.status, request.url.path, error.detail, errors=error.errors, headers=error.headers
        )

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        detail = None if error.detail == HTTPStatus(error.status_code).phrase else error.detail
        return problem_response(error.status_code, request.url.path, detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        errors = [
            (str(found["loc"][0]), ".".join(map(str, found["loc"][1:])), str(found["msg"])) for found in error.errors()
        ]
        detail = "; ".join(f"{name}: {message}" for _, name, message in errors)
        return problem_response(422, request.url.path, detail, errors=errors)

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        return problem_response(500, request.url.path, "the server's log says more")
