"""What a caller may ask of one process: how often, how much at once, and for how long."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from sinks.names import API, STREAM_PATH

EVENTS_PREFIX: Final = f"{API}/events/"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one request: the largest body in bytes, and how many seconds it may take; None: as long as it wants."""

    body_bytes: int = 64 * 1024
    seconds: float | None = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates are told as ``200/second``. ``bounds`` are by how the path begins; others have `Bounds()`."""

    requests: str = "200/second"
    logins: str = "10/minute"
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
    """Counts what each caller does. A rate that cannot be read raises ValueError."""

    def __init__(self, limits: Limits) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._items = {"requests": parse(limits.requests), "logins": parse(limits.logins)}

    async def spent(self, what: str, caller: str) -> int | None:
        """None, and it is counted; or, where the caller has had enough, after how many seconds to come again."""
        item = self._items[what]
        if await self._limiter.hit(item, what, caller):
            return None
        window = await self._limiter.get_window_stats(item, what, caller)
        return max(1, math.ceil(window.reset_time - time.time()))
