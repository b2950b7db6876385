"""Getting the catalog a command was given, or ending the command with every problem it has."""

from __future__ import annotations

from pathlib import Path

from engine.catalog.loader import Loaded
from engine.catalog.model import Catalog, Source
from streamgauge.catalog_files import CatalogUnreadable, read_catalog
from streamgauge.cli.failures import refused, usage
from streamgauge.cli.output import complain, warn


def loaded_catalog(path: Path) -> Loaded:
    """Raises Failure when there is nothing to read at `path`."""
    try:
        return read_catalog(path)
    except CatalogUnreadable as error:
        raise usage(str(error)) from error


def usable_catalog(path: Path) -> Catalog:
    """A catalog without problems. Raises Failure, after all problems went to stderr."""
    return without_problems(path, loaded_catalog(path))


def without_problems(path: Path, loaded: Loaded) -> Catalog:
    """The catalog in `loaded`. Raises Failure, after all problems went to stderr."""
    for notice in loaded.notices:
        warn(str(notice))
    if loaded.catalog is not None and not loaded.problems:
        return loaded.catalog
    for problem in loaded.problems:
        complain(str(problem))
    raise refused(f"{path}: {counted(len(loaded.problems), 'problem')}")


def source_of(catalog: Catalog, name: str) -> Source:
    if name not in catalog.sources:
        raise usage(f"catalog {catalog.name} has no source {name!r}; it has {', '.join(catalog.sources)}")
    return catalog.sources[name]


def counted(number: int, noun: str) -> str:
    """``1 problem``, ``2 problems``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
