"""The JSON Schema says what the loader says, as far as a schema can.

Both are made from `engine.catalog.vocabulary`; these tests hold the two readings of it together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine.catalog import vocabulary
from engine.catalog.document import plain, read_document
from engine.catalog.loader import parse
from engine.catalog.model import Kpi, Metric, Source
from engine.catalog.records import Record
from engine.catalog.schema import json_schema

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))
# Not readable as one value per key, so there is nothing to hold a schema against.
TEXT_FAULTS = {path.stem for path in BAD if path.stem.startswith("yaml_")}

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def instance(path: Path) -> object:
    root = read_document(path.read_text()).root
    assert root is not None
    return plain(root)


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json.loads(json.dumps(json_schema())) == json_schema()


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_catalogs_pass(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(instance(path))] == []


@pytest.mark.parametrize("path", [path for path in BAD if path.stem not in TEXT_FAULTS], ids=lambda path: path.stem)
def test_broken_catalogs_fail_exactly_when_their_form_is_broken(path: Path) -> None:
    structural = parse([(path.name, path.read_text())]).structural
    refused = [error.message for error in VALIDATOR.iter_errors(instance(path))]
    assert bool(refused) == bool(structural), (refused, [str(problem) for problem in structural])


def mutations(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed: a key gone, misspelt or added, a value of another kind."""
    if isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
            yield {(f"{name} x" if name == key else name): item for name, item in value.items()}
            for changed in mutations(value[key]):
                yield value | {key: changed}
    elif isinstance(value, list):
        for number, item in enumerate(value):
            for changed in mutations(item):
                yield [*value[:number], changed, *value[number + 1 :]]
        yield []
    yield from (None, "?", 7, {"x": 1}, ["x"])


@pytest.mark.slow
def test_one_change_anywhere_is_judged_alike_by_both() -> None:
    """Of every change in a full catalog: the schema refuses it exactly when the loader finds its form broken."""
    whole = instance(HERE / "good" / "everything.yaml")
    assert isinstance(whole, dict)
    kept = {
        "goals": ["grow"],
        "sources": ["orders"],
        "metrics": ["count", "p99"],
        "kpis": ["by_case", "quarterly", "today", "conversion"],
    }
    whole = whole | {section: {name: whole[section][name] for name in names} for section, names in kept.items()}
    whole["kpis"]["by_case"]["alerts"][3:] = []
    for changed in mutations(whole):
        text = json.dumps(changed)
        loaded = parse([("changed.yaml", text)])
        if isinstance(changed, dict):
            refused = not VALIDATOR.is_valid(changed)
            assert refused == bool(loaded.structural), (text, [str(problem) for problem in loaded.problems])


def properties(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            yield key, value
        for value in schema.values():
            yield from properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from properties(value)


def test_every_key_is_described_for_editors() -> None:
    bare = {key for key, schema in properties(json_schema()) if "const" not in schema and not schema.get("description")}
    assert bare <= {"type"}  # the condition of an if-then


@pytest.mark.parametrize(
    ("record", "model", "elsewhere"),
    [
        (vocabulary.metric, Metric, {"name"}),
        (vocabulary.source, Source, {"name", "dedupe_us", "allowed_lateness_us"}),
        *((record, Kpi, {"name", "calendar"}) for record in vocabulary.kpi.records.values()),
    ],
    ids=lambda value: getattr(value, "what", getattr(value, "__name__", None)),
)
def test_every_attribute_of_the_model_can_be_written(record: Record, model: type, elsewhere: set[str]) -> None:
    attributes = set(model.__dataclass_fields__) - elsewhere
    if model is Kpi:
        attributes -= {"metric", "numerator", "denominator", "expr"} - set(record.keys)
    assert attributes <= set(record.keys)
