"""What a caller may ask of one process: how often, how much at once, and for how long."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final, Literal

from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import Scope

from sinks.board.problems import too_many
from sinks.names import API, STREAM_PATH

EVENTS_PREFIX: Final = f"{API}/events/"
Rated = Literal["requests", "logins", "events"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one request: the largest body in bytes, and how many seconds it may take; None: as long as it wants."""

    body_bytes: int = 64 * 1024
    seconds: float | None = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates are of each caller, as ``200/second``. ``bounds`` are by how the path begins; others have `Bounds()`."""

    requests: str = "200/second"
    logins: str = "10/minute"  # tokens that are entered for a session
    events: str = "20000/second"
    streams: int = 2_000
    bounds: Mapping[str, Bounds] = field(
        default_factory=lambda: {
            EVENTS_PREFIX: Bounds(body_bytes=8 * 2**20, seconds=30.0),
            STREAM_PATH: Bounds(seconds=None),
        }
    )

    def of(self, path: str) -> Bounds:
        for prefix, bounds in self.bounds.items():
            if path.startswith(prefix):
                return bounds
        return _PLAIN


_PLAIN: Final = Bounds()


class Rates:
    """Counts what each caller does: a token, or the address of who has none. ValueError for a rate that is none."""

    def __init__(self, limits: Limits) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        rates: dict[Rated, str] = {"requests": limits.requests, "logins": limits.logins, "events": limits.events}
        self._items = {what: parse(rate) for what, rate in rates.items()}

    def most(self, what: Rated) -> int:
        """What can be had at once, by who asked for nothing for a while."""
        return int(self._items[what].amount)

    async def spent(self, what: Rated, caller: str, cost: int = 1) -> int | None:
        """None, and it is counted; or, where the caller has had enough, after how many seconds to come again."""
        item = self._items[what]
        if await self._limiter.hit(item, what, caller, cost=cost):
            return None
        window = await self._limiter.get_window_stats(item, what, caller)
        return max(1, math.ceil(window.reset_time - time.time()))

    async def take(self, request: Request, what: Rated, cost: int = 1) -> None:
        """Count it for who sends the request. Raises ProblemError: 429."""
        wait = await self.spent(what, caller_key(request.scope), cost)
        if wait is not None:
            raise too_many(wait)


def caller_key(scope: Scope) -> str:
    """Whose rates a request counts for: its token's, or its address's; of IPv6 the network, which is one customer's."""
    caller = scope["state"]["caller"]
    return caller.secret_sha256 or _network(address_of(scope))


def address_of(scope: Scope) -> str:
    client: Any = scope.get("client")
    return client[0] if client else "-"


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed.packed, 64), strict=False))
    return address
