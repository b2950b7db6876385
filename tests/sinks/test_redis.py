"""Redis shows the newest value of each series, whoever writes, in whatever order, and whatever happens to Redis."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.crc import key_slot

from engine.values import ValueRows, render
from sinks import names
from sinks.errors import SinkError
from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect
from sinks.redis.sink import Limits, RedisSink
from tests.sinks.conftest import CrashingValkey, without_ttl
from tests.sinks.values import FIRST_END_US, HOUR_US, PACE, SALES, later_definition, row, rows

NAME = "shop"
DAY_MS = 86_400_000


async def write(address: RedisAddress, *offers: ValueRows, limits: Limits | None = None) -> RedisSink:
    async with RedisSink(NAME, address, limits) as sink:
        for offer in offers:
            sink.offer(offer)
            assert await sink.drained(10)
    return sink


async def contents(redis: Redis) -> dict[str, Any]:
    """All that readers see: current values, index, rank, and history as it reads."""
    members = [dims.decode() for dims in await redis.zrange(names.redis_key(NAME, "sales", "index"), 0, -1)]
    return {
        "current": await reading.current(redis, NAME, "sales"),
        "index": await redis.zrange(names.redis_key(NAME, "sales", "index"), 0, -1, withscores=True),
        "rank": await redis.zrange(names.redis_key(NAME, "sales", "rank"), 0, -1, withscores=True),
        "history": {dims: await reading.history(redis, NAME, "sales", dims) for dims in members},
    }


async def test_what_is_read_is_the_object_of_the_values_topic(redis: Redis, address: RedisAddress) -> None:
    offered = rows(
        row("EU", value="1213440.550000000000000000001"),
        row(None, value=None, target=None, status=None, compare_value=None, compare_change=None),
        row('a,b=c|"d"%', dims="region=a%2Cb%3Dc%7C%22d%22%25"),
    )
    await write(address, offered)
    expected = {key.decode(): json.loads(value, parse_float=Decimal) for key, value in render(offered)}
    found = await reading.current(redis, NAME, "sales")
    assert sorted(map(str, found)) == sorted(map(str, expected.values()))
    assert [value["dims"] for value in await reading.current(redis, NAME, "sales", {"region": "EU"})] == [
        {"region": "EU"}
    ]
    assert await reading.current(redis, NAME, "sales", {"region": "nowhere"}) == []
    assert await reading.kpis(redis, NAME) == ["sales"]


async def test_pace_is_read_back_and_gone_with_the_kpis_pacing(redis: Redis, address: RedisAddress) -> None:
    key = "kpi:shop:{sales}:current:region=EU"
    paced = rows(row("EU", **PACE), row("US"))
    await write(address, paced)
    expected = [json.loads(value, parse_float=Decimal) for _, value in render(paced)]
    assert await reading.current(redis, NAME, "sales") == expected
    assert (await redis.hget(key, "pace_share"), await redis.hget(key, "pace_low")) == (b"0.82", b"")
    await write(address, rows(row("EU", hour=1)))
    assert [name for name in await redis.hkeys(key) if name.startswith(b"pace")] == []
    [value] = await reading.current(redis, NAME, "sales", {"region": "EU"})
    assert value["pace"] is None


async def test_the_current_hash_holds_the_fields_flat(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row("EU")))
    fields = await redis.hgetall("kpi:shop:{sales}:current:region=EU")
    shown = {name.decode(): text.decode() for name, text in fields.items()}
    assert shown["value"] == "10.50"
    assert shown["window_end"] == "2026-11-23T00:00:00+01:00"
    assert {"state", "revision", "progress", "samples", "watermark", "definition", "target", "status"} <= set(shown)
    assert await redis.zscore("kpi:shop:{sales}:index", "region=EU") == FIRST_END_US // 1000


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (row(hour=0, progress=9, value="1"), row(hour=1, progress=1, value="2")),
        (row(progress=1, value="1"), row(progress=2, value="2")),
        (row(progress=99, value="1"), row(progress=100, value="2")),
        (row(progress=2**53, value="1"), row(progress=2**53 + 1, value="2")),
        (row(revision=1, value="1"), row(revision=2, value="2")),
        (row(hour=-10_000_000, value="1"), row(hour=0, value="2")),  # before 1970
    ],
)
async def test_the_older_write_of_a_zombie_loses(
    redis: Redis, address: RedisAddress, older: dict[str, Any], newer: dict[str, Any]
) -> None:
    await write(address, rows(newer))
    await write(address, rows(older))
    [value] = await reading.current(redis, NAME, "sales")
    assert value["value"] == 2
    assert [value["value"] for value in await reading.top(redis, NAME, "sales")] == [2]


async def test_a_newer_definition_wins_even_with_an_earlier_window(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row(hour=5, value="1")), rows(row(hour=1, value="2"), kpi=later_definition(4)))
    await write(address, rows(row(hour=9, value="3")))
    assert [value["value"] for value in await reading.top(redis, NAME, "sales")] == [2]


changes = st.tuples(st.sampled_from("ABC"), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), given_changes=st.lists(changes, min_size=1, max_size=14, unique=True))
async def test_racing_writers_end_the_same_whatever_the_order(
    redis: Redis, address: RedisAddress, data: st.DataObject, given_changes: list[tuple[str, int, int, int]]
) -> None:
    def value(change: tuple[str, int, int, int]) -> ValueRows:
        region, hour, progress, revision = change
        text = None if progress == 3 else f"1{hour}{progress}{revision}"
        return rows(row(region, hour=hour, progress=progress, revision=revision, value=text))

    ended: list[dict[str, Any]] = []
    for order in (sorted(given_changes), data.draw(st.permutations(given_changes))):
        await redis.flushdb()
        async with RedisSink(NAME, address) as one, RedisSink(NAME, address) as other:
            for position, change in enumerate(order):
                sink = (one, other)[position % 2]
                sink.offer(value(change))
                assert await sink.drained(10)
        ended.append(await contents(redis))
    assert ended[0] == ended[1]


async def test_the_rank_is_of_the_newest_window_only(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row("A", value="5"), row("B", value="7"), row("C", value="-1.5")))
    best = await reading.top(redis, NAME, "sales", 2)
    assert [value["dims"]["region"] for value in best] == ["B", "A"]
    worst = await reading.top(redis, NAME, "sales", 1, lowest=True)
    assert [value["dims"]["region"] for value in worst] == ["C"]
    await write(address, rows(row("A", hour=1, value="1")))
    assert [value["dims"]["region"] for value in await reading.top(redis, NAME, "sales")] == ["A"]
    await write(address, rows(row("A", hour=1, progress=2, value=None)))
    assert await reading.top(redis, NAME, "sales") == []


async def test_the_folded_rest_is_shown_but_not_ranked(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row("A"), row("__other__", h=2**64 - 1, value="99")))
    assert len(await reading.current(redis, NAME, "sales")) == 2
    assert [value["dims"]["region"] for value in await reading.top(redis, NAME, "sales")] == ["A"]


async def test_a_window_that_closes_after_the_next_has_begun_goes_to_history(
    redis: Redis, address: RedisAddress
) -> None:
    await write(
        address,
        rows(row(hour=0, value="1")),
        rows(row(hour=1, value="2")),
        rows(row(hour=0, revision=1, value="3")),
        rows(row(hour=0, revision=2, value="4", progress=2)),
    )
    [value] = await reading.current(redis, NAME, "sales")
    assert value["value"] == 2
    past = await reading.history(redis, NAME, "sales", "region=EU")
    assert [(value["value"], value["revision"]) for value in past] == [(4, 2)]


async def test_history_is_capped_for_a_series_and_by_the_number_of_series(redis: Redis, address: RedisAddress) -> None:
    limits = Limits(history=200, kpi_history=400)
    regions = [f"R{number}" for number in range(20)]
    async with RedisSink(NAME, address, limits) as sink:
        sink.offer(rows(*(row(region) for region in regions)))
        assert await sink.drained(10)
        for hour in range(0, 150, 50):
            closed = [row("R0", hour=hour + step, revision=1) for step in range(50)]
            sink.offer(rows(*closed))
        assert await sink.drained(20)
    # Streams are trimmed by whole nodes: somewhat more than 400 / 20 entries stay.
    assert await redis.xlen(names.redis_series_key(NAME, "sales", "history", "region=R0")) < 60
    past = await reading.history(redis, NAME, "sales", "region=R0")
    assert (
        past[-1]["window"]["end"]
        == datetime.fromtimestamp(
            (FIRST_END_US + 149 * HOUR_US) / 1e6, datetime.fromisoformat(past[-1]["window"]["end"]).tzinfo
        ).isoformat()
    )


async def test_history_between_two_times(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(*(row(hour=hour, revision=1) for hour in range(5))))
    since, until = (datetime.fromisoformat(f"2026-11-23T0{hour}:00:00+01:00") for hour in (1, 3))
    past = await reading.history(redis, NAME, "sales", "region=EU", since, until)
    assert [value["window"]["end"][11:13] for value in past] == ["01", "02", "03"]


async def test_updates_go_on_after_an_id(redis: Redis, address: RedisAddress) -> None:
    async with connect(address, blocking_reads=True) as reader:
        async with RedisSink(NAME, address) as sink:
            sink.offer(rows(row("A")))
            assert await sink.drained(10)
            assert set(await reading.last_ids(redis, NAME, ["sales", "none"])) == {"sales", "none"}
            following = reading.updates(reader, NAME, ["sales"])
            first = asyncio.ensure_future(anext(following))
            while not await redis.client_list("normal") or not any(
                client["cmd"] == "xread" for client in await redis.client_list()
            ):
                await asyncio.sleep(0.01)
            sink.offer(rows(row("B")))
            kpi, update = await asyncio.wait_for(first, 5)
            assert (kpi, update.dims, update.value["dims"]) == ("sales", "region=B", {"region": "B"})
            sink.offer(rows(row("A")))  # the same once more is no change
            sink.offer(rows(row("A", progress=2)))
            assert await sink.drained(10)
        resumed = reading.updates(reader, NAME, ["sales"], {"sales": update.id}, block_ms=50)
        assert [(update.dims, update.value["progress"]) async for _, update in resumed] == [("region=A", 2)]


async def test_keys_live_three_windows_and_at_least_a_week(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row(revision=1)))
    keys = [key async for key in redis.scan_iter()]
    assert len(keys) == 6  # current, index, rank, newest, history, updates
    for key in keys:
        assert 7 * DAY_MS - 60_000 < await redis.pttl(key) <= 7 * DAY_MS


@pytest.mark.parametrize("days", [2, 3 * 366])
async def test_keys_live_as_long_as_the_catalog_says(redis: Redis, address: RedisAddress, days: int) -> None:
    kept = replace(SALES, expires_us=days * 24 * HOUR_US)
    async with RedisSink(NAME, address) as sink:
        sink.offer(rows(row("A", revision=1), kpi=kept))
        assert await sink.drained(10)
        assert await sink.refill(render(rows(row("B", revision=1))), {"sales": kept}) == 1
    keys = [key async for key in redis.scan_iter()]
    assert len(keys) == 7  # current, index, rank, newest, updates, history of A and of B
    for key in keys:
        assert days * DAY_MS - 60_000 < await redis.pttl(key) <= days * DAY_MS


async def test_history_is_not_kept_longer_than_the_catalog_says(redis: Redis, address: RedisAddress) -> None:
    kept = replace(SALES, expires_us=2 * 24 * HOUR_US)
    everything = [row("A", hour=hour, revision=1) for hour in range(60)]
    async with RedisSink(NAME, address) as sink:
        sink.offer(rows(*everything, kpi=kept))
        assert await sink.drained(10)
        written = await reading.history(redis, NAME, "sales", "region=A")
        assert [value["window"]["end"][:13] for value in written][::48] == ["2026-11-23T11", "2026-11-25T11"]
        assert len(written) == 49  # of windows that end 48 hours before the last one, and later
        assert await sink.refill(render(rows(*everything))) == 0
        await redis.delete(names.redis_series_key(NAME, "sales", "history", "region=A"))
        assert await sink.refill(render(rows(*everything))) == 1
        assert await reading.history(redis, NAME, "sales", "region=A") == written
        assert await sink.refill(render(rows(row("A", hour=3, revision=2)))) == 0  # revised, and gone by now


async def test_all_keys_of_a_kpi_share_a_cluster_slot(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row("A", revision=1), row("B", revision=1), row("C{x}")))
    assert len({key_slot(key) async for key in redis.scan_iter()}) == 1


async def test_a_silent_series_leaves_the_index_when_its_hash_must_be_gone(redis: Redis, address: RedisAddress) -> None:
    await write(address, rows(row("A"), row("B")), rows(row("A", hour=24 * 7 + 1)))
    assert await redis.zrange(names.redis_key(NAME, "sales", "index"), 0, -1) == [b"region=A"]


async def test_current_values_are_back_after_a_crash_and_offering_never_waited(
    crashing_valkey: CrashingValkey,
) -> None:
    server = crashing_valkey
    await server.start()
    async with RedisSink(NAME, server.address) as sink:
        sink.offer(rows(row("silent"), row("EU")))
        assert await sink.drained(10)
        server.kill()
        loop = asyncio.get_running_loop()
        longest = 0.0
        for progress in range(2, 400):
            before = loop.time()
            sink.offer(rows(row("EU", progress=progress), row("EU", hour=-progress, revision=1)))
            longest = max(longest, loop.time() - before)
            await asyncio.sleep(0.001)
        assert longest < 0.2
        assert sink.problem is not None
        assert sink.problem.retryable
        assert sink.gap_since_ms is not None
        await server.start()
        started = loop.time()
        async with connect(server.address) as client:
            async with asyncio.timeout(5):
                while len(found := await reading.current(client, NAME, "sales")) < 2:
                    await asyncio.sleep(0.02)
            assert loop.time() - started < 5
            assert {value["dims"]["region"]: value["progress"] for value in found} == {"silent": 1, "EU": 399}
            assert await sink.drained(10)
            assert len(await reading.history(client, NAME, "sales", "region=EU")) == 398
            assert await without_ttl(client) == []
        assert sink.problem is None
        assert sink.gap_since_ms == 0  # it came back empty: all history is in question
        assert sink.counts.failed > 0


async def test_an_outage_is_seen_and_current_values_are_back_while_nothing_is_offered(
    crashing_valkey: CrashingValkey,
) -> None:
    server = crashing_valkey
    await server.start()
    async with RedisSink(NAME, server.address) as sink, connect(server.address) as client:
        sink.offer(rows(row("EU")))
        assert await sink.drained(10)
        server.kill()
        async with asyncio.timeout(20):
            while sink.problem is None:
                await asyncio.sleep(0.02)
        await server.start()
        async with asyncio.timeout(20):
            while not await reading.current(client, NAME, "sales"):
                await asyncio.sleep(0.02)
        assert await sink.drained(10)
        assert sink.problem is None
        assert sink.gap_since_ms == 0  # it came back empty


async def test_a_restart_between_two_looks_is_seen_too(crashing_valkey: CrashingValkey) -> None:
    server = crashing_valkey
    await server.start()
    async with RedisSink(NAME, server.address) as sink:
        sink.offer(rows(row("EU")))
        assert await sink.drained(10)
        server.kill()
        await server.start()
        async with connect(server.address) as client, asyncio.timeout(20):
            while not await reading.current(client, NAME, "sales"):
                await asyncio.sleep(0.02)
        assert await sink.drained(10)
        assert sink.gap_since_ms == 0


async def test_what_waits_is_bounded_and_the_newest_of_each_series_stays(crashing_valkey: CrashingValkey) -> None:
    server = crashing_valkey
    limits = Limits(past_rows=1_000)
    async with RedisSink(NAME, server.address, limits) as sink:
        for hour in range(0, 60_000, 5_000):
            sink.offer(rows(*(row(revision=1, hour=hour + step) for step in range(5_000))))
        sink.offer(rows(row("A", hour=59_999)))
        assert sink.queue_rows < 30_000
        assert sink.counts.dropped > 30_000
        await server.start()
        assert await sink.drained(20)
        async with connect(server.address) as client:
            found = await reading.current(client, NAME, "sales")
            assert {value["dims"]["region"] for value in found} == {"A", "EU"}
            assert found[1]["window"]["end"] == json.loads(render(rows(row(hour=59_999)))[0][1])["window"]["end"]


async def test_current_values_go_before_a_long_past(crashing_valkey: CrashingValkey) -> None:
    server = crashing_valkey
    async with RedisSink(NAME, server.address) as sink:
        sink.offer(rows(*(row("A", hour=hour, revision=1) for hour in range(30_000))))
        sink.offer(rows(row("B", hour=29_999), kpi=replace(SALES, name="other")))
        while sink.problem is None:
            await asyncio.sleep(0.01)
        await server.start()
        async with connect(server.address) as client, asyncio.timeout(5):
            while not await reading.current(client, NAME, "other"):
                await asyncio.sleep(0.005)
            assert sink.queue_rows > 10_000
        assert await sink.drained(30)


async def test_a_gap_is_refilled_from_the_values_topic_as_often_as_wanted(redis: Redis, address: RedisAddress) -> None:
    everything = [
        *render(rows(*(row("A", hour=hour, revision=1, value=str(hour)) for hour in range(6)))),
        *render(rows(row("A", hour=2, revision=2, progress=2, value="22"), row("B", revision=1, value="7"))),
        *render(rows(row("A", hour=6, value="6"))),
    ]
    async with RedisSink(NAME, address) as sink:
        sink.offer(rows(row("A", hour=0, revision=1, value="0"), row("A", hour=5, revision=1, value="5")))
        assert await sink.drained(10)
        assert await sink.refill(everything) == 2
        assert await sink.refill(reversed(everything)) == 0
    past = await reading.history(redis, NAME, "sales", "region=A")
    assert [value["value"] for value in past] == [0, 1, 22, 3, 4, 5]
    assert await redis.xlen(names.redis_series_key(NAME, "sales", "history", "region=A")) == 6
    assert [value["value"] for value in await reading.history(redis, NAME, "sales", "region=B")] == [7]


async def test_a_moved_partition_is_not_written_again_after_an_outage(crashing_valkey: CrashingValkey) -> None:
    server = crashing_valkey
    await server.start()
    async with RedisSink(NAME, server.address) as sink:
        sink.offer(rows(row("mine")), 0)
        sink.offer(rows(row("moved")), 1)
        assert await sink.drained(10)
        sink.drop(1)
        server.kill()
        await server.start()
        sink.offer(rows(row("mine", progress=2)), 0)
        assert await sink.drained(10)
        async with connect(server.address) as client:
            found = await reading.current(client, NAME, "sales")
    assert [value["dims"]["region"] for value in found] == ["mine"]


async def test_another_programs_key_in_the_way_stops_nothing_else(redis: Redis, address: RedisAddress) -> None:
    await redis.set(names.redis_key(NAME, "sales", "index"), "not ours", ex=100)
    other = rows(row("EU"), kpi=replace(SALES, name="other"))
    sink = await write(address, rows(row("EU")), other)
    assert (sink.counts.written, sink.counts.failed) == (1, 1)
    assert len(await reading.current(redis, NAME, "other")) == 1


async def test_wrong_passwords_and_dead_addresses_are_told_apart(tmp_path: Any) -> None:
    server = CrashingValkey(tmp_path, "--requirepass", "secret")
    try:
        await server.start()
        await write(server.address, rows(row()))
        async with RedisSink(NAME, RedisAddress(server.url, password="wrong")) as sink:
            with pytest.raises(SinkError, match=r"127\.0\.0\.1:\d+ refused the credentials") as refused:
                await sink.check()
        assert not refused.value.retryable
        assert "wrong" not in str(refused.value).replace("wrong number", "")
    finally:
        server.kill()
    async with RedisSink(NAME, server.address) as sink:
        with pytest.raises(SinkError, match="cannot be reached") as dead:
            await sink.check()
    assert dead.value.retryable


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_tls_is_checked_against_the_given_authority(redis: Redis, address: RedisAddress, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def ended_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain = urlsplit(address.url)
        from_server, to_server = await asyncio.open_connection(plain.hostname, plain.port)
        await asyncio.gather(pipe(reader, to_server), pipe(from_server, writer))

    async with await asyncio.start_server(ended_tls, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        secure = RedisAddress(f"rediss://127.0.0.1:{port}/7", ca_file=str(certificate))
        await write(secure, rows(row("EU")))
        assert len(await reading.current(redis, NAME, "sales")) == 1
        async with RedisSink(NAME, RedisAddress(secure.url)) as sink:
            with pytest.raises(SinkError, match="certificate") as refused:
                await sink.check()
        assert not refused.value.retryable
