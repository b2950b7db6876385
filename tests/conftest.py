"""What every test may ask for: a real Kafka and a real Valkey, started once a session and only when asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamgauge.services import embedded_services


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real Apache Kafka; topics are not created by themselves."""
    with embedded_services(tmp_path_factory.mktemp("kafka"), kafka_port=0, redis_port=None) as services:
        assert services.kafka is not None
        yield services.kafka


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Valkey, shared by all tests: use key names of your own."""
    with embedded_services(tmp_path_factory.mktemp("valkey"), kafka_port=None, redis_port=0) as services:
        assert services.redis is not None
        yield services.redis
