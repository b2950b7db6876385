"""`streamgauge watch`: one KPI as it changes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from decimal import Decimal
from json import loads
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.cli.failures import reaching_redis, refused
from streamgauge.cli.options import KpiName, OutputFormat, option, with_connections
from streamgauge.cli.output import Format, stdout
from streamgauge.cli.values import CatalogName, Where, dimension_values, only_catalog

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress


def add_to(app: typer.Typer) -> None:
    app.command("watch", epilog="Example: streamgauge watch sales_today --redis redis://localhost:6379")(watch)


@with_connections
def watch(
    kpi: KpiName,
    redis: RedisAddress,
    where: Where = None,
    name: CatalogName = None,
    for_: Annotated[
        float | None, option("for", "End after so many seconds; default: at Ctrl-C.", metavar="SECONDS", min=0.1)
    ] = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Show a KPI's values, and every change of them, until Ctrl-C. In a pipe: a line per change."""
    wanted = dimension_values(where)
    with reaching_redis(str(redis)), contextlib.suppress(KeyboardInterrupt, TimeoutError):
        asyncio.run(_within(for_, redis, kpi, wanted, name, format_))


async def _within(seconds: float | None, *given: object) -> None:
    async with asyncio.timeout(seconds):
        await _watch(*given)  # type: ignore[arg-type]


async def _watch(address: RedisAddress, kpi: str, where: dict[str, str], name: str | None, format_: Format) -> None:
    from rich.live import Live
    from rich.table import Table

    from sinks.redis import reading
    from sinks.redis.connection import connect
    from streamgauge.live import Value, change_line, newest_first, series_table

    redis = connect(address)
    waiting = connect(address, blocking_reads=True)  # which waits for ever: nothing but updates is asked of it
    try:
        catalog = name or await only_catalog(redis)
        since = await reading.last_ids(redis, catalog, [kpi])  # before the values are read, so that none is missed
        values = {str(value["dims"]): Value.read(value) for value in await reading.current(redis, catalog, kpi, where)}
        if not values:
            raise refused(f"Redis holds no value of KPI {kpi}; `streamgauge values` lists what there is")
        console = stdout()

        def view() -> Table:
            return series_table(newest_first(values.values()), width=console.width, height=console.height)

        live = (
            Live(view(), console=console, auto_refresh=False)
            if console.is_terminal and format_ is Format.TABLE
            else None
        )
        if live is None and format_ is Format.TABLE:
            for value in values.values():
                console.print(change_line(value))
        with live or contextlib.nullcontext():
            async for _, update in reading.updates(waiting, catalog, [kpi], since):
                if any(reading.dimensions(update.dims).get(dimension) != text for dimension, text in where.items()):
                    continue
                value = Value.read(loads(update.json, parse_float=Decimal))
                if format_ is Format.JSON:
                    sys.stdout.write(update.json + "\n")
                elif live is None:
                    console.print(change_line(value))
                else:
                    values[str(dict(value.dims))] = value
                    live.update(view(), refresh=True)
                sys.stdout.flush()
    finally:
        await redis.aclose()
        await waiting.aclose()
