"""What the shell offers after Tab: catalogs, and the names inside the one already typed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress

REDIS_SECONDS = 1.0  # that somebody who pressed Tab waits


def complete_catalog(incomplete: str) -> list[str]:
    """Folders, and YAML files."""
    typed = Path(incomplete)
    folder, start = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if (
            path.name.startswith(start)
            and not path.name.startswith(".")
            and (path.is_dir() or path.suffix in (".yaml", ".yml"))
        ):
            found.append(f"{path}/" if path.is_dir() else str(path))
    return found


def complete_source(context: typer.Context, incomplete: str) -> Iterator[str]:
    """Sources of the catalog before it."""
    yield from _names(context, "sources", incomplete)


def complete_kpi(context: typer.Context, incomplete: str) -> list[str]:
    """KPIs that Redis holds values of; where it does not say, those of the catalogs in this folder."""
    names = _kpis_in_redis(context) or _kpis_in_this_folder()
    return sorted({name for name in names if name.startswith(incomplete)})


def _names(context: typer.Context, kind: str, incomplete: str) -> Iterator[str]:
    path = context.params.get("catalog")
    if path is not None:
        yield from (name for name in _named(Path(path), kind) if name.startswith(incomplete))


def _named(path: Path, kind: str) -> list[str]:
    """Names in a catalog; none where it has problems."""
    from streamgauge.catalog_files import CatalogUnreadable, read_catalog

    try:
        loaded = read_catalog(path)
    except CatalogUnreadable:
        return []
    return [] if loaded.catalog is None else list(getattr(loaded.catalog, kind))


def _kpis_in_this_folder() -> list[str]:
    return [name for path in complete_catalog("") if not path.endswith("/") for name in _named(Path(path), "kpis")]


def _kpis_in_redis(context: typer.Context) -> list[str]:
    from redis.exceptions import RedisError

    from streamgauge.cli.failures import Failure
    from streamgauge.settings import SettingsError, environment_name, redis_address

    url = context.params.get("redis") or os.environ.get(environment_name("redis"))
    if not url:
        return []
    try:
        address = redis_address(url, ssl_ca=context.params.get("redis_ssl_ca"), from_argument=False)
        return asyncio.run(asyncio.wait_for(_asked(address, context.params.get("name")), REDIS_SECONDS))
    except (SettingsError, Failure, RedisError, OSError):
        return []


async def _asked(address: RedisAddress, name: str | None) -> list[str]:
    from sinks.redis import reading
    from sinks.redis.connection import connect
    from streamgauge.cli.values import only_catalog

    async with connect(address) as redis:
        return await reading.kpis(redis, name or await only_catalog(redis))
