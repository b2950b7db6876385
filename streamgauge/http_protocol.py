"""HTTP as uvicorn reads it, with bounds that it lacks: for the head of a request, what comes of one behind its
answer, and an answer that nobody takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from sinks.board.problems import MEDIA_TYPE, ProblemError

HEAD_BYTES: Final = 32 * 1024
_log = logging.getLogger(__name__)


class BoundedHttp(HttpToolsProtocol):
    """Closes connections that do not come to the end of a request's head, and those that take nothing of an answer."""

    head_seconds = 10.0
    rest_seconds = 30.0
    stalled_seconds = 30.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asked = False  # anything yet
        self._in_head = True
        self._head_bytes = 0
        self._head_due: asyncio.TimerHandle | None = None
        self._rest_due: asyncio.TimerHandle | None = None
        self._closing = False  # when the rest of the request has come
        self._untaken = 0
        self._taken_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._rest_came()
        self._all_taken()
        super().connection_lost(exc)

    # --- heads ---

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_due is None:
                self._expect_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(ProblemError(431, f"the head of a request has at most {HEAD_BYTES:,} bytes here"))

    def on_headers_complete(self) -> None:
        self._asked = True
        self._in_head = False
        self._head_came()
        super().on_headers_complete()
        self.cycle.transport = _Answering(self.transport, self.close)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0
        if self._closing:
            self.transport.close()
        elif self._rest_due is not None:
            self._rest_came()
            self._expect_head()

    # --- what comes behind an answer ---

    def close(self) -> None:
        """Close once the request has come to its end: what is not read resets the connection, and a client that sends
        all before it reads loses the answer by that.
        """
        if self._in_head or self.transport.is_closing():
            self.transport.close()
        elif not self._closing:
            self._closing = True
            self.transport.write_eof()
            self._expect_rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and not self.transport.is_closing():
            self._expect_rest()

    def _expect_rest(self) -> None:
        if self._rest_due is None:
            self.flow.resume_reading()
            self._rest_due = self.loop.call_later(self.rest_seconds, self.transport.close)

    def _rest_came(self) -> None:
        if self._rest_due is not None:
            self._rest_due.cancel()
            self._rest_due = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(ProblemError(400, "this is not HTTP/1.1"))

    def _expect_head(self) -> None:
        self._head_due = self.loop.call_later(self.head_seconds, self._no_head)

    def _head_came(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _no_head(self) -> None:
        if self._head_bytes == 0:  # browsers connect before they need it
            self.transport.close()
        else:
            self._refuse(ProblemError(408, f"no head of a request came within {self.head_seconds:g} s"))

    def _refuse(self, problem: ProblemError) -> None:
        """Answer and close, unless another answer is on its way."""
        if not self._closing and (not self._asked or self.cycle.response_complete):
            _log.info("%s - %d: %s", self.client[0] if self.client else "-", problem.status, problem.detail)
            body = problem.document(None)
            head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[problem.status] + head.encode() + body)
        self.transport.close()

    # --- answers ---

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.transport.get_write_buffer_size()
        self._taken_due = self.loop.call_later(self.stalled_seconds, self._is_stalled)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._all_taken()

    def _is_stalled(self) -> None:
        untaken = self.transport.get_write_buffer_size()
        if untaken >= self._untaken:
            _log.info("%s took nothing for %g s and is let go", self.client, self.stalled_seconds)
            self.transport.abort()
            return
        self._untaken = untaken
        self._taken_due = self.loop.call_later(self.stalled_seconds, self._is_stalled)

    def _all_taken(self) -> None:
        if self._taken_due is not None:
            self._taken_due.cancel()
            self._taken_due = None


class _Answering:
    """The transport as an answer has it, which does not close it itself."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
