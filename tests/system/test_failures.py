"""What goes wrong around the command line: one message that says what to do, the right exit code, no stack trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streamgauge.catalog_files import read_catalog
from streams.producing import BulkWriter, WriteFailed
from tests.streamgauge.conftest import Ended, Run
from tests.system.workers import open_shop
from tests.system.workers import orders as some_orders

BOUND_SECONDS = 20.0  # within which everybody is told that a service cannot be reached
KAFKA_COMMANDS = ["topics", "send", "worker", "dlq list", "dlq replay"]


def arguments(name: str, catalog: Path, folder: Path) -> list[object]:
    """A command with all that it needs except the brokers."""
    file = folder / "orders.jsonl"
    file.write_text('{"id":"1","at":"2026-01-01T00:00:00Z","region":"EU","amount":1.5}\n')
    more: dict[str, list[object]] = {
        "send": ["orders", file],
        "worker": ["--port", 0, "--data-dir", folder / "data"],
        "dlq list": ["orders"],
        "dlq replay": ["orders"],
    }
    return [*name.split(), catalog, *more.get(name, [])]


def assert_told(ended: Ended, code: int, *parts: str) -> None:
    """One line that says it."""
    assert ended.code == code, ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert not [part for part in parts if part not in ended.err], ended.err


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("name", KAFKA_COMMANDS)
def test_nobody_listens_where_kafka_should(
    streamgauge: Run, orders: Path, closed: str, name: str, tmp_path: Path
) -> None:
    ended = streamgauge(*arguments(name, orders, tmp_path), "--brokers", closed)
    assert_told(ended, 3, f"Kafka cannot be reached at {closed}: connection refused", "--brokers")


def test_a_broker_that_never_answers_is_given_up(command: Run, orders: Path, silent: str) -> None:
    began = time.monotonic()
    assert_told(command("topics", orders, "--brokers", silent), 3, f"{silent}: no answer within 10 s")
    assert time.monotonic() - began < BOUND_SECONDS


def test_the_second_of_two_brokers_is_enough(command: Run, orders: Path, closed: str, kafka: str) -> None:
    assert command("topics", orders, "--brokers", f"{closed},{kafka}").code == 0


def test_an_unknown_host_is_said(streamgauge: Run, orders: Path) -> None:
    ended = streamgauge("topics", orders, "--brokers", "kafka.invalid:9092")
    assert_told(ended, 3, "Kafka cannot be reached at kafka.invalid:9092")


def test_a_password_for_a_listener_that_asks_for_none(command: Run, orders: Path, kafka: str) -> None:
    options = ["--kafka-security-protocol", "SASL_PLAINTEXT", "--kafka-sasl-username", "kpi"]
    ended = command("topics", orders, "--brokers", kafka, *options, STREAMGAUGE_KAFKA_SASL_PASSWORD="s3cret")
    assert_told(ended, 3, f"Kafka at {kafka} asks nobody for a password", "--kafka-security-protocol")
    assert "s3cret" not in ended.err


@pytest.mark.parametrize("name", ["values", "watch"])
def test_redis_is_not_there(command: Run, closed: str, silent: str, name: str) -> None:
    kpi = ["revenue_today"] if name == "watch" else []
    for address in (closed, silent):
        began = time.monotonic()
        ended = command(name, *kpi, "--redis", f"redis://{address}")
        assert_told(ended, 3, f"Redis cannot be reached at redis://{address}", "--redis")
        assert time.monotonic() - began < BOUND_SECONDS


def test_topics_whose_partition_counts_do_not_belong_together(
    command: Run, orders: Path, kafka: str, tmp_path: Path
) -> None:
    loaded = read_catalog(orders).catalog
    assert loaded is not None
    topic = loaded.sources["orders"].topic

    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 3, 1), NewTopic(f"{topic}.dlq", 2, 1)])
        await admin.close()

    asyncio.run(make())
    made = command("topics", orders, "--brokers", kafka)
    assert made.code == 1
    assert f"not as the catalog needs them: {topic}.dlq" in made.err
    assert "has 2 partitions instead of 3" in made.out
    ended = command(*arguments("worker", orders, tmp_path), "--brokers", kafka)
    assert_told(ended, 1, f"{topic}.dlq has 2 partitions instead of 3")


@pytest.mark.parametrize("name", KAFKA_COMMANDS)
def test_a_wrong_catalog_is_named_before_anything_is_reached(
    streamgauge: Run, orders: Path, closed: str, name: str, tmp_path: Path
) -> None:
    orders.write_text(orders.read_text().replace("expr: amount", "expr: amout").replace("step: 1h", "stp: 1h"))
    ended = streamgauge(*arguments(name, orders, tmp_path), "--brokers", closed)
    assert ended.code == 1
    assert "amout" in ended.err and "stp" in ended.err
    assert ended.err.splitlines()[-1] == f"{orders}: 2 problems"
    orders.unlink()
    assert_told(streamgauge(*arguments(name, orders, tmp_path), "--brokers", closed), 2, "orders.yaml does not exist")


def test_a_data_directory_that_cannot_be_made(command: Run, orders: Path, kafka: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ended = command("worker", orders, "--brokers", kafka, "--data-dir", file / "data")
    assert_told(ended, 2, f"--data-dir {file / 'data'}: Not a directory")
    assert_told(command("services", "--data-dir", file / "data"), 3, str(file), "Not a directory")
    assert_told(command("demo", "--data-dir", file / "data"), 2, f"--data-dir {file / 'data'}: Not a directory")


def test_a_taken_port_is_said(command: Run, orders: Path, kafka: str, silent: str, tmp_path: Path) -> None:
    assert command("topics", orders, "--brokers", kafka).code == 0
    port = silent.rpartition(":")[2]
    ended = command("worker", orders, "--brokers", kafka, "--port", port, "--data-dir", tmp_path)
    assert_told(ended, 1, f"port {port} on 127.0.0.1 cannot be used")


@pytest.mark.parametrize("gone", [False, True], ids=["other text", "no file"])
async def test_a_catalog_that_changes_under_a_running_worker(
    kafka: str, valkey: str, tmp_path: Path, gone: bool
) -> None:
    async with open_shop(kafka, valkey, tmp_path, partitions=2) as shop:
        with shop.worker() as worker:
            await worker.ready()
            if gone:
                shop.catalog.unlink()
            else:
                shop.catalog.write_text(shop.catalog.read_text() + "# changed\n")
            told = "the catalog's files have changed; this worker keeps the one it began with"
            await shop.until(lambda: told in worker.log.read_text())
            await shop.send(some_orders(500))
            await shop.finish()
            await shop.until_right()
            assert worker.log.read_text().count(told) == 1
            assert (await worker.end())[0] == 0


def small_files() -> None:
    """In a child: no file may grow beyond this, as if the disk were full (Kafka's index files have 10 MiB)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (11 * 1024 * 1024, 11 * 1024 * 1024))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


async def test_a_full_disk_ends_kafka_and_its_users_with_one_message_each(tmp_path: Path) -> None:
    services = subprocess.Popen(
        [sys.executable, "-m", "streamgauge", "services", "--data-dir", tmp_path / "services", "--format", "json"]
        + ["--kafka-port", "0", "--redis-port", "0"],
        stdout=subprocess.PIPE, stderr=(tmp_path / "services.log").open("wb"), preexec_fn=small_files,  # noqa: PLW1509
    )  # fmt: skip
    try:
        assert services.stdout is not None
        addresses = json.loads(await asyncio.to_thread(services.stdout.readline))
        async with contextlib.AsyncExitStack() as stack:
            shop = await stack.enter_async_context(
                open_shop(addresses["brokers"], addresses["redis"], tmp_path, partitions=2)
            )
            worker = stack.enter_context(shop.worker())
            await worker.ready()
            with contextlib.suppress(WriteFailed):
                async with BulkWriter(addresses["brokers"], timeout=5) as writer:
                    for _ in range(16):
                        await writer.write({(f"{shop.name}.orders.dlq", 0): [(None, os.urandom(950_000))]})
            assert await asyncio.to_thread(services.wait, 60) == 3
            assert await worker.ended(60) == 3
        told = (tmp_path / "services.log").read_text().splitlines()
        assert "kafka ended with status" in told[-1]
        last = worker.log.read_text().splitlines()[-1]
        assert "Kafka" in last
        assert "Traceback" not in worker.log.read_text()
    finally:
        services.terminate()
        await asyncio.to_thread(services.wait, 30)
