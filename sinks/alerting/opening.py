"""Receivers as what can be sent to: addresses and secrets are read here, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sinks.alerting.alertmanager import Replica
from sinks.alerting.content import Notification
from sinks.alerting.http import Http
from sinks.alerting.receivers import Receiver, ReceiverUnusable
from sinks.alerting.webhook import Webhook
from sinks.errors import SinkError


class Sender(Protocol):
    """To where single messages are sent."""

    async def send(self, notification: Notification, now_us: int) -> None:
        """Returns when it arrived. Raises SinkError."""

    async def close(self) -> None: ...


def replicas(receiver: Receiver, environment: Mapping[str, str] = os.environ) -> list[Replica]:
    """Of a receiver of type alertmanager. Raises ReceiverUnusable."""
    token, ca_file = _token(receiver), _ca_file(receiver)
    return [Replica(url, Http(receiver.timeout_s, ca_file, token)) for url in _urls(receiver, environment)]


def sender(receiver: Receiver, environment: Mapping[str, str] = os.environ) -> Sender:
    """Of any other. Raises ReceiverUnusable."""
    urls = _urls(receiver, environment)
    if receiver.type == "webhook":
        secret = _read(receiver, receiver.secret_file) if receiver.secret_file else None
        if receiver.secret_env is not None:
            secret = _variable(receiver, receiver.secret_env, environment)
        return Webhook(urls[0], secret, Http(receiver.timeout_s, _ca_file(receiver), _token(receiver)))
    from sinks.alerting.apprise_urls import AppriseUrls

    try:
        return AppriseUrls(urls, receiver.timeout_s)
    except SinkError as error:
        raise ReceiverUnusable(f"receiver {receiver.name}: {error}") from None


def _urls(receiver: Receiver, environment: Mapping[str, str]) -> list[str]:
    if receiver.urls:
        return list(receiver.urls)
    if receiver.urls_file is not None:
        found = _read(receiver, receiver.urls_file).splitlines()
    else:
        found = _variable(receiver, receiver.urls_env or "", environment).split()
    urls = [line.strip() for line in found if line.strip() and not line.lstrip().startswith("#")]
    if not urls:
        raise ReceiverUnusable(f"receiver {receiver.name}: {receiver.urls_file or receiver.urls_env} holds no address")
    return urls


def _token(receiver: Receiver) -> str | None:
    return _read(receiver, receiver.token_file) if receiver.token_file else None


def _ca_file(receiver: Receiver) -> str | None:
    if receiver.ca_file is not None:
        _read(receiver, receiver.ca_file)
    return str(receiver.ca_file) if receiver.ca_file else None


def _read(receiver: Receiver, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        raise ReceiverUnusable(f"receiver {receiver.name}: {path} cannot be read: {why}") from None


def _variable(receiver: Receiver, name: str, environment: Mapping[str, str]) -> str:
    if not environment.get(name):
        raise ReceiverUnusable(f"receiver {receiver.name}: the variable {name} is not set")
    return environment[name].strip()
