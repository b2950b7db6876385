"""A catalog between reading and checking: what could be built, what was at least declared, where all of it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from engine.catalog import document
from engine.catalog.alerting import Alert, Holidays, Silence
from engine.catalog.document import Node
from engine.catalog.model import Calendar, FieldType, Goal, Kpi, Metric, Source
from engine.catalog.problems import Problem
from engine.catalog.records import Read
from engine.expressions import ExpressionError, Term, compile_derived

Path = tuple[str | int, ...]
SUBJECTS: Final = {
    "goals": "goal",
    "sources": "source",
    "metrics": "metric",
    "kpis": "kpi",
    "silences": "silence",
    "fields": "field",
}


class Finding(NamedTuple):
    """What a check found: ``path`` leads to the key, as in ("kpis", "revenue", "window", "slide")."""

    path: Path
    message: str
    hint: str = ""


class Rule(NamedTuple):
    """An alert as it was read, and what could be built of it."""

    read: Read
    alert: Alert | None


@dataclass(slots=True)
class Draft:
    """``declared`` has every name of a section, built or not, so that one fault is not told twice."""

    name: str = ""
    calendar: Calendar = field(default_factory=Calendar)
    goals: dict[str, Goal] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    kpis: dict[str, Kpi] = field(default_factory=dict)
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)  # by KPI, each at the place it was written at
    silences: dict[str, tuple[Read, Silence]] = field(default_factory=dict)
    holidays: Holidays | None = None
    declared: dict[str, set[str]] = field(default_factory=lambda: {section: set() for section in SUBJECTS})
    unread_sections: set[str] = field(default_factory=set)  # there, but not as a mapping or under a wrong name
    unread_fields: dict[str, set[str]] = field(default_factory=dict)  # by source: declared with a type nobody can read

    _terms: dict[str, tuple[Term, ...]] = field(default_factory=dict)

    def types(self, source: Source) -> dict[str, FieldType]:
        return {name: declared.type for name, declared in source.fields.items()}

    def metrics_of(self, kpi: Kpi) -> Iterator[tuple[str, str]]:
        """Key and name of each metric that a simple or ratio KPI names."""
        for key in ("metric", "numerator", "denominator"):
            named = getattr(kpi, key)
            if named is not None:
                yield key, named

    def terms(self, expr: str) -> tuple[Term, ...]:
        """The terms of a derived expression, whether they exist or not; none of what is not an expression."""
        if expr not in self._terms:
            try:
                self._terms[expr] = compile_derived(expr).terms
            except ExpressionError:
                self._terms[expr] = ()
        return self._terms[expr]

    def sources_of(self, kpi: Kpi) -> tuple[str, ...]:
        """The sources that a KPI reads through its metrics, each once; of those that could be built."""
        names = [name for _, name in self.metrics_of(kpi)]
        if kpi.expr is not None:
            names = [name for name, _ in self.terms(kpi.expr)]
        sources = (self.metrics[name].source for name in names if name in self.metrics)
        return tuple(source for source in dict.fromkeys(sources) if source in self.sources)


@dataclass(frozen=True, slots=True)
class Entry:
    file: str
    line: int
    node: Node


@dataclass(slots=True)
class Whereabouts:
    """Where each entry of each section stands; where everything else of the catalog does, is found by walking."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    top: dict[str, Entry] = field(default_factory=dict)  # name, defaults
    start: tuple[str, int] = ("catalog", 1)

    def find(self, path: Path) -> tuple[str, int, Node | None]:
        """File, line and node of a path; of its deepest part that is there, with no node, where the rest is not."""
        entry, rest = self._entry(path)
        if entry is None:
            return (*self.start, None)
        line, node = entry.line, entry.node
        for step in rest:
            inner: Node | None = None
            if isinstance(node, document.Mapping) and isinstance(step, str):
                inner = node.entries.get(step)
                line = node.key_lines.get(step, line)
            elif isinstance(node, document.Sequence) and isinstance(step, int) and step < len(node.items):
                inner = node.items[step]
                line = inner.line
            if inner is None:
                return entry.file, line, None
            node = inner
        return entry.file, line, node

    def _entry(self, path: Path) -> tuple[Entry | None, Path]:
        if path and path[0] in self.top:
            return self.top[str(path[0])], path[1:]
        if len(path) > 1:
            return self.entries.get((str(path[0]), str(path[1]))), path[2:]
        return None, ()

    def problem(self, finding: Finding) -> Problem:
        file, line, _ = self.find(finding.path)
        subject, key = described(finding.path)
        return Problem(file, line, subject, f"{key}: {finding.message}" if key else finding.message, finding.hint)


def described(path: Path) -> tuple[str, str]:
    """A path as the subject of a message and the key within it: ``kpi "revenue"`` and ``window.slide``."""
    subjects: list[str] = []
    rest = list(path)
    while len(rest) > 1 and rest[0] in SUBJECTS and (not subjects or rest[0] == "fields"):
        subjects.append(f'{SUBJECTS[str(rest[0])]} "{rest[1]}"')
        rest = rest[2:]
    return " ".join(subjects), ".".join(str(step + 1) if isinstance(step, int) else step for step in rest)
