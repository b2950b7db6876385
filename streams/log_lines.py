"""What a worker writes to its log: a line per event in its life, and of the libraries what goes wrong, told once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

PASSING_SECONDS = 2.0  # what is over by then is not told
REPEAT_SECONDS = 30.0  # until the same line is written again
STALE_SECONDS = 60.0
LINES_KEPT = 1_000


def configure_logging() -> None:
    """For the process: lines go to stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Seldom())
    for name in ("streams", "sinks"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Faust's services log under the module of their class, which may be one of ours.
    for name in ("faust", "mode", "streams.app", "streams.transport"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Connecting for the first time: what fails is told once, as the end of the command.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    threading.excepthook = _thread_ended


def silence_libraries() -> None:
    """When the worker ends, being cut off is no news."""
    for name in ("faust", "mode", "aiokafka", "streams.app", "streams.transport"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Seldom(logging.Filter):
    """Of the libraries: what passes at once, as when a group is new, is no news; what stays is told now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[str, float] = {}  # since when a line has not been told

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        line, now = record.getMessage(), time.monotonic()
        if len(self._since) > LINES_KEPT:
            self._since.clear()
        since = self._since.setdefault(line, now)
        if now - since > STALE_SECONDS:  # an old story, begun again
            self._since[line] = now
        elif now - since >= PASSING_SECONDS:
            self._since[line] = now + REPEAT_SECONDS
            return True
        return False


def _thread_ended(how: threading.ExceptHookArgs) -> None:
    """The consumer's thread is cancelled when it still waits for a broker that is away; that is no news."""
    if not isinstance(how.exc_value, asyncio.CancelledError):
        threading.__excepthook__(how)
