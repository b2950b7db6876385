"""What is wrong with a catalog, where, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. ``subject`` names what it is about (``kpi "revenue"``); ``hint`` may be empty."""

    file: str
    line: int
    subject: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        subject = f"{self.subject}: " if self.subject else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}: {subject}{self.message}{hint}"


@dataclass(slots=True)
class Problems:
    """All problems of a load, in the order they were found. ``structural``: those that the JSON Schema refuses too."""

    found: list[Problem] = field(default_factory=list)
    structural: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem, *, structural: bool) -> None:
        self.found.append(problem)
        if structural:
            self.structural.append(problem)

    def in_order(self) -> tuple[Problem, ...]:
        """By file and line, each once."""
        return tuple(sorted(dict.fromkeys(self.found)))
