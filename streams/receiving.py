"""Kafka's answers, read from their sockets where they are to lie: a large one is copied once, out of the kernel.

aiokafka reads through an `asyncio.StreamReader`, which copies each byte of a fetched partition four times more, and
pauses the socket every 128 KiB. A `Connection` differs from its base in that alone: how frames are put together, and
that fields of a large answer to a fetch are views of its frame. What holds a view holds the frame.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from typing import Any

import numpy as np
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.fetch import FetchRequest

_SIZE = struct.Struct(">i")
_ROOM = 64 * 1024
LARGE = 16 * 1024
"""From so many bytes on, a field of an answer to a fetch is a view."""


class Connection(AIOKafkaConnection):
    """aiokafka's connection, with `Frames` in the place of its reader."""

    def _create_reader_task(self) -> asyncio.Task[None]:
        # A broker says nothing unasked, so that nothing was read yet.
        self._frames = Frames(self._protocol)
        self._writer.transport.set_protocol(self._frames)
        task: asyncio.Task[None] = super()._create_reader_task()
        return task

    @staticmethod
    async def _read(self_ref: Any) -> None:
        self = self_ref()
        if self is None:
            return
        frames = self._frames
        del self
        while True:
            frame = await frames.next()
            self = self_ref()
            if self is None:
                return
            self._handle_frame(frame)
            del self, frame

    def _handle_frame(self, resp: bytes | memoryview) -> None:
        if isinstance(resp, bytes):
            super()._handle_frame(resp)
            return
        correlation_id, request, answer = self._requests[0]
        fields = _Fields(resp)
        if (
            correlation_id is None
            or request.API_KEY != FetchRequest.API_KEY
            or request.parse_response_header(fields).correlation_id != correlation_id
        ):
            super()._handle_frame(bytes(resp))
            return
        if not answer.done():
            answer.set_result(request.RESPONSE_TYPE.decode(fields))
        self._last_action = time.monotonic()
        self._requests.popleft()


class Frames(asyncio.BufferedProtocol):
    """Takes a connection over from aiokafka's protocol, which still hears of its end and of full buffers.

    Frames wait without limit: each answers a request that was sent.
    """

    def __init__(self, behind: asyncio.StreamReaderProtocol) -> None:
        self._behind = behind
        self._room = memoryview(bytearray(_ROOM))  # for small frames, and the beginning of a large one
        self._start = self._end = 0  # what of it is not taken yet
        self._large: memoryview | None = None
        self._filled = 0
        self._frames: deque[bytes | memoryview] = deque()
        self._ended: Exception | None = None
        self._come = asyncio.Event()

    async def next(self) -> bytes | memoryview:
        """The next frame without its size: a view, if it is large. Raises what ended the connection."""
        while not self._frames:
            if self._ended is not None:
                raise self._ended
            self._come.clear()
            await self._come.wait()
        return self._frames.popleft()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._large is not None:
            return self._large[self._filled :]
        return self._room[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._large is None:
            self._end += nbytes
            self._take()
            return
        self._filled += nbytes
        if self._filled == len(self._large):
            self._add(self._large)
            self._large = None

    def _take(self) -> None:
        """The whole frames that are in the room; of one that is not whole, either all of it or no more than its
        beginning."""
        room = self._room
        while self._end - self._start >= _SIZE.size:
            (size,) = _SIZE.unpack_from(room, self._start)
            if size < 0:
                raise ConnectionError(f"a frame of {size} bytes")
            begin = self._start + _SIZE.size
            end = begin + size
            if end > self._end:
                if size >= LARGE:
                    self._filled = self._end - begin
                    self._large = np.empty(size, np.uint8).data  # not zeroed, as a bytearray would be
                    self._large[: self._filled] = room[begin : self._end]
                    self._start = self._end
                break
            self._add(bytes(room[begin:end]))
            self._start = end
        left = self._end - self._start
        room[:left] = bytes(room[self._start : self._end])
        self._start, self._end = 0, left

    def _add(self, frame: bytes | memoryview) -> None:
        self._frames.append(frame)
        self._come.set()

    def eof_received(self) -> bool | None:
        self._end_with(ConnectionError("the broker ended the connection"))
        return self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_with(exc or ConnectionError("the connection ended"))
        self._behind.connection_lost(exc)

    def _end_with(self, error: Exception) -> None:
        self._ended = self._ended or error
        self._come.set()

    def pause_writing(self) -> None:
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        self._behind.resume_writing()


class _Fields:
    """What aiokafka's types read a frame from: `read` as of `io.BytesIO`, but large parts are views."""

    def __init__(self, frame: memoryview) -> None:
        self._frame = frame
        self._at = 0

    def read(self, count: int) -> bytes | memoryview:
        part = self._frame[self._at : self._at + count]
        self._at += len(part)
        return part if count >= LARGE else bytes(part)
