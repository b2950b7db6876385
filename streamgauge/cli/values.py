"""`streamgauge values`: what the KPIs are now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamgauge.cli.completion import complete_kpi
from streamgauge.cli.failures import reaching_redis, refused, usage
from streamgauge.cli.options import OutputFormat, option, with_connections
from streamgauge.cli.output import Format, print_json, say, stdout

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from sinks.redis.connection import RedisAddress

SHOWN = 3  # series of each KPI when no KPI is named

KpiArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[KPI]", help="One KPI; default: all of them.", autocompletion=complete_kpi, show_default=False
    ),
]
CatalogName = Annotated[
    str | None, option("name", "The catalog's name, where Redis holds the values of several.", metavar="NAME")
]
Where = Annotated[
    list[str] | None,
    option("where", "Only series with this dimension value; may be repeated.", metavar="DIMENSION=VALUE"),
]


def add_to(app: typer.Typer) -> None:
    app.command(
        "values",
        epilog="Example: streamgauge values sales_by_department_30d --where department=DELI --redis redis://localhost:6379",
    )(values)


@with_connections
def values(
    redis: RedisAddress,
    kpi: KpiArgument = None,
    where: Where = None,
    name: CatalogName = None,
    top: Annotated[
        int | None, option("top", "Only the so many largest series of the newest window.", metavar="N", min=1)
    ] = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Print current values: of one KPI all series, of all KPIs the largest few.

    Exits with 1 when there are none.
    """
    wanted = dimension_values(where)
    if kpi is None and (wanted or top):
        raise usage("--where and --top need a KPI: streamgauge values KPI ...")
    with reaching_redis(str(redis)):
        found = asyncio.run(_current(redis, kpi, wanted, name, top))
    if format_ is Format.JSON:
        print_json([value for series in found.values() for value in series])
    elif found:
        from streamgauge.live import Value, newest_first, series_table

        most = None if kpi else SHOWN
        shown = {of: newest_first(map(Value.read, series))[:most] for of, series in found.items()}
        console = stdout()
        console.print(series_table([value for series in shown.values() for value in series], width=console.width))
        for of, series in found.items():
            if len(series) > len(shown[of]):
                say(f"{len(series) - len(shown[of]):,} more series: streamgauge values {of}")
    if not any(found.values()):
        raise refused(_nothing(kpi, wanted))


def dimension_values(where: Sequence[str] | None) -> dict[str, str]:
    """``region=EU`` texts as a mapping. Raises Failure."""
    wanted = {}
    for text in where or ():
        dimension, equals, value = text.partition("=")
        if not (dimension and equals):
            raise usage(f"--where {text}: write DIMENSION=VALUE, for example region=EU")
        wanted[dimension] = value
    return wanted


async def _current(
    address: RedisAddress, kpi: str | None, where: Mapping[str, str], name: str | None, top: int | None
) -> dict[str, list[dict[str, Any]]]:
    from sinks.redis import reading
    from sinks.redis.connection import connect

    redis = connect(address)
    try:
        catalog = name or await only_catalog(redis)
        if kpi is None:
            return {one: await reading.current(redis, catalog, one) for one in await reading.kpis(redis, catalog)}
        if top is None:
            return {kpi: await reading.current(redis, catalog, kpi, where)}
        return {kpi: [value for value in await reading.top(redis, catalog, kpi, top) if _has(value, where)]}
    finally:
        await redis.aclose()


async def only_catalog(redis: Redis) -> str:
    """The name of the catalog whose values Redis holds. Raises Failure when there is none, or more than one."""
    from sinks.names import redis_key

    begins, _, rest = redis_key("\0", "\1", "index").partition("\0")
    between, _, ends = rest.partition("\1")
    keys = [
        key.decode() if isinstance(key, bytes) else key
        async for key in redis.scan_iter(match=f"{begins}*{between}*{ends}", count=1000)
    ]
    names = sorted({key.removeprefix(begins).partition(between)[0] for key in keys})
    if not names:
        raise refused("Redis holds no values; is a worker running, and were events sent?")
    if len(names) > 1:
        raise usage(f"Redis holds the values of several catalogs; choose one with --name: {', '.join(names)}")
    return names[0]


def _has(value: Mapping[str, Any], where: Mapping[str, str]) -> bool:
    return all(str(value["dims"].get(dimension)) == text for dimension, text in where.items())


def _nothing(kpi: str | None, where: Mapping[str, str]) -> str:
    if kpi is None:
        return "Redis holds no values; is a worker running, and were events sent?"
    among = f" with {', '.join(f'{name}={text}' for name, text in where.items())}" if where else ""
    return f"Redis holds no value of KPI {kpi}{among}; `streamgauge values` lists what there is"
