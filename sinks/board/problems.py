"""Errors as problem documents (RFC 9457): what went wrong, in words, in one shape everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from sinks.board.pages import NothingHere
from sinks.names import STREAM_PATH

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
    "required": ["type", "title", "status"],
}
_TITLES: Final = {
    400: "The request cannot be read",
    401: "A token is needed",
    403: "This is not permitted",
    404: "There is no such thing",
    405: "The method is not offered here",
    408: "The request did not come to its end",
    413: "The request is too large",
    415: "The media type cannot be read",
    421: "The request was meant for another host",
    422: "The request does not fit",
    429: "Too many requests",
    431: "The request's head is too large",
    500: "Something went wrong that should not",
    503: "This cannot be done at the moment",
}


class ProblemError(Exception):
    """Raise it in a route: the answer is a problem document.

    ``errors`` are (in, name, message); ``more`` are members of the document beside those of `SCHEMA`.
    """

    def __init__(
        self,
        status: int,
        detail: str | None,
        *,
        errors: Sequence[tuple[str, str, str]] = (),
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.more = more or {}
        self.headers = headers or {}

    def document(self, path: str | None) -> bytes:
        """``path`` is what was asked for, as it was written; None where that could not be read."""
        title = _TITLES.get(self.status) or HTTPStatus(self.status).phrase
        found: dict[str, Any] = {"type": "about:blank", "title": title, "status": self.status}
        if self.detail:
            found["detail"] = self.detail
        if path is not None:
            found["instance"] = path
        if self.errors:
            found["errors"] = [{"in": where, "name": name, "message": told} for where, name, told in self.errors]
        return msgspec.json.encode({**found, **self.more})

    def response(self, scope: Scope) -> Response:
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(self.document(path_of(scope)), self.status, headers, media_type=MEDIA_TYPE)


def path_of(scope: Scope) -> str:
    """The path of a request as it was written, without its query."""
    raw: bytes = scope["raw_path"]
    return raw.decode("ascii", "backslashreplace")


def wrong_query(name: str, message: str) -> ProblemError:
    """422: a query parameter that does not fit."""
    return ProblemError(422, f"{name}: {message}", errors=[("query", name, message)])


def too_many(wait: int) -> ProblemError:
    """429: come again in so many seconds."""
    return ProblemError(429, f"come again in {wait} s", headers={"Retry-After": str(wait)})


def not_known(detail: str) -> ProblemError:
    """503: not for now."""
    return ProblemError(503, detail, headers={"Retry-After": "2"})


def _wrong_part(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """(in, name, message) of one of pydantic's errors."""
    where, *inside = map(str, found["loc"])
    if found["type"] == "json_invalid":
        return where, "", f"is no JSON: {found['ctx']['error']}, at character {inside[0]}"
    return where, ".".join(inside), str(found["msg"])


def tell_problems(app: FastAPI, routers: Sequence[APIRouter], nothing_here: NothingHere) -> None:
    """All errors of the app's routes come as problem documents. ``routers`` are those that it is made of.

    Where there is no route, ``nothing_here`` answers who wants no document.
    """

    def offered(request: Request) -> str:
        """The methods of all routes of a path: a route that does not match knows its own alone."""
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        matching = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
        methods = {method for route in matching for method in route.methods or ()}
        if "GET" in methods and request.scope["path"] != STREAM_PATH:
            methods.add("HEAD")  # see the gate
        return ", ".join(sorted(methods))

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return error.response(request.scope)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and (page := nothing_here(request)) is not None:
            return page
        detail = None if error.detail == HTTPStatus(error.status_code).phrase else error.detail
        headers = {**(error.headers or {}), "Allow": offered(request)} if error.status_code == 405 else error.headers
        return ProblemError(error.status_code, detail, headers=headers).response(request.scope)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        errors = [_wrong_part(found) for found in error.errors()]
        detail = "; ".join(f"{name or where}: {message}" for where, name, message in errors)
        return ProblemError(422, detail, errors=errors).response(request.scope)

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        """One request ends, and not the process: any client could send it again and again.

        Starlette raises the error again after this, so that it is in the log. What keeps state over requests runs in
        tasks of its own, and an error there does end the process.
        """
        return ProblemError(500, "the server's log says more").response(request.scope)
