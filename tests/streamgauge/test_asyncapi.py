"""The AsyncAPI document: valid by AsyncAPI's own schema, and true, in that what it shows is what the engine takes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from engine.catalog.model import Catalog
from sinks import kafka
from sinks.alerting.silence_records import SilenceRecord
from streamgauge.asyncapi import FIRST_LINE, document
from streamgauge.catalog_files import read_catalog
from streams.gateway.bodies import Carried
from streams.gateway.checking import Check
from tests.alert_objects import alert_object
from tests.npm import installed
from tests.sinks.values import row, rows
from tests.streamgauge.conftest import RETAIL, ROOT, Run

GOOD = ROOT / "tests" / "engine" / "catalog" / "good"
CATALOGS = [
    RETAIL,
    RETAIL.with_name("webhooks.yaml"),
    ROOT / "deploy" / "examples" / "debezium" / "orders.yaml",
    *sorted(GOOD.glob("*.yaml")),
]
CLOUDEVENTS = """\
version: 1
name: clicks
sources:
  clicks:
    topic: web.clicks
    format: cloudevents
    dedupe: 48h
    fields:
      page: {type: string, path: page.name}
      weight: decimal(5,5)
      ms: {type: "timestamp?", unit: ms, path: page.seen.at}
      kind: {type: string, path: ce.type}
      tenant: {type: "string?", path: ce.tenant}
  visits:
    topic: web.visits
    format: cloudevents
    event_time: at
    identity: number
    fields:
      at: {type: timestamp, unit: us}
      number: {type: integer, path: ce.number}
"""


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Draft7Validator:
    """By the schema that the AsyncAPI project publishes, with its parts (bindings, JSON Schema) in one file."""
    folder = installed(Path(__file__).parent / "asyncapi", tmp_path_factory.mktemp("asyncapi"))
    schema = json.loads((folder / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text())
    return Draft7Validator(schema)


def catalog_of(path: Path) -> Catalog:
    found = read_catalog(path).catalog
    assert found is not None
    return found


@pytest.fixture
def clicks(tmp_path: Path) -> Catalog:
    path = tmp_path / "clicks.yaml"
    path.write_text(CLOUDEVENTS)
    return catalog_of(path)


def problems(official: Draft7Validator, found: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in official.iter_errors(found)]


@pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.stem)
def test_it_is_valid_by_the_official_schema(path: Path, official: Draft7Validator) -> None:
    assert problems(official, yaml.safe_load(document(catalog_of(path)))) == []


def test_the_official_schema_sees_what_is_wrong(official: Draft7Validator) -> None:
    good = yaml.safe_load(document(catalog_of(RETAIL)))
    for path, wrong in (
        (("asyncapi",), "2.6.0"),
        (("info", "version"), None),
        (("channels", "retail.till-lines", "address"), 7),
        (("channels", "retail.till-lines", "messages", "event", "payload", "type"), "text"),
        (("channels", "retail.till-lines", "bindings", "kafka", "partitions"), "two"),
        (("operations", "send-values", "action"), "publish"),
        (("components", "schemas", "Value", "required"), "all"),
    ):
        broken = copy.deepcopy(good)
        inside = broken
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = wrong
        assert problems(official, broken), path


def test_cloudevents_are_valid_too(official: Draft7Validator, clicks: Catalog) -> None:
    assert problems(official, yaml.safe_load(document(clicks))) == []


@pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.stem)
def test_every_reference_leads_somewhere(path: Path) -> None:
    found = yaml.safe_load(document(catalog_of(path)))
    references = list(_references(found))
    assert references
    for reference in references:
        inside = found
        for name in reference.removeprefix("#/").split("/"):
            assert name in inside, reference
            inside = inside[name]


def _references(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        if "$ref" in found:
            yield found["$ref"]
        for inner in found.values():
            yield from _references(inner)
    elif isinstance(found, list):
        for inner in found:
            yield from _references(inner)


def examples(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any]]]:
    found = yaml.safe_load(document(catalog))
    for source in catalog.sources.values():
        for message in found["channels"][source.topic]["messages"].values():
            yield source.name, message


def check_examples(catalog: Catalog) -> None:
    now_ms = round(datetime.fromisoformat("2026-11-22T22:41:08Z").timestamp() * 1000)
    for name, message in examples(catalog):
        [example] = message["examples"]
        assert list(Draft7Validator(message["payload"]).iter_errors(example["payload"])) == []
        headers = [(header, str(text).encode()) for header, text in example.get("headers", {}).items()]
        carried = Carried([json.dumps(example["payload"]).encode()], headers)
        assert Check(catalog.sources[name]).check(carried, now_ms).faults == {}, (name, example)


@pytest.mark.parametrize("path", CATALOGS, ids=lambda path: path.stem)
def test_the_engine_takes_the_examples(path: Path) -> None:
    check_examples(catalog_of(path))


def test_the_engine_takes_the_examples_of_cloudevents(clicks: Catalog) -> None:
    check_examples(clicks)
    assert len(list(examples(clicks))) == 4, "structured and binary"


def test_the_engine_refuses_what_lacks_a_required_part() -> None:
    catalog = catalog_of(RETAIL.with_name("webhooks.yaml"))
    for name, message in examples(catalog):
        payload = message["examples"][0]["payload"]
        for part in message["payload"]["required"]:
            less = {key: value for key, value in payload.items() if key != part}
            assert list(Draft7Validator(message["payload"]).iter_errors(less))
            check = Check(catalog.sources[name])
            assert check.check(Carried([json.dumps(less).encode()]), 10**14).faults, part


def test_values_are_as_it_says() -> None:
    found = yaml.safe_load(document(catalog_of(RETAIL)))
    schema = {"$ref": "#/components/schemas/Value", "components": found["components"]}
    kpis = schema["components"]["schemas"]["Value"]["properties"]["kpi"].pop("enum")
    assert kpis == list(catalog_of(RETAIL).kpis)
    for _, value in kafka.records([rows(row("A"), row("B", revision=1), row(None))]):
        assert list(Draft7Validator(schema).iter_errors(json.loads(value))) == []
    assert list(Draft7Validator(schema).iter_errors({"kpi": "sales"}))


def test_alerts_and_silences_are_as_it_says() -> None:
    found = yaml.safe_load(document(catalog_of(RETAIL)))
    [alert] = alert_object("SalesLow", "sales_today", dims={"store": "7"}).values()
    [silent] = alert_object("NoSales", "sales_per_hour", value=None, bound=None, window_state=None).values()
    until = datetime.fromisoformat("2026-11-25T12:00:00Z")
    silence = SilenceRecord(id="a", comment="stocktaking", from_=until - timedelta(hours=2), until=until)
    for name, given in (("Alert", alert), ("Alert", silent), ("Silence", silence.encode())):
        schema = {"$ref": f"#/components/schemas/{name}", "components": found["components"]}
        told = json.loads(given)
        assert list(Draft7Validator(schema).iter_errors(told)) == []
        assert set(told) == set(found["components"]["schemas"][name]["required"])  # no more, no less
        assert list(Draft7Validator(schema).iter_errors({**told, "comment": 7, "reason": 7}))
    assert found["operations"]["follow-silences"]["action"] == "receive"
    assert found["channels"]["retail.silences"]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == [
        "compact"
    ]


def test_the_text_is_always_the_same(streamgauge: Run) -> None:
    text = document(catalog_of(RETAIL))
    assert text.startswith(FIRST_LINE)
    for seed in ("1", "2"):
        again = subprocess.run(
            [sys.executable, "-m", "streamgauge", "generate", "asyncapi", str(RETAIL)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert again.stdout == text


def test_the_command_writes_and_checks(streamgauge: Run, tmp_path: Path) -> None:
    out = tmp_path / "docs" / "asyncapi.yaml"
    assert streamgauge("generate", "asyncapi", RETAIL, "--out", out, "--check").code == 1
    assert streamgauge("generate", "asyncapi", RETAIL, "--out", out).code == 0
    assert streamgauge("generate", "asyncapi", RETAIL, "--out", out, "--check").code == 0
    out.write_text(out.read_text().replace("retail", "whole"))
    assert streamgauge("generate", "asyncapi", RETAIL, "--out", out, "--check").code == 1
    assert streamgauge("generate", "asyncapi", RETAIL, "--check").code == 2
