"""Events over HTTP into a real Kafka: `serve` as people run it, except that it runs within the test."""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.partitioner import murmur2
from aiokafka.structs import ConsumerRecord

from engine.admission import Admission, Batch, DecisionState
from engine.catalog.model import Catalog
from sinks.board.access import Access
from sinks.board.limits import Limits
from sinks.board.tokens import make_token
from sinks.redis.connection import RedisAddress
from streamgauge.catalog_files import read_catalog
from streamgauge.services import embedded_services, free_port
from streams.gateway import gateway
from streams.topics import ensure_topics
from tests.sinks.board.conftest import Served, server, told
from tests.streams.reading import read_all

pytestmark = pytest.mark.system
PARTITIONS = 3
CATALOG = """\
version: 1
name: {name}
sources:
  orders:
    topic: {name}.orders
    event_time: at
    identity: id
    dedupe: 48h
    fields: {{id: string, at: timestamp, amount: "decimal(10,2)"}}
  visits:
    topic: {name}.visits
    event_time: at
    fields: {{at: timestamp, page: string}}
  clicks:
    topic: {name}.clicks
    format: cloudevents
    dedupe: 48h
    fields: {{page: string}}
metrics:
  revenue: {{source: orders, agg: sum, expr: amount}}
kpis:
  revenue: {{metric: revenue, window: {{type: tumble, size: 1m}}}}
"""
AT = "2026-01-05T10:00:00Z"


def order(number: int, **changed: Any) -> dict[str, Any]:
    return {"id": f"o{number}", "at": AT, "amount": 9.5} | changed


@dataclass
class Shop:
    """A catalog with its topics, served."""

    catalog: Catalog
    path: Path
    kafka: str
    served: Served

    async def post(self, source: str, **given: Any) -> httpx.Response:
        return await self.served.client.post(f"/api/v1/events/{source}", **given)

    async def records(self, source: str) -> list[ConsumerRecord]:
        return await read_all(self.kafka, self.catalog.sources[source].topic, PARTITIONS)

    async def ids(self) -> list[str]:
        """Of the orders that are stored."""
        return sorted(json.loads(record.value)["id"] for record in await self.records("orders"))

    async def counted(self) -> dict[str, float]:
        lines = (await self.served.get("/metrics")).text.splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name.startswith("streamgauge_gateway_events_total")
        }


def written(folder: Path) -> tuple[Path, Catalog]:
    path = folder / "shop.yaml"
    path.write_text(CATALOG.format(name=f"g{uuid.uuid4().hex[:10]}"))
    found = read_catalog(path).catalog
    assert found is not None
    return path, found


@asynccontextmanager
async def open_shop(
    folder: Path, kafka: str, redis: str, *, topics: bool = True, **changed: Any
) -> AsyncIterator[Shop]:
    path, catalog = written(folder)
    if topics:
        await ensure_topics(catalog, kafka, partitions=PARTITIONS, replication=1)
    timeout = changed.pop("timeout", 10)
    part = partial(gateway, brokers=kafka, timeout=timeout)
    async with server(RedisAddress(redis), told=told(path), parts=[part], **changed) as served:
        yield Shop(catalog, path, kafka, served)


@pytest.fixture
async def shop(kafka: str, valkey: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, kafka, valkey) as found:
        yield found


def verdicts(catalog: Catalog, source: str, records: list[ConsumerRecord]) -> Counter[str]:
    """What the engine says of the records of a topic."""
    found: Counter[str] = Counter()
    declared = catalog.sources[source]
    for partition in range(PARTITIONS):
        part = [record for record in records if record.partition == partition]
        if not part:
            continue
        batch = Batch(
            partition,
            [record.value for record in part],
            _numbers(record.offset for record in part),
            _numbers(record.timestamp for record in part),
            part[-1].offset + 1,
            lambda index, part=part: part[index].headers,
        )
        admitted = Admission(declared, partition, DecisionState(declared)).admit(batch)
        found += Counter(accepted=admitted.accepted, duplicate=admitted.duplicate)
        found += Counter(reject.reason for reject in admitted.rejects)
    return found


def _numbers(values: Any) -> Any:
    import numpy as np

    return np.fromiter(values, np.int64)


async def test_one_event_is_stored_as_it_was_sent(shop: Shop) -> None:
    body = b' {"id": "o1", "at": "2026-01-05T10:00:00Z", "amount": 9.50, "more": [1, {"x": "\\u00e9"}]}\n'
    answered = await shop.post("orders", content=body, headers={"Content-Type": "application/json"})
    assert answered.status_code == 202
    assert answered.json() == {
        "source": "orders", "events": 1, "stored": 1, "refused": 0, "failed": 0,
        "results": [{"index": 0, "status": 202}],
    }  # fmt: skip
    [record] = await shop.records("orders")
    assert (record.key, record.value, record.headers) == (b"o1", body, ())
    assert record.partition == (murmur2(b"o1") & 0x7FFFFFFF) % PARTITIONS


async def test_what_was_sent_again_is_a_duplicate_to_the_engine(shop: Shop) -> None:
    events = [order(number) for number in range(50)]
    for _ in range(2):
        assert (await shop.post("orders", json=events)).status_code == 202
    for event in events:
        assert (await shop.post("orders", json=event)).status_code == 202
    records = await shop.records("orders")
    assert {record.partition for record in records} == set(range(PARTITIONS))
    assert verdicts(shop.catalog, "orders", records) == {"accepted": 50, "duplicate": 100}


async def test_many_in_each_form(shop: Shop) -> None:
    texts = [json.dumps(order(number)).encode() for number in range(6)]
    array, lines = b"[" + b",".join(texts[:2]) + b"]", b"\n".join(texts[2:4]) + b"\n"
    packed = gzip.compress(b"\n".join(texts[4:]))
    for body, headers in (
        (array, {"Content-Type": "application/json"}),
        (lines, {"Content-Type": "application/x-ndjson"}),
        (packed, {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}),
    ):
        answered = await shop.post("orders", content=body, headers=headers)
        assert (answered.status_code, answered.json()["stored"]) == (202, 2), answered.text
    assert sorted(record.value for record in await shop.records("orders")) == texts


async def test_cloudevents_in_all_three_ways_are_events_to_the_engine(shop: Shop) -> None:
    attributes = {"specversion": "1.0", "source": "/web", "type": "click", "time": AT}
    structured = attributes | {"id": "c1", "data": {"page": "home"}}
    batched = [attributes | {"id": f"c{number}", "data": {"page": "home"}} for number in (2, 3)]
    binary = {f"ce-{name}": value for name, value in attributes.items()} | {"ce-id": "caf%C3%A9"}
    for given in (
        {"json": structured, "headers": {"Content-Type": "application/cloudevents+json"}},
        {"json": batched, "headers": {"Content-Type": "application/cloudevents-batch+json"}},
        {"json": {"page": "home"}, "headers": binary},
        {"json": {"page": "home"}, "headers": binary},
        {"json": structured},
    ):
        assert (await shop.post("clicks", **given)).status_code == 202
    records = await shop.records("clicks")
    assert verdicts(shop.catalog, "clicks", records) == {"accepted": 4, "duplicate": 2}
    [first, second] = [record for record in records if record.key == "4:/webcafé".encode()]
    assert first.value == b'{"page":"home"}' and first.partition == second.partition
    assert dict(first.headers)["ce_id"] == "café".encode()
    assert dict(first.headers)["content-type"] == b"application/json"


async def test_events_without_an_identity_are_spread_over_the_partitions(shop: Shop) -> None:
    for _ in range(PARTITIONS):
        assert (await shop.post("visits", json={"at": AT, "page": "home"})).status_code == 202
    records = await shop.records("visits")
    assert sorted(record.partition for record in records) == list(range(PARTITIONS))
    assert {record.key for record in records} == {None}


async def test_of_a_batch_the_good_ones_are_stored_and_each_other_is_told(shop: Shop) -> None:
    events = [order(0), order(1, amount="1.999"), order(2), {"id": "o3", "at": AT}, 7]
    answered = await shop.post("orders", json=events)
    assert answered.status_code == 207
    told_ = answered.json()
    assert (told_["stored"], told_["refused"], told_["failed"]) == (2, 3, 0)
    assert [(one["index"], one["status"], one.get("reason"), one.get("field")) for one in told_["results"]] == [
        (0, 202, None, None),
        (1, 422, "out_of_range", "amount"),
        (2, 202, None, None),
        (3, 422, "missing_field", "amount"),
        (4, 422, "wrong_type", None),
    ]
    assert "send amount as a number" in told_["results"][3]["detail"]
    assert await shop.ids() == ["o0", "o2"]
    # What is refused here is what the engine would have refused, for the same reason.
    assert (await shop.counted())['streamgauge_gateway_events_total{outcome="accepted",reason="",source="orders"}'] == 2


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        ({"json": order(1, amount=1.999)}, 422, "out_of_range"),
        ({"json": order(1, at="2999-01-01T00:00:00Z")}, 422, "future"),
        ({"json": [order(1, amount=[]), order(2, id=None)]}, 422, "wrong_type"),
        ({"content": b"{broken", "headers": {"Content-Type": "application/json"}}, 422, "malformed"),
        ({"content": b"[{},", "headers": {"Content-Type": "application/json"}}, 422, "malformed"),
        ({"json": []}, 422, "malformed"),
        ({"json": order(1, more="x" * 2**20)}, 413, "too_large"),
        ({"json": [order(0)] * 10_001}, 413, "too_large"),
        ({"data": order(1)}, 415, "unsupported_encoding"),
        ({"json": order(1), "headers": {"Content-Encoding": "br"}}, 415, "unsupported_encoding"),
        (
            {
                "content": gzip.compress(b" " * (8 * 2**20 + 1)),
                "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
            },
            413,
            "too_large",
        ),
        (
            {
                "content": b"id,at\n",
                "headers": {
                    "Content-Type": "text/csv", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "t",
                },
            },
            415,
            "unsupported_encoding",
        ),
    ],
)  # fmt: skip
async def test_refusals_are_problems_and_nothing_is_stored(
    shop: Shop, given: dict[str, Any], status: int, reason: str
) -> None:
    answered = await shop.post("orders", **given)
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    problem = answered.json()
    assert problem["status"] == status and problem["detail"]
    assert reason in (problem.get("reason"), *(one["reason"] for one in problem.get("results", [])))
    assert await shop.ids() == []
    counted = await shop.counted()
    assert all('outcome="refused"' in name and 'source="orders"' in name for name in counted)
    assert sum(counted.values()) == len(problem.get("results", [None]))


async def test_a_source_that_is_not_there_is_told_with_those_that_are(shop: Shop) -> None:
    answered = await shop.post("order", json=order(1))
    assert answered.status_code == 404
    assert answered.json()["detail"] == "there is no source 'order'; the catalog has orders, visits, clicks"


async def test_a_body_beyond_the_bound_is_refused_before_it_is_sent(shop: Shop) -> None:
    address = httpx.URL(shop.served.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"POST /api/v1/events/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n[" % (8 * 2**20 + 1)
    )
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_the_document_describes_it(shop: Shop) -> None:
    document = await shop.served.json("/openapi.json")
    operation = document["paths"]["/api/v1/events/{source}"]["post"]
    assert {"202", "207", "401", "403", "404", "408", "413", "415", "422", "429", "503"} <= set(operation["responses"])
    assert "application/x-ndjson" in operation["requestBody"]["content"]


async def test_sending_takes_the_right_to_send_to_this_source(kafka: str, valkey: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    orders, reader = (
        make_token(tokens, name, [right], date(2026, 1, 5))
        for name, right in (("shop", "send:orders"), ("board", "read"))
    )
    async with open_shop(tmp_path, kafka, valkey, access=Access(tokens)) as shop:

        async def status(source: str, token: str | None) -> int:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return (await shop.post(source, json=order(1), headers=headers)).status_code

        assert await status("orders", orders) == 202
        assert await status("orders", None) == 401
        assert await status("orders", "made-up") == 401
        assert await status("orders", reader) == 403
        assert await status("visits", orders) == 403
        assert await status("nowhere", orders) == 403, "who may not send learns nothing about sources"
    assert await shop.ids() == ["o1"]


async def test_who_sends_too_many_events_is_told_when_to_come_again(kafka: str, valkey: str, tmp_path: Path) -> None:
    async with open_shop(tmp_path, kafka, valkey, limits=Limits(events="100/hour")) as shop:
        assert (await shop.post("orders", json=[order(number) for number in range(101)])).status_code == 413
        assert (await shop.post("orders", json=[order(number) for number in range(60)])).status_code == 202
        refused = await shop.post("orders", json=[order(number) for number in range(60, 120)])
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert len(await shop.ids()) == 60


async def test_many_small_requests_at_once_are_all_stored(shop: Shop) -> None:
    async def send(number: int) -> int:
        return (await shop.post("orders", json=order(number))).status_code

    statuses: Counter[int] = Counter()
    for first in range(0, 300, 100):
        statuses.update(await asyncio.gather(*(send(number) for number in range(first, first + 100))))
    stored = statuses[202]
    assert set(statuses) <= {202, 429} and stored >= 100
    assert len(await shop.ids()) == stored


async def test_a_topic_that_is_not_there_is_not_made(kafka: str, valkey: str, tmp_path: Path) -> None:
    async with open_shop(tmp_path, kafka, valkey, topics=False) as shop:
        answered = await shop.post("orders", json=order(1))
        assert answered.status_code == 503
        assert "Retry-After" in answered.headers
        await ensure_topics(shop.catalog, kafka, partitions=PARTITIONS, replication=1)
        async with asyncio.timeout(20):
            while (await shop.post("orders", json=order(1))).status_code != 202:
                await asyncio.sleep(0.1)
    assert await shop.ids() == ["o1"]


@pytest.mark.slow
async def test_kafka_goes_away_and_comes_back(valkey: str, tmp_path: Path) -> None:
    """Each event that was said to be stored is, and nothing hangs: neither the sender nor the board."""
    port = free_port(19_192)  # not one that clients get for themselves, which could connect to themselves
    kafka = f"127.0.0.1:{port}"
    folder = tmp_path / "kafka"

    async def status(shop: Shop, number: int) -> int:
        answered = await shop.post("orders", json=order(number))
        assert answered.status_code in (202, 503), answered.text
        if answered.status_code == 503:
            assert int(answered.headers["Retry-After"]) > 0
            assert answered.headers["content-type"] == "application/problem+json"
        return answered.status_code

    async def until(shop: Shop, wanted: int, first: int) -> list[int]:
        """Sends until that is the answer; the numbers that were stored."""
        stored = []
        async with asyncio.timeout(60):
            for number in range(first, first + 10_000):
                found = await status(shop, number)
                if found == 202:
                    stored.append(number)
                if found == wanted:
                    return stored
        raise AssertionError("unreachable")

    with embedded_services(folder, kafka_port=port, redis_port=None) as services:
        assert services.kafka == kafka
        path, catalog = written(tmp_path)
        await ensure_topics(catalog, kafka, partitions=PARTITIONS, replication=1)
    part = partial(gateway, brokers=kafka, timeout=1)
    async with server(RedisAddress(valkey), told=told(path), parts=[part]) as served:
        shop = Shop(catalog, path, kafka, served)
        assert await status(shop, 0) == 503, "Kafka was away from the start"
        assert (await served.get("/api/v1/kpis")).status_code == 200
        with embedded_services(folder, kafka_port=port, redis_port=None):
            stored = await until(shop, 202, 1_000)
            stored += await until(shop, 202, 2_000)
        assert await until(shop, 503, 3_000) == []
        while await status(shop, 4_000) != 503 or await status(shop, 4_001) != 503:
            pass
        with embedded_services(folder, kafka_port=port, redis_port=None):
            stored += await until(shop, 202, 5_000)
            for number in range(6_000, 6_020):
                if await status(shop, number) == 202:
                    stored.append(number)
            assert len(stored) >= 20
            found = set(await shop.ids())
            assert {f"o{number}" for number in stored} <= found
