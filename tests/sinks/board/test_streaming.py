"""The event stream: a snapshot, every change, and a beat; over lost connections, a lost Redis, and slow readers."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.values import render
from sinks.board import changes
from sinks.board import streaming as board_streaming
from sinks.board.changes import OVERLAP_MS, Changes
from sinks.board.limits import Limits
from sinks.board.mirror import Mirror
from sinks.names import redis_key
from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect
from sinks.redis.sink import RedisSink
from streamgauge.http_protocol import BoundedHttp
from tests.sinks.board.conftest import NAME, Sent, Served, Stream, facts, server, streaming, write
from tests.sinks.conftest import CrashingValkey
from tests.sinks.values import row, rows

SALES, TODAY = facts("sales"), facts("orders_today")
VALUES = "/api/v1/kpis/sales/values"


def series(sent: Sent) -> list[tuple[str, Any]]:
    return [(value["dims"].get("region", "-"), value["value"]) for value in sent.json["values"]]


async def snapshot(stream: Stream, kpi: str) -> list[tuple[str, Any]]:
    """The parts of the next snapshot of a KPI, put together."""
    found: list[tuple[str, Any]] = []
    while True:
        part = await stream.next("snapshot")
        if part.json["kpi"] != kpi:
            continue
        assert part.json["first"] == (not found)
        found += series(part)
        if part.json["last"]:
            return found


def today(value: str, progress: int = 1) -> Any:
    return rows(row(dims="-", value=value, progress=progress) | {"h": 1}, kpi=TODAY)


async def test_a_snapshot_then_every_change_and_a_beat(served: Served, sink: RedisSink) -> None:
    await write(sink, rows(row("EU", value="1.50"), row("US", value="2"), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 2)
    async with streaming(served) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        assert await snapshot(stream, "sales") == [("EU", 1.5), ("US", 2)]
        beat = await stream.next("beat")
        assert beat.json["redis"] is True
        assert beat.json["now"].endswith("Z")
        await write(sink, rows(row("EU", value="1213440.550000000000000000001", progress=2), kpi=SALES))
        change = await stream.next("value")
        assert '"value":1213440.550000000000000000001,' in change.data
        assert change.json["dims"] == {"region": "EU"}
        milliseconds, _, number = change.id.partition("-")
        assert milliseconds.isdigit() and number.isdigit()


async def test_only_the_series_that_were_asked_for(served: Served, sink: RedisSink) -> None:
    await write(sink, rows(row("EU"), row("US"), kpi=SALES), today("3"))
    await served.until(VALUES, lambda found: len(found["values"]) == 2)
    async with streaming(served, "/api/v1/stream?kpi=sales&region=US") as stream:
        assert await snapshot(stream, "sales") == [("US", 10.5)]
        await write(sink, today("4", progress=2), rows(row("EU", progress=2, value="8"), kpi=SALES))
        await write(sink, rows(row("US", progress=2, value="9"), kpi=SALES))
        assert (await stream.next("value")).json["value"] == 9
    async with streaming(served, "/api/v1/stream?region=US") as stream:
        assert (await stream.next("snapshot")).json["kpi"] == "sales"  # the others have no regions, or no values


async def test_a_large_kpi_comes_in_parts(served: Served, sink: RedisSink) -> None:
    names = [f"r{number:04d}" for number in range(350)]
    await write(sink, rows(*(row(name) for name in names), kpi=SALES))
    await served.until(f"{VALUES}?limit=400", lambda found: len(found["values"]) == 350)
    async with streaming(served, "/api/v1/stream?kpi=sales") as stream:
        parts = [await stream.next("snapshot") for _ in range(4)]
        assert [len(part.json["values"]) for part in parts] == [100, 100, 100, 50]
        assert [(part.json["first"], part.json["last"]) for part in parts] == [
            (True, False), (False, False), (False, False), (False, True),
        ]  # fmt: skip
        assert [name for part in parts for name, _ in series(part)] == names


@pytest.mark.parametrize("how", ["header", "query"])
async def test_resuming_tells_what_was_missed_and_no_snapshot(served: Served, sink: RedisSink, how: str) -> None:
    await write(sink, rows(row("EU", value="1"), kpi=SALES))
    async with streaming(served) as stream:
        await stream.next("value", "snapshot")
        async with asyncio.timeout(20):
            while not (last := await stream.next()).id.strip("0-"):
                pass
    for progress in range(2, 6):
        await write(sink, rows(row("EU", progress=progress, value=f"{progress}"), kpi=SALES))
    await served.until(VALUES, lambda found: found["values"][0]["value"] == 5)
    path, headers = "/api/v1/stream", {}
    if how == "header":
        headers = {"Last_Event_ID": last.id}
    else:
        path += f"?last_event_id={last.id}"
    async with streaming(served, path, **headers) as stream:
        told = [await stream.next()]
        while told[-1].json.get("value") != 5:
            told.append(await stream.next())
    assert {sent.event for sent in told} == {"value"}
    values = [sent.json["value"] for sent in told]
    assert values[-4:] == [2, 3, 4, 5]


async def test_another_process_goes_on_from_the_same_id(address: RedisAddress, sink: RedisSink, redis: Redis) -> None:
    await write(
        sink, *(rows(*(row(f"r{at}", progress=progress) for at in range(300)), kpi=SALES) for progress in (1, 2))
    )
    async with server(address) as served, streaming(served, "/api/v1/stream?kpi=sales") as stream:
        last = await stream.next("beat")
    await write(sink, rows(row("EU", value="2"), kpi=SALES))
    async with (
        server(address) as served,
        streaming(served, "/api/v1/stream?kpi=sales", Last_Event_ID=last.id) as stream,
    ):
        told = [await stream.next()]
        while told[-1].json.get("value") != 2:
            told.append(await stream.next())
    assert {sent.event for sent in told} == {"value"}


async def test_another_process_does_not_trust_a_stream_that_may_have_begun_anew(
    address: RedisAddress, sink: RedisSink, redis: Redis
) -> None:
    await write(sink, rows(row("US"), kpi=SALES))
    async with server(address) as served, streaming(served) as stream:
        last = await stream.next("beat")
    await redis.flushdb()
    await write(sink, rows(row("EU", value="2"), kpi=SALES))
    async with server(address) as served, streaming(served, Last_Event_ID=last.id) as stream:
        assert await snapshot(stream, "sales") == [("EU", 2)]


@pytest.mark.parametrize("last", ["0-0", "1-0", "nonsense", "99999999999999-0", "1" * 30, "-", "\N{SUPERSCRIPT TWO}-0"])
async def test_what_cannot_be_resumed_begins_with_a_snapshot(served: Served, sink: RedisSink, last: str) -> None:
    await write(sink, rows(*(row("EU", progress=progress) for progress in range(1, 3)), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 1)
    async with streaming(served, f"/api/v1/stream?last_event_id={quote(last)}") as stream:
        assert (await stream.next("snapshot", "value")).event == "snapshot"


async def test_a_reader_that_was_overtaken_begins_again_with_a_snapshot(
    served: Served, sink: RedisSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_BYTES", 20_000)
    await write(sink, rows(row("EU", value="1"), kpi=SALES))
    await served.until(VALUES, lambda found: len(found["values"]) == 1)
    async with streaming(served) as stream:
        last = await stream.next("beat")
        for progress in range(2, 6):
            await write(sink, *(rows(*(row(f"r{at}", progress=progress) for at in range(50)), kpi=SALES),))
        await served.until(f"{VALUES}?region=r49", lambda found: [v["progress"] for v in found["values"]] == [5])
    async with streaming(served, Last_Event_ID=last.id) as stream:
        assert (await stream.next()).event == "snapshot"


async def test_redis_away_is_told_and_back_goes_on(crashing_valkey: CrashingValkey) -> None:
    await crashing_valkey.start()
    address = crashing_valkey.address
    async with server(address) as served, streaming(served) as stream:
        async with RedisSink(NAME, address) as sink:
            await write(sink, rows(row("EU", value="1"), row("US", value="2"), kpi=SALES))
        known = await stream.next("value")
        crashing_valkey.kill()
        while (beat := await stream.next("beat")).json["redis"]:
            pass
        assert beat.json["lag_ms"] > 0
        assert (await served.get("/livez")).status_code == 200
        ready = await served.get("/readyz")
        assert (ready.status_code, "cannot be reached" in ready.text) == (503, True)
        stale = await served.get(VALUES)
        assert [value["value"] for value in stale.json()["values"]] == [1, 2]
        assert int(stale.headers["age"]) >= 0
        assert (await served.get("/api/v1/kpis/sales/history?region=EU")).status_code == 503
        assert (await served.get("/api/v1/alerts")).headers["retry-after"] == "2"
        assert (await served.json("/api/v1/kpis/sales"))["active_alerts"] is None
        # It comes back empty, so what was known is gone, and then values come again.
        await crashing_valkey.start()
        assert await snapshot(stream, "sales") == []
        async with RedisSink(NAME, address) as sink:
            await write(sink, rows(row("EU", value="3"), kpi=SALES))
        assert (await stream.next("value")).json["value"] == 3
        while not (await stream.next("beat")).json["redis"]:
            pass
        assert (await served.get("/readyz")).status_code == 200
        assert "age" not in (await served.get(VALUES)).headers
        # A reader that was away meanwhile must not keep the series that is gone.
        async with streaming(served, Last_Event_ID=known.id) as resumed:
            assert await snapshot(resumed, "sales") == [("EU", 3)]


async def test_what_was_read_before_redis_went_away_is_told_once_it_is_back(
    served: Served, sink: RedisSink, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(sink, rows(row("EU", value="1"), kpi=SALES), today("1"))
    await served.until(VALUES, lambda found: len(found["values"]) == 1)
    await served.until("/api/v1/kpis/orders_today/values", lambda found: len(found["values"]) == 1)
    failing = reading.current_texts
    failed: list[str] = []

    def fails_once(client: Redis, name: str, kpi: str, members: Any) -> Any:
        if not failed:
            failed.append(kpi)
            raise RedisConnectionError("went away between two commands")
        return failing(client, name, kpi, members)

    async with streaming(served) as stream:
        await stream.next("beat")
        monkeypatch.setattr(reading, "current_texts", fails_once)
        # Only Redis can say which of two definitions is the newer, so this one is asked for.
        newer = replace(facts("sales", sequence=4), definition="ffffffffffff")
        await write(sink, today("2", progress=2), rows(row("EU", value="3"), kpi=newer))
        told = {"orders_today": 1, "sales": 1}
        while told != {"orders_today": 2, "sales": 3}:
            value = (await stream.next("value")).json
            told[value["kpi"]] = value["value"]
    assert failed == ["sales"]
    await served.until(VALUES, lambda found: found["values"][0]["value"] == 3)


async def test_a_late_change_says_how_late_and_then_nothing_is_behind(address: RedisAddress, redis: Redis) -> None:
    ((_, json),) = render(rows(row("EU"), kpi=SALES))
    async with Mirror(NAME, [SALES], address) as mirror:
        async with asyncio.timeout(20):
            while not mirror.connected:
                await asyncio.sleep(0.01)
            a_minute_ago = (await redis.time())[0] * 1_000 - 60_000
            key = redis_key(NAME, "sales", "updates")
            await redis.xadd(key, {"dims": "region=EU", "json": json}, id=f"{a_minute_ago}-0")
            await redis.expire(key, 60)
            while mirror.lag_ms < 59_000:
                await asyncio.sleep(0.01)
            while mirror.lag_ms != 0:
                await asyncio.sleep(0.01)


async def test_a_reader_that_takes_nothing_is_bounded_and_cut_off(
    served: Served, sink: RedisSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHttp, "stalled_seconds", 2.0)
    names = [f"r{number:04d}" for number in range(1_000)]
    await write(sink, rows(*(row(name) for name in names), kpi=SALES))
    await served.until(f"{VALUES}?limit=1000", lambda found: len(found["values"]) == 1_000)
    host, port = served.client.base_url.host, served.client.base_url.port
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (host, port))
        await loop.sock_sendall(slow, f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())

        async def streams() -> str:
            lines = (await served.get("/metrics")).text.splitlines()
            return next(line for line in lines if line.startswith("streamgauge_http_streams "))

        async with asyncio.timeout(20):
            while await streams() != "streamgauge_http_streams 1.0":
                await asyncio.sleep(0.01)
            progress = 1
            while await streams() != "streamgauge_http_streams 0.0":
                progress += 1
                await write(sink, rows(*(row(name, progress=progress) for name in names), kpi=SALES))
        with pytest.raises(ConnectionError):
            while await loop.sock_recv(slow, 65_536):
                pass
            raise ConnectionResetError  # closed in order


async def test_many_streams_get_every_change(address: RedisAddress, redis: Redis, sink: RedisSink) -> None:
    async with server(address) as served:

        async def followed() -> list[Any]:
            async with streaming(served, "/api/v1/stream?kpi=sales") as stream:
                opened.release()
                found = []
                while not found or found[-1] != 20:
                    found.append((await stream.next("value")).json["value"])
                return found

        opened = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(followed()) for _ in range(90)]
            for _ in followers:
                await opened.acquire()
            for progress in range(1, 21):
                await write(sink, rows(row("EU", progress=progress, value=str(progress)), kpi=SALES))
        assert all(follower.result() == list(range(1, 21)) for follower in followers)


async def test_no_more_streams_than_the_process_serves(address: RedisAddress, redis: Redis) -> None:
    async with server(address, limits=Limits(streams=1)) as served, streaming(served) as stream:
        await stream.next("beat")
        refused = await served.get("/api/v1/stream")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.headers["content-type"] == "application/problem+json"


async def test_streams_end_when_the_server_does(address: RedisAddress, redis: Redis) -> None:
    async with server(address) as served, streaming(served) as stream:
        await stream.next("beat")
        served.ending.set()
        await stream.until_ended()


async def test_what_redis_lost_unnoticed_is_noticed_in_the_end(
    address: RedisAddress, redis: Redis, sink: RedisSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.board.mirror._RECONCILE_S", 0.1)
    async with server(address) as served, streaming(served) as stream:
        await write(sink, rows(row("EU", value="1"), kpi=SALES))
        await stream.next("value")
        async with connect(address) as other:
            await other.flushdb()
        while await snapshot(stream, "sales") != []:
            pass
        assert (await served.json(VALUES))["values"] == []


# --- the list behind it ---


def told(*milliseconds: int) -> Changes:
    found = Changes()
    for ms in milliseconds:
        found.told_ms = max(found.told_ms, ms)
        found.add("sales", ms, "-", b"{}")
    return found


def test_resuming_overlaps_by_what_clocks_and_replicas_may_differ() -> None:
    found = told(1_000, 5_000, 9_000, 8_000, 12_000)
    again = found.resume(10_500)
    assert again is not None
    assert [change.ms for change in again] == [9_000, 12_000]
    assert found.resume(12_000 + OVERLAP_MS + 1) is None  # of a process that knows more
    assert found.resume(OVERLAP_MS - 1) is None  # before anything


def test_changes_are_bounded_and_know_what_they_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_BYTES", 5_000)
    found = told(*range(1_000, 101_000, 1_000))
    kept = found.after(found.end - 1, 10)
    assert kept is not None and [change.ms for change in kept] == [100_000]
    assert found.after(0, 10) is None
    first = found.complete_since_ms
    assert found.resume(first + OVERLAP_MS) is not None
    assert found.resume(first + OVERLAP_MS - 1) is None


def test_a_kpi_that_was_read_again_is_told_to_who_resumes() -> None:
    found = told(5_000, 6_000)
    found.replaced("sales", found.told_ms)
    again = found.resume(6_000)
    assert again is not None
    assert [change.json for change in again] == [b"{}", b"{}", b""]


def test_a_beat_is_often_enough_for_pages_that_wait_six_seconds() -> None:
    assert board_streaming.BEAT_S <= 2
