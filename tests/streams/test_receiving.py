"""Frames come out of a connection as they were sent, however the socket cuts them."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import conn
from hypothesis import given
from hypothesis import strategies as st

from streams.fetching import install
from streams.receiving import LARGE, Connection, Frames


def frames_of() -> Frames:
    return Frames(asyncio.StreamReaderProtocol(asyncio.StreamReader()))


def receive(frames: Frames, sent: bytes, cuts: list[int]) -> None:
    """As a transport does: into the buffer that is offered, at most so many bytes at a time."""
    at = turn = 0
    while at < len(sent):
        room = frames.get_buffer(-1)
        count = min(len(room), cuts[turn % len(cuts)], len(sent) - at)
        room[:count] = sent[at : at + count]
        frames.buffer_updated(count)
        at, turn = at + count, turn + 1


SIZES = st.one_of(st.integers(0, 300), st.integers(LARGE - 5, LARGE + 5), st.integers(60_000, 70_000))


@given(st.lists(SIZES, min_size=1, max_size=8), st.lists(st.integers(1, 70_000), min_size=1, max_size=6))
def test_every_frame_comes_whole_and_in_order(sizes: list[int], cuts: list[int]) -> None:
    async def scenario() -> None:
        frames = frames_of()
        contents = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
        cuts_here = cuts if sum(cuts) > 200 else [*cuts, 4_000]
        receive(frames, b"".join(len(content).to_bytes(4, "big") + content for content in contents), cuts_here)
        assert [bytes(await frames.next()) for _ in contents] == contents

    asyncio.run(scenario())


async def test_what_came_before_the_end_is_read_and_then_the_end_is_told() -> None:
    frames = frames_of()
    receive(frames, (3).to_bytes(4, "big") + b"abc", [2])
    frames.connection_lost(ConnectionResetError("reset by the broker"))
    assert await frames.next() == b"abc"
    with pytest.raises(ConnectionResetError, match="reset by the broker"):
        await frames.next()


async def test_a_reader_that_waits_is_woken_by_the_end() -> None:
    frames = frames_of()
    waiting = asyncio.ensure_future(frames.next())
    await asyncio.sleep(0)
    frames.eof_received()
    with pytest.raises(ConnectionError, match="ended"):
        await waiting


def test_aiokafka_makes_its_connections_of_what_is_put_in_the_place_of_its_class() -> None:
    install()
    assert conn.AIOKafkaConnection is Connection
    assert conn.create_conn.__globals__["AIOKafkaConnection"] is Connection
    for used in ("_create_reader_task", "_handle_frame", "_read"):
        assert used in vars(Connection.__base__), used
