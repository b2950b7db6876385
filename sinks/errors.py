"""What a sink reports when it cannot write."""

from __future__ import annotations


class SinkError(Exception):
    """A sink could not be reached or refused a write. ``retryable`` says whether trying again can help by itself."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable
