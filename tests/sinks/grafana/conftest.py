"""Catalogs and the dashboards made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from sinks.grafana.generating import dashboards

EVERY_KIND = Path(__file__).parent / "every_kind.yaml"
CATALOGS = Path(__file__).parents[3] / "deploy" / "catalogs"
RETAIL = CATALOGS / "retail.yaml"
BUSINESS = CATALOGS / "business.yaml"
Json = dict[str, Any]


def catalog(path: Path) -> Catalog:
    found = parse([(path.name, path.read_text())])
    assert found.catalog is not None, found.problems
    return found.catalog


def panels_of(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets_of(dashboard: Json) -> Iterator[tuple[Json, Json]]:
    """(panel, query) of each query."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", ()):
            yield panel, target


@pytest.fixture(scope="session", params=[EVERY_KIND, RETAIL, BUSINESS], ids=["every kind", "retail", "business"])
def made(request: pytest.FixtureRequest) -> tuple[Catalog, dict[str, Json]]:
    """A catalog, and its dashboards by uid."""
    found = catalog(request.param)
    texts = dashboards(found, "https://board.example.org/")
    return found, {json.loads(text)["uid"]: json.loads(text) for text in texts.values()}
