"""What every request passes first: is it for this server, from whom, within bounds? And its line in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sinks.board.access import Access
from sinks.board.limits import Bounds, Limits, Rates, address_of, caller_key
from sinks.board.metrics import BoardMetrics
from sinks.board.pages import SECURITY_HEADERS
from sinks.board.problems import ProblemError, path_of, too_many
from sinks.names import LIVE_PATH, METRICS_PATH, READY_PATH, SESSION_COOKIE, STREAM_PATH

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_UNCOUNTED: Final = frozenset((LIVE_PATH, READY_PATH))  # who asks restarts what does not answer
_UNLOGGED: Final = frozenset((LIVE_PATH, READY_PATH, METRICS_PATH))
_log = logging.getLogger(__name__)


class Gate:
    """Stands before an application; puts who is calling into ``request.state.caller``."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        limits: Limits,
        rates: Rates,
        metrics: BoardMetrics,
        origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._limits = limits
        self._rates = rates
        self._metrics = metrics
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered = _Answered(send)
        try:
            await self._pass(scope, receive, answered)
        finally:
            self._told(scope, answered, time.perf_counter() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: _Answered) -> None:
        headers = Headers(scope=scope)
        caller = self._access.caller(headers.get("authorization"), _session(headers.get("cookie")))
        scope.setdefault("state", {})["caller"] = caller
        bounds = self._limits.of(scope["path"])
        refusal = self._misdirected(scope, headers) or _too_large(headers, bounds)
        if refusal is None and scope["path"] not in _UNCOUNTED:
            wait = await self._rates.spent("requests", caller_key(scope))
            refusal = None if wait is None else too_many(wait)
        if refusal is not None:
            await refusal.response(scope)(scope, receive, send)
            return
        body = _Body(receive, bounds.body_bytes)
        asked = scope
        if scope["method"] == "HEAD" and scope["path"] != STREAM_PATH:  # the server leaves the body away
            asked = {**scope, "method": "GET"}
        try:
            async with asyncio.timeout(bounds.seconds) as bound:
                await self._app(asked, body, send)
        except TimeoutError:
            if not bound.expired() or send.started:
                raise
            late = ProblemError(408 if body.awaited else 503, f"it took more than {bounds.seconds:g} s", headers=_CLOSE)
            await late.response(scope)(scope, receive, send)
        finally:
            scope["route"] = asked.get("route")

    def _misdirected(self, scope: Scope, headers: Headers) -> ProblemError | None:
        """Pages of elsewhere make browsers send requests here: by a name that leads here, or across origins."""
        host = headers.get("host", "")
        if self._access.open and not is_loopback(host):
            asked = f"http://{host}" if host else "without a host"
            told = (
                f"without tokens this server is for this machine alone, at http://localhost; it was asked for {asked}"
            )
            return ProblemError(421, told, headers=_CLOSE)
        origin = headers.get("origin")
        if scope["method"] in _SAFE or origin is None or origin in self._origins or _host_of(origin) == host:
            return None
        return ProblemError(403, f"pages of {origin} may send nothing here; see --cors-origin", headers=_CLOSE)

    def _told(self, scope: Scope, answered: _Answered, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.answered(scope["method"], route, answered.status, seconds)
        if scope["path"] not in _UNLOGGED:
            caller = scope["state"]["caller"].name
            _log.info(
                "%s %s %s %s %d %d B %.1f ms",
                address_of(scope), caller, scope["method"], path_of(scope), answered.status, answered.size,
                seconds * 1e3,
            )  # fmt: skip


class _Answered:
    """Passes an answer on, and knows what it was."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.size = 0

    @property
    def started(self) -> bool:
        return self.status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        else:
            self.size += len(message.get("body", b""))
        await self._send(message)


class _Body:
    """Passes a request's body on, up to its bound. Raises HTTPException (413) into who reads it."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = self._left = most
        self.awaited = False  # its next part is

    async def __call__(self) -> Message:
        self.awaited = True
        message = await self._receive()
        self.awaited = False
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413, _at_most(self._most), _CLOSE)
        return message


_CLOSE: Final = {"Connection": "close"}  # what is left of the request is not read


def _too_large(headers: Headers, bounds: Bounds) -> ProblemError | None:
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) <= bounds.body_bytes:
        return None
    return ProblemError(413, _at_most(bounds.body_bytes), headers=_CLOSE)


def _at_most(size: int) -> str:
    return f"a body has at most {size:,} bytes here"


def _session(cookies: str | None) -> str | None:
    if not cookies or SESSION_COOKIE not in cookies:
        return None
    try:
        found = SimpleCookie(cookies).get(SESSION_COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _host_of(origin: str) -> str | None:
    """Host and port, as in a Host header; None for what is no origin."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a Host header, or the host of an origin, names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
