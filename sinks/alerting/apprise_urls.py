"""More than a hundred services by their Apprise URLs. The URLs are secrets: no message of ours shows one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import apprise

from sinks.alerting.content import Notification
from sinks.errors import SinkError

_KINDS: Final = {"critical": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}


class AppriseUrls:
    """Each URL is told by itself; one that was reached is not told again while another is tried."""

    def __init__(self, urls: Sequence[str], timeout_s: float) -> None:
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its messages may show URLs
        self._services: list[apprise.Apprise] = []
        self._reached: dict[str, set[int]] = {}
        self._timeout_s = timeout_s
        # Its own thread, so that a service that hangs holds up nothing else.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="apprise")
        for number, url in enumerate(urls, 1):
            service = apprise.Apprise()
            if not service.add(url):
                raise SinkError(f"URL {number} is none that Apprise knows", retryable=False)
            self._services.append(service)

    async def send(self, notification: Notification, now_us: int) -> None:
        """Raises SinkError."""
        told = notification.notice.members
        kind = _KINDS.get(told.severity, apprise.NotifyType.INFO)
        if told.state == "resolved":
            kind = apprise.NotifyType.SUCCESS
        title, body = notification.title(), notification.body()
        reached = self._reached.setdefault(notification.message_id, set())
        for number, service in enumerate(self._services):
            if number not in reached and await self._notified(service, title, body, kind):
                reached.add(number)
        missing = len(self._services) - len(reached)
        if missing:
            raise SinkError(f"{missing} of {len(self._services)} services were not reached", retryable=True)
        del self._reached[notification.message_id]

    async def _notified(self, service: apprise.Apprise, title: str, body: str, kind: apprise.NotifyType) -> bool:
        def notify() -> bool:
            return bool(service.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))

        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, notify)
        except TimeoutError:
            return False

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
