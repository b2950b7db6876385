"""How to reach Redis: URL, password, TLS, and what its errors mean."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError

from sinks.errors import SinkError

# Server states that pass: everything else that Redis answers with an error will be answered the same way again.
_PASSING = ("LOADING", "BUSY", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "UNKILLABLE")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """``redis://host:port/db``, ``rediss://`` for TLS or ``unix://``. The password is never part of a message."""

    url: str
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = parts.hostname or parts.path
        return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"


def connect(address: RedisAddress, *, blocking_reads: bool = False) -> Redis:
    """A client that connects at its first command; it does not retry, its users do.

    With ``blocking_reads`` an answer may take for ever, as that of XREAD BLOCK does. ValueError for a URL that is none.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": 2.0,
        "socket_timeout": None if blocking_reads else 5.0,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "streamgauge",
        "protocol": 2,
    }
    given = {"username": address.username, "password": address.password}
    if urlsplit(address.url).scheme == "rediss":
        given |= {"ssl_ca_certs": address.ca_file, "ssl_certfile": address.cert_file, "ssl_keyfile": address.key_file}
    options |= {name: text for name, text in given.items() if text}
    return Redis.from_url(address.url, **options)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task that uses a client, and wait until it has ended. Raises what it raised.

    redis-py writes with asyncio.wait_for, which before Python 3.12 may lose a cancellation.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    if not task.cancelled():
        await task


def sink_error(address: RedisAddress, error: RedisError | OSError) -> SinkError:
    """The error in one sentence, and whether trying again can help by itself."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        return SinkError(f"Redis at {address} refused the credentials: {error}", retryable=False)
    if isinstance(error, NoPermissionError):
        return SinkError(f"Redis at {address} does not permit a command: {error}", retryable=False)
    if isinstance(error, ResponseError):
        passing = str(error).startswith(_PASSING) or type(error) is not ResponseError
        return SinkError(f"Redis at {address} refused a write: {error}", retryable=passing)
    retryable = "CERTIFICATE_VERIFY_FAILED" not in str(error)
    told = str(error).rstrip(".") or type(error).__name__
    return SinkError(f"Redis at {address} cannot be reached: {told}", retryable=retryable)
