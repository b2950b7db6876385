"""`streamgauge generate dashboards`: what Grafana shows of a catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from streamgauge.cli.failures import usage
from streamgauge.cli.generate.files import Check, write_or_check
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import CatalogPath, option

DEFAULT_BOARD = "http://localhost:8080"


def add_to(app: typer.Typer) -> None:
    app.command("dashboards", epilog="Example: streamgauge generate dashboards retail.yaml --out grafana/dashboards")(
        dashboards
    )


def dashboards(
    catalog: CatalogPath,
    out: Annotated[Path, option("out", "The folder to write to.", metavar="DIR", show_default=False)],
    board_url: Annotated[
        str, option("board-url", "Where people reach the live board, which the dashboards link to.", metavar="URL")
    ] = DEFAULT_BOARD,
    check: Check = False,
) -> None:
    """Grafana dashboards: an overview of the catalog, one of each KPI, one of the engine.

    What an earlier run wrote for KPIs that are gone is removed; other files in the folder are left alone.
    """
    from sinks.grafana.generating import dashboards as generated
    from sinks.grafana.generating import leftovers

    address = urlsplit(board_url)
    if address.scheme not in ("http", "https") or not address.netloc or address.query or address.fragment:
        raise usage(f"--board-url {board_url}: write an address as https://kpi.example.org")
    found = usable_catalog(catalog)
    files = {out / name: text for name, text in generated(found, board_url).items()}
    write_or_check(files, check=check, leftover=leftovers(found, out, [path.name for path in files]))
