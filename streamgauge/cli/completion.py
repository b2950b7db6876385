"""What the shell offers after Tab: catalogs, and the names inside the one already typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer


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


def complete_kpi(context: typer.Context, incomplete: str) -> Iterator[str]:
    """KPIs of the catalog, where the command has one."""
    yield from _names(context, "kpis", incomplete)


def _names(context: typer.Context, kind: str, incomplete: str) -> Iterator[str]:
    path = context.params.get("catalog")
    if path is None or not Path(path).exists():
        return
    from streamgauge.catalog_files import CatalogUnreadable, read_catalog

    try:
        loaded = read_catalog(Path(path))
    except CatalogUnreadable:
        return
    if loaded.catalog is not None:
        yield from (name for name in getattr(loaded.catalog, kind) if name.startswith(incomplete))
