"""`streamgauge lint`: could this catalog be better?"""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.cli.failures import reaching_redis, refused, usage
from streamgauge.cli.loading import counted, loaded_catalog, without_problems
from streamgauge.cli.options import CatalogPath, OutputFormat, option, with_connections
from streamgauge.cli.output import Format, new_table, print_json, say, stdout, warn

if TYPE_CHECKING:
    from engine.catalog.lint import Advice, History, Verdict
    from engine.catalog.loader import Loaded
    from engine.catalog.model import Catalog
    from sinks.redis.connection import RedisAddress

INDENT = 4
GOOD, FAIR = 80, 50  # scores from which on they are green, yellow


def add_to(app: typer.Typer) -> None:
    app.command("lint", epilog="Example: streamgauge lint deploy/catalogs/retail.yaml --strict")(lint)


@with_connections
def lint(
    catalog: CatalogPath,
    redis: RedisAddress | None = None,
    strict: Annotated[bool, option("strict", "Exit with 1 when there is advice.")] = False,
    today: Annotated[
        str | None, option("today", "The day to judge reviews and targets by; default: today.", metavar="YYYY-MM-DD")
    ] = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Advice on a valid catalog: are its KPIs specific, measurable, achievable, relevant and time-bound?

    With --redis, targets and KPIs are also judged by what the values have been. Each goal has a score from 0 to 100.
    """
    from engine.catalog.lint import NO_HISTORY, judge

    try:
        day = date.fromisoformat(today) if today else datetime.now().astimezone().date()
    except ValueError as error:
        raise usage(f"--today {today}: write YYYY-MM-DD") from error
    loaded = loaded_catalog(catalog)
    checked = without_problems(catalog, loaded)
    verdict = judge(checked, day, NO_HISTORY if redis is None else _history(redis, checked))
    if format_ is Format.JSON:
        _print_json(verdict, loaded)
    else:
        _print(verdict, loaded, checked)
        found = counted(len(verdict.advice), "piece") + " of advice" if verdict.advice else "nothing to improve"
        ignored = f", {counted(len(verdict.ignored), 'more piece')} ignored" if verdict.ignored else ""
        say(f"{catalog}: {found}{ignored}")
    if strict and verdict.advice:
        raise refused()


def _history(address: RedisAddress, catalog: Catalog) -> History:
    from sinks.redis.connection import connect
    from sinks.redis.histories import histories

    async def read() -> History:
        redis = connect(address)
        try:
            return await histories(redis, catalog)
        finally:
            await redis.aclose()

    with reaching_redis(str(address)):
        found = asyncio.run(read())
    if not found:
        warn(f"Redis holds no past values of catalog {catalog.name}: only the catalog itself was judged")
    return found


def _print_json(verdict: Verdict, loaded: Loaded) -> None:
    def row(one: Advice) -> dict[str, object]:
        return {
            "rule": one.rule,
            "severity": one.severity,
            "at": loaded.locate(one.path),
            "subject": one.subject,
            "message": one.message,
            "why": one.why,
            "change": one.hint,
        }

    ignored = [{**row(one.advice), "reason": one.reason} for one in verdict.ignored]
    print_json({"findings": list(map(row, _in_order(verdict, loaded))), "ignored": ignored, "scores": verdict.scores})


def _in_order(verdict: Verdict, loaded: Loaded) -> list[Advice]:
    """As the file goes."""

    def place(one: Advice) -> tuple[str, int]:
        file, _, line = loaded.locate(one.path).rpartition(":")
        return file, int(line)

    return sorted(verdict.advice, key=place)


def _print(verdict: Verdict, loaded: Loaded, catalog: Catalog) -> None:
    """What was found, what was not to be said, and the score of each goal."""
    from rich.padding import Padding
    from rich.text import Text

    console = stdout()
    for one in _in_order(verdict, loaded):
        colour = "yellow" if one.severity == "warning" else "cyan"
        subject = f"{one.subject}: " if one.subject else ""
        parts = ((f"{loaded.locate(one.path)}: ", "dim"), (subject, "bold"), one.message, (f" [{one.rule}]", colour))
        console.print(Text.assemble(*parts), soft_wrap=True)
        for word, text, style in (("why", one.why, "dim"), ("change", one.hint, "")):
            console.print(Padding(Text(f"{word}: {text}", style=style), (0, 0, 0, INDENT), expand=False))
    for ignored in verdict.ignored:
        subject = ignored.advice.subject or "the catalog"
        text = f"{loaded.locate(ignored.advice.path)}: {subject}: {ignored.advice.rule} is ignored: {ignored.reason}"
        console.print(Text(text, style="dim"), soft_wrap=True)
    if not catalog.goals:
        return
    if verdict.advice or verdict.ignored:
        console.print()
    table = new_table()
    table.add_column("goal")
    table.add_column("score", justify="right")
    table.add_column("KPIs", justify="right")
    table.add_column("title")
    for name, score in verdict.scores.items():
        style = "green" if score >= GOOD else "yellow" if score >= FAIR else "red"
        kpis = sum(kpi.goal == name for kpi in catalog.kpis.values())
        table.add_row(Text(name), Text(str(score), style=style), str(kpis), Text(catalog.goals[name].title))
    console.print(table)
