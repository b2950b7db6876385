"""Requests to receivers: one connection pool each, with a timeout, and errors that never show a secret."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from sinks.errors import SinkError

TIMEOUT_S: Final = 10.0
_MOST_TOLD: Final = 200
# What the same request may still be answered by with success, later.
_PASSING: Final = frozenset((408, 409, 425, 429))


def host_of(url: str) -> str:
    """``https://host:port`` of a URL: the rest of it may be a secret."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"


class Http:
    """Of one receiver, or of one replica. The session is made with the first request, in the running loop."""

    def __init__(self, timeout_s: float = TIMEOUT_S, ca_file: str | None = None, token: str | None = None) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **given: Any) -> bytes:
        """The answer's body. Raises SinkError, retryable unless the request itself was refused."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        sent = {"User-Agent": "streamgauge", **self._headers, **(headers or {})}
        try:
            async with self._session.request(
                method, url, headers=sent, ssl=self._tls, allow_redirects=False, **given
            ) as answer:
                body = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise SinkError(f"{host_of(url)} cannot be reached: {_why(error)}", retryable=True) from None
        if 200 <= answer.status < 300:
            return body
        said = body[:_MOST_TOLD].decode(errors="replace").strip()
        retryable = answer.status >= 500 or answer.status in _PASSING
        told = f"{host_of(url)} answered {answer.status}{f': {said}' if said else ''}"
        raise SinkError(told, retryable=retryable)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientOSError) and error.errno is not None and error.strerror:
        return error.strerror.lower() if not isinstance(error, aiohttp.ClientConnectorError) else "no connection"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return type(error).__name__
