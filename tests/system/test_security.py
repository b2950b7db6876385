"""Who is let in by Kafka and Redis, and what is said to who is not: one message, no secret, no stack trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect
from streams.gateway.connection import Away
from streams.gateway.storing import Fate, Store
from streams.security import KafkaSecurity
from tests.streamgauge.conftest import Ended, Run
from tests.streams.reading import read_all
from tests.system.secured import ACL_PASSWORD, ACL_USER, PASSWORD, READER, USER, Secured, secured_services
from tests.system.workers import open_shop
from tests.system.workers import orders as some_orders

SASL = "STREAMGAUGE_KAFKA_SASL_PASSWORD"
REDIS = "STREAMGAUGE_REDIS_PASSWORD"
WRONG = "wrong-horse-5Kd"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_services(tmp_path_factory.mktemp("secured")) as services:
        yield services


@dataclass(frozen=True)
class Way:
    """One way to say who one is. ``options`` may name files of `Secured`."""

    protocol: str
    mechanism: str = ""

    def options(self, secured: Secured) -> list[str]:
        given = ["--brokers", secured.listeners[self.protocol], "--kafka-security-protocol", self.protocol]
        if self.mechanism:
            given += ["--kafka-sasl-mechanism", self.mechanism, "--kafka-sasl-username", USER]
        if self.protocol.endswith("SSL"):
            given += ["--kafka-ssl-ca", str(secured.ca)]
        if self.protocol == "SSL":
            given += ["--kafka-ssl-cert", str(secured.client), "--kafka-ssl-key", str(secured.client)]
        return given

    def __str__(self) -> str:
        return f"{self.protocol} {self.mechanism}".rstrip()


WAYS = [
    Way("SASL_PLAINTEXT", "PLAIN"),
    Way("SASL_PLAINTEXT", "SCRAM-SHA-256"),
    Way("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    Way("SASL_SSL", "SCRAM-SHA-512"),
    Way("SSL"),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_topics_are_made_and_events_sent_by_who_may(
    streamgauge: Run, orders: Path, secured: Secured, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SASL, PASSWORD)
    made = streamgauge("topics", orders, *way.options(secured), "--format", "json")
    assert made.code == 0, made.err
    assert {row["state"] for row in json.loads(made.out)} == {"made"}
    file = tmp_path / "orders.jsonl"
    file.write_text('{"id":"1","at":"2026-01-01T00:00:00Z","region":"EU","amount":1.5}\n')
    sent = streamgauge("send", orders, "orders", file, *way.options(secured))
    assert sent.code == 0 and "sent 1 event" in sent.err, sent.err


@pytest.mark.parametrize("way", [Way("SASL_PLAINTEXT", "SCRAM-SHA-256"), Way("SASL_SSL", "PLAIN"), Way("SSL")], ids=str)
async def test_a_worker_works_over_it_with_a_user_of_its_own_in_redis(
    secured: Secured, way: Way, tmp_path: Path
) -> None:
    secrets = {SASL: PASSWORD, REDIS: ACL_PASSWORD}
    redis = secured.redis.replace("redis://", f"redis://{ACL_USER}@")
    async with open_shop(secured.plain, redis, tmp_path, partitions=2) as shop:
        with shop.worker(*way.options(secured), **secrets) as worker:
            await worker.ready()
            await shop.send(some_orders(200))
            await shop.finish()
            await shop.until_right()
            code, _ = await worker.end()
        assert code == 0
        said = worker.log.read_text()
        address = RedisAddress(redis, password=ACL_PASSWORD)
        async with connect(address) as client:
            assert await reading.current(client, shop.name, "revenue")
    assert PASSWORD not in said and ACL_PASSWORD not in said and "Traceback" not in said


async def test_events_over_http_are_stored_for_who_may(
    secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brokers = secured.listeners["SASL_SSL"]

    def security(password: str) -> KafkaSecurity:
        return KafkaSecurity("SASL_SSL", "SCRAM-SHA-512", USER, password, secured.ca)

    async with open_shop(secured.plain, secured.redis, tmp_path, partitions=2) as shop:
        topic = f"{shop.name}.orders"
        async with Store(brokers, security(PASSWORD)) as store:
            assert await store.store(topic, {0: (b"1", b"{}", ())}) == {0: Fate.STORED}
        async with Store(brokers, security(WRONG)) as store:
            with pytest.raises(Away):
                await store.store(topic, {0: (b"2", b"{}", ())})
        assert [record.key for record in await read_all(secured.plain, topic, 2)] == [b"1"]
    assert "events cannot be taken: Kafka at" in caplog.text and "Authentication failed" in caplog.text
    assert WRONG not in caplog.text


def assert_told(ended: Ended, message: str, *secrets: str) -> None:
    """Exit code 3 and one message that says what is wrong, with no secret and no stack trace in it."""
    assert ended.code == 3, ended.err
    assert ended.out == ""
    assert message in ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert not [secret for secret in secrets if secret in ended.err]


@pytest.mark.parametrize("way", WAYS[:-1], ids=str)
def test_a_wrong_password_is_one_message(
    streamgauge: Run, orders: Path, secured: Secured, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SASL, WRONG)
    ended = streamgauge("topics", orders, *way.options(secured))
    assert_told(ended, f"{secured.listeners[way.protocol]} refuses the user name or password", WRONG)


@pytest.mark.parametrize("name", ["topics", "send", "worker", "dlq list", "dlq replay"])
def test_every_command_says_so_alike(command: Run, orders: Path, secured: Secured, name: str, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text('{"id":"1","at":"2026-01-01T00:00:00Z"}\n')
    more = {
        "send": ["orders", file],
        "worker": ["--redis", secured.redis, "--port", 0, "--data-dir", tmp_path],
        "dlq list": ["orders"],
        "dlq replay": ["orders"],
    }.get(name, [])
    options = Way("SASL_PLAINTEXT", "SCRAM-SHA-256").options(secured)
    ended = command(*name.split(), orders, *more, *options, **{SASL: WRONG, REDIS: PASSWORD})
    assert_told(ended, "refuses the user name or password", WRONG, PASSWORD)


def test_a_certificate_of_another_authority_is_not_trusted(streamgauge: Run, orders: Path, secured: Secured) -> None:
    options = Way("SSL").options(secured)
    options[options.index(str(secured.ca))] = str(secured.other_ca)
    assert_told(streamgauge("topics", orders, *options), "its certificate is not trusted")


def test_a_missing_client_certificate_is_said(streamgauge: Run, orders: Path, secured: Secured) -> None:
    options = Way("SSL").options(secured)[: -len(["--kafka-ssl-cert", "", "--kafka-ssl-key", ""])]
    assert_told(streamgauge("topics", orders, *options), "--kafka-ssl-cert")


@pytest.mark.parametrize(
    ("listener", "options"),
    [
        ("SASL_PLAINTEXT", []),
        ("SSL", []),
        ("SASL_PLAINTEXT", ["--kafka-security-protocol", "SSL"]),
        ("plain", ["--kafka-security-protocol", "SSL"]),
    ],
    ids=["plain to sasl", "plain to tls", "tls to sasl", "tls to plain"],
)
def test_the_wrong_protocol_is_said(
    streamgauge: Run, orders: Path, secured: Secured, listener: str, options: list[str]
) -> None:
    address = secured.plain if listener == "plain" else secured.listeners[listener]
    assert_told(streamgauge("topics", orders, "--brokers", address, *options), "kafka-security-protocol")


@pytest.mark.parametrize("name", ["values", "watch", "worker"])
@pytest.mark.parametrize("password", [WRONG, None], ids=["wrong", "none"])
def test_redis_refuses_a_wrong_password(
    command: Run, orders: Path, secured: Secured, name: str, password: str | None, tmp_path: Path
) -> None:
    arguments: list[object] = {
        "values": [],
        "watch": ["revenue_today"],
        "worker": [orders, "--brokers", secured.plain, "--port", 0, "--data-dir", tmp_path],
    }[name]
    if name == "worker":
        assert command("topics", orders, "--brokers", secured.plain).code == 0
    ended = command(name, *arguments, "--redis", secured.redis, **({REDIS: password} if password else {}))
    assert_told(ended, f"Redis at {secured.redis.removesuffix('/0')} refuse", WRONG, PASSWORD)


def test_a_redis_user_without_the_rights_is_told_what_is_missing(
    command: Run, orders: Path, secured: Secured, tmp_path: Path
) -> None:
    assert command("topics", orders, "--brokers", secured.plain).code == 0
    redis = secured.redis.replace("redis://", f"redis://{READER}@")
    arguments = [orders, "--brokers", secured.plain, "--port", 0, "--data-dir", tmp_path, "--redis", redis]
    assert_told(command("worker", *arguments, **{REDIS: ACL_PASSWORD}), "does not permit", ACL_PASSWORD)
