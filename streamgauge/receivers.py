"""Whom alerts are sent to, as options and files say it: checked, and opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamgauge.settings import SettingsError

if TYPE_CHECKING:
    from sinks.alerting.receivers import Receivers
    from streams.alerting.delivering import Outlets


def read_receivers(path: Path | None, alertmanagers: Sequence[str]) -> Receivers:
    """Those of the file and of --alertmanager. Raises SettingsError, with every problem of the file."""
    from sinks.alerting.receivers import SHORT_WAY, Receivers, parse_receivers, url_problem

    found = Receivers()
    if path is not None:
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
            raise SettingsError(f"--receivers {path}: {why}") from error
        parsed, problems = parse_receivers(str(path), content)
        if parsed is None:
            raise SettingsError("\n".join(map(str, problems)))
        found = parsed
    urls = [url.strip() for given in alertmanagers for url in given.split(",") if url.strip()]
    for url in urls:
        wrong = url_problem(url)
        if wrong is not None:
            raise SettingsError(
                f"--alertmanager: {wrong}; write http://HOST:PORT, or an address with credentials into the urls_file "
                "of a receiver in --receivers"
            )
    if urls and any(receiver.name == SHORT_WAY for receiver in found.receivers):
        raise SettingsError(f"--alertmanager and the receiver {SHORT_WAY} of --receivers are two ways to say the same")
    return found.and_alertmanager(urls)


def open_receivers(receivers: Receivers) -> Outlets:
    """Raises SettingsError for a file or variable that is missing."""
    from sinks.alerting.opening import replicas, sender
    from sinks.alerting.receivers import ReceiverUnusable
    from streams.alerting.delivering import Outlets

    try:
        return Outlets(
            receivers,
            {each.name: replicas(each) for each in receivers.receivers if each.type == "alertmanager"},
            {each.name: sender(each) for each in receivers.receivers if each.type != "alertmanager"},
        )
    except ReceiverUnusable as error:
        raise SettingsError(str(error)) from error


def checked_address(option: str, url: str | None) -> str | None:
    """An address that people are sent to. Raises SettingsError."""
    from sinks.alerting.receivers import url_problem

    if url is not None and (why := url_problem(url)) is not None:
        raise SettingsError(f"--{option}: {why}; write it as http://HOST:PORT")
    return url
