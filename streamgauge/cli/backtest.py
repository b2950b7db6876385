"""`streamgauge backtest`: what the catalog's alerts would have done."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from engine.catalog.model import Catalog
from streamgauge.cli.completion import complete_kpi
from streamgauge.cli.failures import reaching_kafka, refused, usage
from streamgauge.cli.loading import counted, source_of, usable_catalog
from streamgauge.cli.options import CatalogPath, OutputFormat, option, with_connections
from streamgauge.cli.output import Format, cell, new_table, print_json, result, say, stdout, warn
from streamgauge.settings import KafkaAddress

if TYPE_CHECKING:
    from streamgauge.backtest.incidents import Incident
    from streamgauge.backtest.replay import Replay
    from streamgauge.backtest.report import Report, Span, Suggested

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE=FILE]",
        help="Events of a source: JSON Lines, CSV or Parquet, in the order in which they came. Without: the topics.",
        show_default=False,
    ),
]
Kpi = Annotated[
    str | None,
    option("kpi", "Only the alerts of this KPI.", metavar="KPI", autocompletion=complete_kpi),
]
From = Annotated[
    str | None,
    option(
        "from",
        "Count from here, as 2026-03-01 or 2026-03-01T09:00Z; earlier events are history.",
        metavar="TIME",
        show_default="the first event",
    ),
]
To = Annotated[
    str | None,
    option("to", "Count until here; time goes on until then.", metavar="TIME", show_default="the last event"),
]
Incidents = Annotated[
    Path | None,
    option("incidents", "What really was wrong, YAML or CSV: kpi, from, to, comment.", metavar="FILE"),
]
Out = Annotated[Path | None, option("out", "Write backtest.json and backtest.html there.", metavar="DIR")]


def add_to(app: typer.Typer) -> None:
    app.command(
        "backtest", epilog="Example: streamgauge backtest shop.yaml orders=orders.jsonl --from 2026-01-01 --out report"
    )(backtest)


@with_connections
def backtest(
    catalog: CatalogPath,
    files: Files = None,
    kafka: KafkaAddress | None = None,
    kpi: Kpi = None,
    from_: From = None,
    to: To = None,
    incidents: Incidents = None,
    format_: OutputFormat = Format.TABLE,
    out: Out = None,
    suggest: Annotated[
        bool, option("suggest", "Search bound, for and recovery of the threshold alerts, and print YAML to paste.")
    ] = False,
    budget: Annotated[str, option("budget", "How many pages each alert may send.", metavar="PAGES")] = "2/month",
) -> None:
    """Replay events of the past and tell what the alerts would have done, before they go live.

    Times without an offset are local to the catalog. Nothing is written to Kafka, and nobody is told.
    """
    from streamgauge.backtest.incidents import UnusableIncidents, read_incidents
    from streamgauge.backtest.report import counted_firings, report_of

    if out is not None:
        if importlib.util.find_spec("matplotlib") is None:
            raise usage("--out draws with matplotlib, which is not installed: pip install 'streamgauge[backtest]'")
        from streamgauge.backtest.page import page

    whole = usable_catalog(catalog)
    judged = _judged(whole, kpi)
    begin_us, end_us = _instant(from_, "--from", whole), _instant(to, "--to", whole)
    if begin_us is not None and end_us is not None and begin_us >= end_us:
        raise usage(f"--from {from_} is not before --to {to}")
    pages_a_month = _budget(budget)
    try:
        known = read_incidents(incidents, whole) if incidents else []
    except UnusableIncidents as error:
        raise refused(str(error)) from error
    started = time.monotonic()
    replay = _replayed(judged, files or [], kafka, end_us)
    seconds = time.monotonic() - started
    span = _span(replay, begin_us, end_us)
    reported = _narrowed(judged, kpi)
    found = counted_firings(replay, judged, span)
    report = report_of(replay, reported, found, span, [one for one in known if one.kpi in reported.kpis])
    if suggest:
        report = msgspec.structs.replace(report, suggestions=_suggested(replay, reported, span, known, pages_a_month))
    if format_ is Format.JSON:
        print_json(report)
    else:
        _print(report)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        written = {"backtest.json": msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n"}
        written["backtest.html"] = page(report, replay, reported, found, known, span)
        for name, text in written.items():
            (out / name).write_text(text, encoding="utf-8")
            say(f"wrote {out / name}")
    events = sum(replay.counts.values())
    say(f"replayed {counted(events, 'event')} in {seconds:.1f} s ({events / max(seconds, 0.001):,.0f} events/s)")
    refused_events = replay.counts["invalid"] + replay.counts["late"]
    if refused_events:
        invalid, late = replay.counts["invalid"], replay.counts["late"]
        warn(f"{counted(refused_events, 'event')} did not count: {invalid:,} invalid, {late:,} late")


# -- what is replayed --------------------------------------------------------------------------------------------------


def _judged(catalog: Catalog, kpi: str | None) -> Catalog:
    """The KPIs with alerts, and those that they look at; of one KPI, also those whose alerts may mute its own."""
    from engine.alerts.muting import parents_of
    from engine.plan import plan_catalog

    if kpi is not None and kpi not in catalog.kpis:
        raise usage(f"catalog {catalog.name} has no KPI {kpi!r}; it has {', '.join(catalog.kpis)}")
    wanted = {name for name, each in catalog.kpis.items() if each.alerts and kpi in (None, name)}
    if not wanted:
        raise refused(f"{f'KPI {kpi}' if kpi else f'catalog {catalog.name}'} has no alerts; there is nothing to test")
    if all(alert.evaluator == "prometheus" for name in wanted for alert in catalog.kpis[name].alerts):
        raise refused("all these alerts are evaluated by Prometheus; test them with `streamgauge generate rules`")
    for name in list(wanted):
        wanted |= {each for alert in catalog.kpis[name].alerts if (each := alert.muted_by) is not None}
        wanted |= {each for each in parents_of(name, catalog) if catalog.kpis[each].alerts}
    chosen = replace(catalog, kpis={name: each for name, each in catalog.kpis.items() if name in wanted})
    read = frozenset[str]().union(*(each.sources for each in plan_catalog(chosen).kpis))
    return replace(chosen, sources={name: each for name, each in catalog.sources.items() if name in read})


def _narrowed(judged: Catalog, kpi: str | None) -> Catalog:
    """What is reported: of one KPI, its own alerts only."""
    return judged if kpi is None else replace(judged, kpis={kpi: judged.kpis[kpi]})


def _instant(text: str | None, name: str, catalog: Catalog) -> int | None:
    from streamgauge.backtest.incidents import instant_us

    if text is None:
        return None
    try:
        return instant_us(text, catalog.calendar.timezone)
    except ValueError as error:
        raise usage(f"{name} {text}: {error}") from error


def _replayed(catalog: Catalog, files: Sequence[str], kafka: KafkaAddress | None, end_us: int | None) -> Replay:
    from streamgauge.backtest.reading import MissingTopic, open_files, replay_files, replay_topics
    from streamgauge.backtest.replay import TooFarAhead
    from streamgauge.cli.progress import sending_progress
    from streamgauge.sending.event_files import UnusableFile

    if bool(files) == (kafka is not None):
        raise usage("give either files, as SOURCE=FILE, or --brokers to read the topics")
    try:
        with sending_progress() as progress:
            if kafka is None:
                opened = open_files(catalog, _files(catalog, files))
                bar = progress.add_task("replaying", total=sum(f.total for of in opened.values() for f in of), speed="")
                return replay_files(
                    catalog, opened, until_us=end_us, report=lambda more: progress.update(bar, advance=more)
                )
            with reaching_kafka(kafka):
                bar = progress.add_task("replaying", total=None, speed="")
                return asyncio.run(
                    replay_topics(
                        catalog,
                        kafka,
                        until_us=end_us,
                        report=lambda read, total: progress.update(bar, completed=read, total=total),
                    )
                )
    except (UnusableFile, MissingTopic, TooFarAhead) as error:
        raise refused(str(error)) from error


def _files(catalog: Catalog, given: Sequence[str]) -> list[tuple[str, Path]]:
    found = []
    for text in given:
        source, equals, path = text.partition("=")
        if not (source and equals and path):
            raise usage(f"{text}: write SOURCE=FILE; the sources are {', '.join(catalog.sources)}")
        found.append((source_of(catalog, source).name, Path(path)))
    missing = [name for name in catalog.sources if name not in {source for source, _ in found}]
    if missing:
        raise usage(f"the alerts need events of {', '.join(missing)} as well: {missing[0]}=FILE")
    return found


def _budget(text: str) -> float:
    from streamgauge.backtest.suggest import UnreadableBudget, budget_of

    try:
        return budget_of(text)
    except UnreadableBudget as error:
        raise usage(f"--budget {error}") from error


def _suggested(
    replay: Replay, catalog: Catalog, span: Span, incidents: Sequence[Incident], pages_a_month: float
) -> list[Suggested]:
    """For each threshold alert that the engine judges and that had values."""
    from engine.catalog.alerting import Threshold
    from streamgauge.backtest.report import Suggested
    from streamgauge.backtest.suggest import suggest, yaml_of

    found = []
    for kpi in catalog.kpis.values():
        values = replay.values(kpi.name)
        for rule in kpi.alerts:
            if values is None or rule.evaluator != "engine" or not isinstance(rule.when, Threshold):
                continue
            one = suggest(kpi, rule, values, catalog, span, incidents, pages_a_month)
            best, rate = one.best, round(one.best.pages_a_month, 2)
            of = (kpi.name, rule.name, one.within, rate, list(best.caught), list(best.missed), yaml_of(one))
            found.append(Suggested(*of))
    return found


def _span(replay: Replay, begin_us: int | None, end_us: int | None) -> Span:
    from engine.alerts.objects import instant
    from engine.event_time import NEVER
    from streamgauge.backtest.report import Span

    first, last = replay.first_us, replay.last_us
    if first == NEVER:
        raise refused("there are no events that count")
    begin = first if begin_us is None else begin_us
    end = last if end_us is None else end_us
    if begin >= end:
        raise refused(f"there are no events from --from on: the last one is at {instant(last)}")
    return Span(begin, end)


# -- what is shown -----------------------------------------------------------------------------------------------------


def _print(report: Report) -> None:
    from streamgauge.backtest.table import cells, columns

    table = new_table()
    for number, name in enumerate(columns(report)):
        table.add_column(name, justify="left" if number < 2 else "right", overflow="fold")
    for one in report.alerts:
        table.add_row(*(cell(value) for value in cells(one, report)))
    stdout().print(table)
    for one in report.alerts:
        if one.evaluator != "engine":
            say(f"{one.alert} of {one.kpi} is evaluated by Prometheus, and was not replayed")
    for missed in report.missed:
        warn(f"no alert saw: {missed}")
    pages = sum(one.pages for one in report.alerts)
    result(
        f"{counted(pages, 'page')} from {report.begin} to {report.end}, "
        f"{sum(one.at_night for one in report.alerts):,} of them at night ({report.night})"
    )
    for suggestion in report.suggestions:
        result(f"\n{suggestion.yaml}")
