"""What every request passes first: is it for this server, from whom, within bounds? And its line in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sinks.board.access import Access
from sinks.board.limits import Bounds, Limits, Rates
from sinks.board.metrics import BoardMetrics
from sinks.board.pages import SECURITY_HEADERS
from sinks.board.problems import problem_response
from sinks.names import LIVE_PATH, METRICS_PATH, READY_PATH, SESSION_COOKIE

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
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
        path = scope["path"]
        bounds = self._limits.of(path)
        refusal = self._misdirected(scope, headers) or _too_large(headers, bounds)
        if refusal is not None:
            await problem_response(refusal[0], path, refusal[1], headers=_CLOSE)(scope, receive, send)
            return
        wait = await self._rates.spent("requests", caller.secret_sha256 or _address(scope))
        if wait is not None:
            told = {"Retry-After": str(wait)}
            await problem_response(429, path, f"come again in {wait} s", headers=told)(scope, receive, send)
            return
        body = _Body(receive, bounds.body_bytes)
        try:
            async with asyncio.timeout(bounds.seconds) as bound:
                await self._app(scope, body, send)
        except TimeoutError:
            if not bound.expired() or send.started:
                raise
            status = 503 if body.complete else 408
            late = f"it took more than {bounds.seconds:g} s"
            await problem_response(status, path, late, headers=_CLOSE)(scope, receive, send)

    def _misdirected(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Pages of elsewhere make browsers send requests here: by a name that leads here, or across origins."""
        host = headers.get("host", "")
        if self._access.open and not _is_loopback(host):
            return 421, f"this server is for this machine alone, and is not {host}; for others it needs tokens"
        origin = headers.get("origin")
        if scope["method"] in _SAFE or origin is None or origin in self._origins or urlsplit(origin).netloc == host:
            return None
        return 403, f"pages of {origin} may send nothing here; see --cors-origin"

    def _told(self, scope: Scope, answered: _Answered, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.answered(scope["method"], route, answered.status, seconds)
        if scope["path"] not in _UNLOGGED:
            path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")  # without its query
            caller = scope["state"]["caller"].name
            _log.info(
                "%s %s %s %s %d %d B %.1f ms",
                _address(scope), caller, scope["method"], path, answered.status, answered.size, seconds * 1e3,
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
        self.complete = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413, _at_most(self._most), _CLOSE)
            self.complete = not message.get("more_body", False)
        return message


_CLOSE: Final = {"Connection": "close"}  # what is left of the request is not read


def _too_large(headers: Headers, bounds: Bounds) -> tuple[int, str] | None:
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) <= bounds.body_bytes:
        return None
    return 413, _at_most(bounds.body_bytes)


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


def _address(scope: Scope) -> str:
    client: Any = scope.get("client")
    return client[0] if client else "-"


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
