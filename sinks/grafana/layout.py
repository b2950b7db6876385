"""Where panels stand: sections of lines, from the top, 24 columns wide; nothing lies over anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.models.dashboard import GridPos, Panel, RowPanel

COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side, of one height, from the left; `widths` are theirs in columns."""

    height: int
    widths: Sequence[int]
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a heading; a section without one begins the dashboard."""

    title: str
    lines: Sequence[Line] = field(default_factory=list)


def even(height: int, panels: Sequence[Panel], per_line: int) -> list[Line]:
    """Panels of one size, so many a line."""
    width = COLUMNS // per_line
    parts = [panels[at : at + per_line] for at in range(0, len(panels), per_line)]
    return [Line(height, [width] * len(part), part) for part in parts]


def placed(sections: Iterable[Section]) -> list[Panel | RowPanel]:
    """The panels in their order, each with its place and a number; sections without lines are left out."""
    found: list[Panel | RowPanel] = []
    y = 0
    for section in sections:
        if not section.lines:
            continue
        if section.title:
            found.append(
                RowPanel(title=section.title, id_val=len(found) + 1, grid_pos=GridPos(h=1, w=COLUMNS, x=0, y=y))
            )
            y += 1
        for line in section.lines:
            if sum(line.widths) > COLUMNS or len(line.widths) != len(line.panels):
                raise ValueError(f"{len(line.panels)} panels of {line.widths} columns do not fit a line of {COLUMNS}")
            x = 0
            for width, panel in zip(line.widths, line.panels, strict=True):
                panel.id_val = len(found) + 1
                panel.grid_pos = GridPos(h=line.height, w=width, x=x, y=y)
                found.append(panel)
                x += width
            y += line.height
    return found
