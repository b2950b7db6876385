"""What a worker writes to its log: a line per event in its life, and of the libraries what goes wrong, told once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

REPEAT_SECONDS = 30.0  # until the same line is written again


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


class _Seldom(logging.Filter):
    """Keeps the libraries from writing one line many times a second, as they do while a broker is away."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(("streams", "sinks")):
            return True
        line, now = record.getMessage(), time.monotonic()
        if now - self._told.get(line, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._told) > 1000:
            self._told.clear()
        self._told[line] = now
        return True


def _thread_ended(how: threading.ExceptHookArgs) -> None:
    """The consumer's thread is cancelled when it still waits for a broker that is away; that is no news."""
    if not isinstance(how.exc_value, asyncio.CancelledError):
        threading.__excepthook__(how)
