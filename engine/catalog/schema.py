"""The catalog as JSON Schema 2020-12, so that editors complete and check it.

A catalog's first line names the file that `streamgauge generate schema` writes:
``# yaml-language-server: $schema=streamgauge.schema.json``
"""

from __future__ import annotations

from typing import Any

from engine.catalog import vocabulary

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of one catalog file. What needs more than one place of it (is there such a field?) the loader says."""
    return {"$schema": DIALECT, "title": "Streamgauge catalog, version 1"} | vocabulary.catalog.schema()
