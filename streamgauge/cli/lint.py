"""`streamgauge lint`: could this catalog be better?"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import typer

from streamgauge.cli.failures import refused, usage
from streamgauge.cli.loading import counted, usable_catalog
from streamgauge.cli.options import CatalogPath, OutputFormat, option
from streamgauge.cli.output import Format, print_json, result, say


def add_to(app: typer.Typer) -> None:
    app.command("lint", epilog="Example: streamgauge lint deploy/catalogs/retail.yaml --strict")(lint)


def lint(
    catalog: CatalogPath,
    strict: Annotated[bool, option("strict", "Exit with 1 when there is advice.")] = False,
    today: Annotated[
        str | None, option("today", "The day to judge reviews by; default: today.", metavar="YYYY-MM-DD")
    ] = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Advice on a valid catalog: are its KPIs specific, measurable, achievable, relevant and time-bound?"""
    from engine.catalog.lint import lint as advise

    try:
        day = date.fromisoformat(today) if today else datetime.now().astimezone().date()
    except ValueError as error:
        raise usage(f"--today {today}: write YYYY-MM-DD") from error
    advice = advise(usable_catalog(catalog), day)
    if format_ is Format.JSON:
        print_json([{"subject": one.subject, "message": one.message, "hint": one.hint} for one in advice])
    else:
        for one in advice:
            result(str(one))
        say(f"{catalog}: {counted(len(advice), 'piece')} of advice" if advice else f"{catalog}: nothing to improve")
    if strict and advice:
        raise refused()
