"""A session for browsers: event streams carry no header, so a token is entered once and becomes a cookie."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Body, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from sinks.board.access import NOBODY, Access
from sinks.board.answers import encode
from sinks.board.gate import is_loopback
from sinks.board.limits import Rates
from sinks.board.problems import ProblemError
from sinks.board.shapes import Session
from sinks.board.tokens import session_of
from sinks.names import SESSION_COOKIE, SESSION_PATH

_LASTS_S: Final = 30 * 86_400


class Entered(BaseModel):
    """A token, as `streamgauge token make` printed it."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


def session_routes(access: Access, rates: Rates, *, loopback: bool) -> APIRouter:
    """``loopback`` says whether the server listens on this machine alone, where cookies may go without TLS."""
    router = APIRouter(tags=["session"])

    def cookie(request: Request) -> dict[str, Any]:
        secure = not loopback or request.scope["scheme"] == "https"
        return {"key": SESSION_COOKIE, "path": "/", "httponly": True, "samesite": "strict", "secure": secure}

    async def acceptable(request: Request) -> None:
        """Before the body is read. Raises ProblemError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ProblemError(415, "send application/json")
        origin = urlsplit(request.headers.get("origin", ""))  # of a page, as its browser knows it behind any proxy
        if not (access.open or loopback) and origin.scheme == "http" and not is_loopback(origin.netloc):
            raise ProblemError(403, "browsers keep a session only over https: put a proxy with TLS before this server")

    @router.post(
        SESSION_PATH,
        summary="Enter a token, for a session's cookie",
        responses={200: {"model": Session}},
        dependencies=[Depends(acceptable)],
    )
    async def enter(request: Request, entered: Annotated[Entered, Body()]) -> Response:
        await rates.take(request, "logins")
        caller = access.by_token(entered.token)
        if caller is NOBODY:
            raise ProblemError(401, "this token is not known, or was revoked", headers={"WWW-Authenticate": "Bearer"})
        response = _told(caller.name, caller.rights)
        if not access.open:
            response.set_cookie(value=session_of(entered.token), max_age=_LASTS_S, **cookie(request))
        return response

    @router.get(
        SESSION_PATH, summary="Who this session or token is, and what it may do", responses={200: {"model": Session}}
    )
    async def who(request: Request) -> Response:
        caller = request.state.caller
        if caller is NOBODY:
            raise ProblemError(401, "there is no session", headers={"WWW-Authenticate": "Bearer"})
        return _told(caller.name, caller.rights)

    @router.delete(SESSION_PATH, summary="End the session", status_code=204)
    async def leave(request: Request) -> Response:
        response = Response(status_code=204)
        response.delete_cookie(**cookie(request))
        return response

    return router


def _told(name: str, rights: frozenset[str] | None) -> Response:
    told = {"name": name, "rights": None if rights is None else sorted(rights)}
    return Response(encode(told), headers={"Cache-Control": "no-store"}, media_type="application/json")
