"""The way in for events and silences is what the OpenAPI document says: examined by schemathesis, with a fixed seed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from sinks.board.limits import Limits
from sinks.names import EVENTS_PATH, SILENCE_PATH, SILENCES_PATH
from tests.system.test_gateway import open_shop

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def api(kafka: str, valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Of a server in a thread with a loop of its own."""
    urls: list[str] = []
    started, ending = threading.Event(), threading.Event()
    unlimited = Limits(requests="1000000/second", events="1000000/second")

    async def serve() -> None:
        async with open_shop(tmp_path_factory.mktemp("openapi"), kafka, valkey, limits=unlimited) as shop:
            urls.append(shop.served.url)
            started.set()
            await asyncio.to_thread(ending.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(60)
        project = ProjectConfig(generation=GenerationConfig(deterministic=True, database="none"))
        config = SchemathesisConfig(projects=ProjectsConfig(default=project))
        found = schemathesis.openapi.from_url(f"{urls[0]}/openapi.json", config=config)

        @found.hook
        def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
            """Most names that are made up are of no source; every second one becomes that of one."""
            if path_parameters and len(str(path_parameters.get("source", ""))) % 2:
                return {**path_parameters, "source": "visits"}
            return path_parameters

        yield found
    finally:
        ending.set()
        thread.join()


OPERATIONS = [(EVENTS_PATH, "post"), (SILENCES_PATH, "post"), (SILENCE_PATH, "delete")]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_it_answers_as_the_document_says(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    @settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        # Which fields an event has, and which KPIs and silences there are, the document cannot say.
        case.call_and_validate(excluded_checks=[positive_data_acceptance, negative_data_rejection], timeout=20)

    call()
