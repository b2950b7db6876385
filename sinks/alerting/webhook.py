"""Webhooks as Standard Webhooks has them: a JSON body, signed, with an id by which repeats are known."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from sinks.alerting.content import Notification
from sinks.alerting.http import Http

_PREFIX: Final = "whsec_"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,<base64>``: HMAC-SHA256 over ``id.timestamp.body``. A secret ``whsec_...`` is base64, any other its text."""
    if secret.startswith(_PREFIX):
        key = base64.b64decode(secret.removeprefix(_PREFIX))
    else:
        key = secret.encode()
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


class Webhook:
    def __init__(self, url: str, secret: str | None, http: Http) -> None:
        self._url = url
        self._secret = secret
        self._http = http

    async def send(self, notification: Notification, now_us: int) -> None:
        """Returns when it was answered with 2xx. Raises SinkError."""
        body, timestamp, message_id = notification.json(), now_us // 1_000_000, notification.message_id
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, message_id, timestamp, body)
        await self._http.request("POST", self._url, data=body, headers=headers)

    async def close(self) -> None:
        await self._http.close()
