"""`streamgauge validate`: is this catalog right?"""

from __future__ import annotations

import typer

from streamgauge.cli.failures import refused
from streamgauge.cli.loading import counted, loaded_catalog
from streamgauge.cli.options import CatalogPath, OutputFormat
from streamgauge.cli.output import Format, complain, print_json, result, warn


def add_to(app: typer.Typer) -> None:
    app.command("validate", epilog="Example: streamgauge validate deploy/catalogs/retail.yaml")(validate)


def validate(catalog: CatalogPath, format_: OutputFormat = Format.TABLE) -> None:
    """Check a catalog. Every problem is reported at once, with file, line, and what to write instead.

    Exits with 1 when there are problems.
    """
    loaded = loaded_catalog(catalog)
    valid = loaded.catalog is not None and not loaded.problems
    if format_ is Format.JSON:
        problems = [
            {"file": p.file, "line": p.line, "subject": p.subject, "message": p.message, "hint": p.hint}
            for p in loaded.problems
        ]
        print_json(
            {
                "catalog": str(catalog),
                "valid": valid,
                "problems": problems,
                "notices": [str(notice) for notice in loaded.notices],
            }
        )
    else:
        for notice in loaded.notices:
            warn(str(notice))
        for problem in loaded.problems:
            complain(str(problem))
    if not valid:
        raise refused("" if format_ is Format.JSON else f"{catalog}: {counted(len(loaded.problems), 'problem')}")
    if format_ is Format.TABLE and loaded.catalog is not None:
        found = loaded.catalog
        parts = [
            counted(len(items), noun)
            for items, noun in ((found.sources, "source"), (found.metrics, "metric"), (found.kpis, "KPI"))
        ]
        result(f"{catalog}: {found.name} is valid: {', '.join(parts)}", style="green")
