"""A KPI's part of the catalog as it was written, comments and all: its entry, its metrics, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from engine.catalog import document
from engine.catalog.drafts import Entry, Whereabouts


@dataclass(frozen=True, slots=True)
class Excerpt:
    yaml: str
    file: str
    line: int


class Excerpts:
    """``files`` are the catalog's (name, text), ``whereabouts`` what the loader says of them."""

    def __init__(self, files: Iterable[tuple[str, str]], whereabouts: Whereabouts) -> None:
        self._lines = {name: text.splitlines() for name, text in files}
        self._entries = whereabouts.entries

    def of(self, kpi: str, metrics: Iterable[str]) -> Excerpt:
        """YAML that is itself a part of a catalog. Raises KeyError for a KPI that is not in it."""
        entry = self._entries["kpis", kpi]
        parts = ["metrics:"]
        parts += [self._entry(self._entries["metrics", name], name) for name in metrics]
        parts += ["kpis:", self._entry(entry, kpi)]
        return Excerpt("\n".join(parts) + "\n", entry.file, entry.line)

    def alerts(self, kpi: str) -> object:
        """Its alert rules as JSON, with the keys that were written. Raises KeyError for a KPI that is not there."""
        node = self._entries["kpis", kpi].node
        rules = node.entries.get("alerts") if isinstance(node, document.Mapping) else None
        return [] if rules is None else document.plain(rules)

    def _entry(self, entry: Entry, name: str) -> str:
        lines = self._lines[entry.file][entry.line - 1 :]
        key = lines[0].lstrip()
        if not key.startswith((f"{name}:", f'"{name}":', f"'{name}':")):  # several on one line
            plain = yaml.safe_dump({name: document.plain(entry.node)}, sort_keys=False, allow_unicode=True, width=100)
            return _indented(plain.splitlines(), 0)
        depth = _depth(lines[0])
        end = 1
        for number, line in enumerate(lines[1:], 1):
            text = line.strip()
            if text and not text.startswith("#"):
                if _depth(line) <= depth and not text.startswith(("}", "]")):
                    break
                end = number + 1
        return _indented(lines[:end], depth)


def _indented(lines: list[str], depth: int) -> str:
    return "\n".join(f"  {line[min(depth, _depth(line)) :].rstrip()}".rstrip() for line in lines)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
