"""`streamgauge silence`: nobody is told of a KPI's alerts for a while."""

from __future__ import annotations

import asyncio
import getpass
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn
from zoneinfo import ZoneInfo

import typer

from streamgauge.cli.default_command import DefaultCommand
from streamgauge.cli.failures import reaching_kafka, refused, usage
from streamgauge.cli.loading import counted, usable_catalog
from streamgauge.cli.options import CatalogPath, KpiName, OutputFormat, option, with_connections
from streamgauge.cli.output import Format, print_json, print_rows, result, say
from streamgauge.cli.values import dimension_values

if TYPE_CHECKING:
    from engine.catalog.model import Catalog
    from sinks.alerting.silence_records import SilenceRecord
    from sinks.alerting.silencing import NotSilenced
    from streamgauge.settings import KafkaAddress


class _Making(DefaultCommand):
    default = "make"


app = typer.Typer(
    name="silence",
    cls=_Making,
    help="Silences: nobody is told of a KPI's alerts for a while. They are recorded and shown all the same.",
)
_OPTIONS = {"kpis": "KPI", "for": "--for", "until": "--until", "comment": "--comment", "alerts": "--alert"}


@with_connections
def make(
    kpi: KpiName,
    catalog: CatalogPath,
    kafka: KafkaAddress,
    comment: Annotated[str, option("comment", "Why, for those who wonder.", metavar="TEXT", show_default=False)],
    for_: Annotated[
        str | None, option("for", "How long: 30m, 2h, 7d; at most 90 days.", metavar="LENGTH", show_default=False)
    ] = None,
    until: Annotated[
        str | None,
        option(
            "until", "Until when, in the catalog's time zone: 2026-12-24T18:00.", metavar="TIME", show_default=False
        ),
    ] = None,
    alert: Annotated[
        list[str] | None, option("alert", "Only this alert; may be repeated; default: all of the KPI.", metavar="ALERT")
    ] = None,
    where: Annotated[
        list[str] | None,
        option("where", "Only series with this dimension value; may be repeated.", metavar="DIMENSION=VALUE"),
    ] = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Silence a KPI's alerts from now on, with an end always, and print the silence's id. `streamgauge silence KPI ...`
    alone means this.
    """
    from sinks.alerting.silencing import NotSilenced, after, silence_for, silence_object
    from streams.silences import write_silence

    wanted = dimension_values(where)
    found = usable_catalog(catalog)
    now = datetime.now(UTC)
    if for_ is not None and until is not None:
        raise usage("--for and --until are two ends; keep one")
    try:
        made = silence_for(
            found,
            now,
            id=secrets.token_hex(5),
            kpis=[kpi],
            comment=comment,
            until=after(now, for_) if for_ is not None else _moment(until, found),
            alerts=alert or (),
            where=wanted,
            by=_user(),
        )
    except NotSilenced as error:
        _refuse(error)
    _known(found, kafka)  # the topic is there, which a write would wait for
    with reaching_kafka(kafka):
        asyncio.run(write_silence(found.name, made.id, made, kafka.brokers, kafka.security))
    if format_ is Format.JSON:
        print_json(silence_object(made))
    else:
        result(made.id)
        end = made.until.astimezone(ZoneInfo(found.calendar.timezone))
        say(f"{kpi} is silenced until {end:%a %d %b %H:%M %Z}; `streamgauge silence end {made.id} {catalog}` ends it")


@with_connections
def list_(catalog: CatalogPath, kafka: KafkaAddress, format_: OutputFormat = Format.TABLE) -> None:
    """The silences made by command that have not ended, by their ends."""
    from sinks.alerting.silencing import lasting, silence_object
    from streamgauge.active_alerts import SILENCE_HEADINGS, told_silence

    found = usable_catalog(catalog)
    objects = [silence_object(one) for one in lasting(_known(found, kafka), datetime.now(UTC))]
    if format_ is Format.JSON:
        print_json(objects)
        return
    if objects:
        print_rows([told_silence(one) for one in objects], SILENCE_HEADINGS, format_)
    own = f"; the catalog has {counted(len(found.silences), 'silence')} of its own" if found.silences else ""
    say(f"{counted(len(objects), 'silence')} of {found.name}{own}")


@with_connections
def end(
    id: Annotated[str, typer.Argument(metavar="ID", help="The silence's id.", show_default=False)],
    catalog: CatalogPath,
    kafka: KafkaAddress,
) -> None:
    """End a silence before its time."""
    from sinks.alerting.silencing import lasting
    from streams.silences import write_silence

    found = usable_catalog(catalog)
    if id not in {one.id for one in lasting(_known(found, kafka), datetime.now(UTC))}:
        raise refused(f"no silence {id} is on; `streamgauge silence list {catalog}` shows those that are")
    with reaching_kafka(kafka):
        asyncio.run(write_silence(found.name, id, None, kafka.brokers, kafka.security))
    say(f"silence {id} has ended")


def _known(catalog: Catalog, kafka: KafkaAddress) -> dict[str, SilenceRecord]:
    """All silences in Kafka. Raises Failure."""
    from sinks.alerting.silence_records import NotASilence
    from streams.silences import NoTopic, read_silences

    with reaching_kafka(kafka):
        try:
            return asyncio.run(read_silences(catalog.name, kafka.brokers, kafka.security))
        except (NoTopic, NotASilence) as error:
            raise refused(str(error)) from error


def _moment(text: str | None, catalog: Catalog) -> datetime | None:
    """Raises Failure."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise usage(f"--until {text}: write a time, for example 2026-12-24T18:00") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(catalog.calendar.timezone))


def _refuse(error: NotSilenced) -> NoReturn:
    raise usage(f"{_OPTIONS.get(error.member, f'--{error.member}')}: {error}") from error


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process whose user has no name
        return None


app.command(
    "make",
    epilog="Example: streamgauge silence make sales_today retail.yaml --for 2h --comment stocktaking "
    "--brokers localhost:9092",
)(make)
app.command("list", epilog="Example: streamgauge silence list retail.yaml --brokers localhost:9092")(list_)
app.command("end", epilog="Example: streamgauge silence end 3f9c1a7b20 retail.yaml --brokers localhost:9092")(end)
