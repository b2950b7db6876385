"""`streamgauge generate asyncapi`: what the catalog's topics carry, for those who send to and read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import usage
from streamgauge.cli.generate.files import Check, write_or_check
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import CatalogPath, option
from streamgauge.cli.output import result


def add_to(app: typer.Typer) -> None:
    app.command("asyncapi", epilog="Example: streamgauge generate asyncapi retail.yaml --out asyncapi.yaml")(asyncapi)


def asyncapi(
    catalog: CatalogPath,
    out: Annotated[Path | None, option("out", "The file to write; default: print it.", metavar="FILE")] = None,
    check: Check = False,
) -> None:
    """An AsyncAPI 3.0 document of the catalog's topics: the events that each source takes, values, alerts."""
    from streamgauge.asyncapi import document

    text = document(usable_catalog(catalog))
    if out is None:
        if check:
            raise usage("--check needs --out FILE: the file that is checked")
        result(text.rstrip("\n"))
        return
    write_or_check({out: text}, check=check)
