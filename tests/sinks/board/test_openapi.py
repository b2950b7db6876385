"""The API is what its OpenAPI document says: examined by schemathesis against a running server, with a fixed seed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sinks import names
from sinks.alerting.silence_records import SilenceRecord
from sinks.board.access import Access
from sinks.board.limits import Limits
from sinks.board.tokens import make_token
from sinks.redis.connection import RedisAddress, connect
from sinks.redis.sink import RedisSink
from streamgauge.services import embedded_services
from tests.alert_objects import alert_object
from tests.sinks.board.conftest import NAME, facts, server, write
from tests.sinks.values import row, rows

OPERATIONS = [
    (names.CATALOG_PATH, "get"),
    (names.KPIS_PATH, "get"),
    (names.KPI_PATH, "get"),
    (names.VALUES_PATH, "get"),
    (names.TOP_PATH, "get"),
    (names.HISTORY_PATH, "get"),
    (names.ALERTS_PATH, "get"),
    (names.SILENCES_PATH, "get"),
    (names.FINDINGS_PATH, "get"),
    (names.SESSION_PATH, "get"),
    (names.SESSION_PATH, "post"),
    (names.SESSION_PATH, "delete"),
    (names.LIVE_PATH, "get"),
    (names.READY_PATH, "get"),
    (names.METRICS_PATH, "get"),
]
PARAMETRIZED = [
    (names.KPIS_PATH, "get"),
    (names.VALUES_PATH, "get"),
    (names.TOP_PATH, "get"),
    (names.HISTORY_PATH, "get"),
    (names.ALERTS_PATH, "get"),
    (names.SESSION_PATH, "post"),
]


async def shown_alerts(address: RedisAddress) -> None:
    """An alert and a silence, as delivery shows them."""
    alert = alert_object("SalesLow", "sales", dims={"region": "EU"}, muted_by=None, silenced_by="a")
    until = datetime.now(UTC) + timedelta(days=1)
    silence = SilenceRecord(id="a", comment="stocktaking", until=until, from_=until - timedelta(days=2))
    async with connect(address) as redis:
        await redis.hset(names.redis_alerts(NAME), mapping=dict(alert))
        await redis.hset(names.redis_silences(NAME), "a", silence.encode())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a server with values, in a thread with a loop of its own; and a token that may read."""
    folder = tmp_path_factory.mktemp("openapi")
    tokens = folder / "tokens.json"
    token = make_token(tokens, "reader", ["read"], date(2026, 11, 25))
    urls: list[str] = []
    started, ending = threading.Event(), threading.Event()

    async def serve(address: RedisAddress) -> None:
        async with RedisSink(NAME, address) as sink:
            for hour in range(3):
                await write(sink, rows(row("EU", hour=hour, revision=1), kpi=facts("sales")))
            await write(sink, rows(row("EU", hour=3), row("US", hour=3), row(None, hour=3), kpi=facts("sales")))
        await shown_alerts(address)
        unlimited = Limits(requests="1000000/second", logins="1000000/second")
        async with server(address, access=Access(tokens), limits=unlimited) as served:
            urls.append(served.url)
            started.set()
            await asyncio.to_thread(ending.wait)

    with embedded_services(folder / "services", kafka_port=None, redis_port=0) as services:
        assert services.redis is not None
        thread = threading.Thread(target=asyncio.run, args=(serve(RedisAddress(services.redis)),))
        thread.start()
        try:
            assert started.wait(60)
            yield urls[0], token
        finally:
            ending.set()
            thread.join()


@pytest.fixture(scope="module")
def api(running: tuple[str, str]) -> Any:
    url, token = running
    generation = GenerationConfig(deterministic=True, database="none")
    project = ProjectConfig(generation=generation, headers={"Authorization": f"Bearer {token}"})
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    found = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)

    @found.hook
    def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        """Most names that are made up are of no KPI; every second one becomes that of one."""
        if path_parameters and "kpi" in path_parameters and len(str(path_parameters["kpi"])) % 2:
            return {**path_parameters, "kpi": "sales"}
        return path_parameters

    return found


def test_the_document_is_valid_openapi_and_has_every_route(api: Any) -> None:
    api.validate()
    document = api.raw_schema
    assert document["openapi"].startswith("3.1.")
    operations = [(path, method) for path, found in document["paths"].items() for method in found]
    assert sorted(operations) == sorted([*OPERATIONS, (names.STREAM_PATH, "get")])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            guarded = path not in (names.LIVE_PATH, names.READY_PATH, names.SESSION_PATH)
            assert ("security" in operation) == guarded, (method, path)
            problems = [text for status, text in operation["responses"].items() if status >= "400"]
            assert all("application/problem+json" in problem["content"] for problem in problems), (method, path)


def examine(operation: Any, mode: GenerationMode, excluded: Sequence[Any] = ()) -> None:
    @settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        case.call_and_validate(excluded_checks=list(excluded), timeout=20)

    call()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_the_document_permits_is_answered_as_it_says(api: Any, path: str, method: str) -> None:
    # Which KPIs there are, and which dimensions they have, the document cannot say.
    told_by_catalog = (names.VALUES_PATH, names.HISTORY_PATH, names.ALERTS_PATH)
    excluded = [positive_data_acceptance] if path in told_by_catalog else []
    examine(api[path][method], GenerationMode.POSITIVE, excluded)


@pytest.mark.parametrize(("path", "method"), PARAMETRIZED)
def test_what_the_document_does_not_permit_is_refused(api: Any, path: str, method: str) -> None:
    examine(api[path][method], GenerationMode.NEGATIVE)


def test_a_stream_is_what_its_document_says(running: tuple[str, str]) -> None:
    url, token = running
    headers = {"Authorization": f"Bearer {token}"}
    with requests.get(f"{url}{names.STREAM_PATH}", headers=headers, stream=True, timeout=20) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert next(answer.iter_lines()).startswith(b"retry: ")
