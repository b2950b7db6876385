"""`streamgauge lint`: could this catalog be better?"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import typer

from streamgauge.cli.failures import refused, usage
from streamgauge.cli.loading import counted, loaded_catalog, without_problems
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
    loaded = loaded_catalog(catalog)
    advice = advise(without_problems(catalog, loaded), day)
    if format_ is Format.JSON:
        rows = [
            {"rule": one.rule, "at": loaded.locate(one.path), "message": one.message, "hint": one.hint}
            for one in advice
        ]
        print_json(rows)
    else:
        for one in advice:
            hint = f"; {one.hint}" if one.hint else ""
            result(f"{loaded.locate(one.path)}: {one.message}{hint} [{one.rule}]")
        say(f"{catalog}: {counted(len(advice), 'piece')} of advice" if advice else f"{catalog}: nothing to improve")
    if strict and advice:
        raise refused()
