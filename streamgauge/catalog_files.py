"""Reading a catalog from disk: one file, or every YAML file of a folder in name order."""

from __future__ import annotations

from pathlib import Path

from engine.catalog.loader import Loaded, parse

SUFFIXES = (".yaml", ".yml")


class CatalogUnreadable(Exception):
    """There is no catalog to check there; the message says why."""


def catalog_texts(path: Path) -> list[tuple[str, str]]:
    """(name as shown in messages, text) of each file, in name order. Raises CatalogUnreadable."""
    if path.is_dir():
        files = sorted(
            entry
            for entry in path.iterdir()
            if entry.suffix in SUFFIXES and entry.is_file() and not entry.name.startswith(".")
        )
        if not files:
            raise CatalogUnreadable(f"{path} is a folder without a YAML file ({' or '.join(SUFFIXES)})")
    else:
        files = [path]
    texts = []
    for file in files:
        try:
            texts.append((str(file), file.read_text(encoding="utf-8")))
        except UnicodeDecodeError as error:
            raise CatalogUnreadable(f"{file} is not UTF-8 text (byte {error.start + 1})") from error
        except FileNotFoundError as error:
            raise CatalogUnreadable(f"{file} does not exist") from error
        except OSError as error:
            raise CatalogUnreadable(f"{file} cannot be read: {error.strerror}") from error
    return texts


def shipped_catalog(name: str) -> Path:
    """The example catalog of this name: in the installed package, or in the checkout this runs from."""
    here = Path(__file__).parent
    packaged = here / "catalogs" / f"{name}.yaml"
    return packaged if packaged.exists() else here.parent / "deploy" / "catalogs" / f"{name}.yaml"


def read_catalog(path: Path) -> Loaded:
    """The catalog at `path`, checked; problems are in the result. Raises CatalogUnreadable."""
    return parse(catalog_texts(path))
