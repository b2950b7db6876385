"""`streamgauge generate schema`: what editors complete and check catalogs with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import usage
from streamgauge.cli.generate.files import Check, write_or_check
from streamgauge.cli.options import option
from streamgauge.cli.output import result

SCHEMA_FILE = "catalog.schema.json"

OutDirectory = Annotated[Path | None, option("out", "The folder to write to; default: print it.", metavar="DIR")]


def add_to(app: typer.Typer) -> None:
    app.command("schema", epilog="Example: streamgauge generate schema --out .vscode")(schema)


def schema(out: OutDirectory = None, check: Check = False) -> None:
    """The JSON Schema of catalogs, so that editors complete and check them.

    Put this line on top of a catalog: # yaml-language-server: $schema=catalog.schema.json
    """
    from engine.catalog.schema import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        if check:
            raise usage("--check needs --out DIR: the folder whose file is checked")
        result(text.rstrip("\n"))
        return
    write_or_check({out / SCHEMA_FILE: text}, check=check)
