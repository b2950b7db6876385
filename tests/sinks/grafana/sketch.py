"""A dashboard's grid as text: a letter for each panel, two grid columns a character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters
from typing import Any

COLUMNS = 24


class Overlap(AssertionError):
    """Two panels share a cell, or one sticks out."""


def cells(panels: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], int]:
    """(x, y) -> which panel. Raises Overlap."""
    found: dict[tuple[int, int], int] = {}
    for number, panel in enumerate(panels):
        place = panel["gridPos"]
        x, y, w, h = place["x"], place["y"], place["w"], place["h"]
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > COLUMNS:
            raise Overlap(f"{panel['title']} at {place} sticks out")
        for cell in ((column, row) for row in range(y, y + h) for column in range(x, x + w)):
            if cell in found:
                raise Overlap(f"{panel['title']} lies over {panels[found[cell]]['title']} at {cell}")
            found[cell] = number
    return found


def sketch(panels: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the grid, each once where it repeats; `=` is a heading, `.` nothing."""
    taken = cells(panels)
    bottom = max(y for _, y in taken) + 1
    lines: list[str] = []
    for y in range(bottom):
        line = "".join(_letter(panels, taken.get((x, y))) for x in range(0, COLUMNS, 2))
        if not lines or lines[-1] != line:
            lines.append(line)
    return "\n".join(lines)


def _letter(panels: Sequence[Mapping[str, Any]], number: int | None) -> str:
    if number is None:
        return "."
    return "=" if panels[number]["type"] == "row" else ascii_letters[number]
