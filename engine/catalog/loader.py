"""From YAML texts to a checked catalog: parse once, report everything.

    loaded = parse([("storefront.yaml", text)])
    if loaded.catalog is None:
        for problem in loaded.problems:
            print(problem)      # storefront.yaml:14: kpi "revenue": window.slide: 7m does not divide the size 1h; ...

Each file is read as far as its YAML goes, the entries of all files are put together, what can be built is built, and
every check looks at that. Pure: texts come in, values go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.catalog import building, building_alerts, checks, document, vocabulary
from engine.catalog.drafts import SUBJECTS, Draft, Entry, Finding, Path, Whereabouts, described
from engine.catalog.kinds import INVALID, Place
from engine.catalog.model import Catalog
from engine.catalog.problems import Problem, Problems
from engine.catalog.records import Read

SECTIONS = tuple(section for section in SUBJECTS if section != "fields")


@dataclass(frozen=True, slots=True)
class Loaded:
    """``catalog`` is None exactly when there are problems. ``notices`` are said of a catalog that is right.

    ``structural`` are those problems that a JSON Schema check against `engine.catalog.schema` finds as well.
    """

    catalog: Catalog | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...] = ()
    structural: tuple[Problem, ...] = ()
    whereabouts: Whereabouts | None = None

    def locate(self, path: Path) -> str:
        """``file:line`` of what a path leads to, as lint's advice has it."""
        if self.whereabouts is None:
            return ""
        file, line, _ = self.whereabouts.find(path)
        return f"{file}:{line}"


def parse(files: Sequence[tuple[str, str]]) -> Loaded:
    """Load (name, text) pairs as one catalog. Never raises for what the texts hold."""
    return _Load(sorted(files)).run()


class _Load:
    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        self.files = files
        self.problems = Problems()
        self.whereabouts = Whereabouts(start=(files[0][0] if files else "catalog", 1))
        self.sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self.top: dict[str, Any] = {}
        self.draft = Draft()
        self.unread_file = False

    def run(self) -> Loaded:
        if not self.files:
            self._report(Finding((), "there is no YAML file here", "write a catalog into NAME.yaml"))
        for file, text in self.files:
            self._file(file, text)
        self._name()
        self._build()
        if not self.unread_file:
            for finding in checks.all_findings(self.draft, self.whereabouts):
                self._report(finding)
        found = self.problems.in_order()
        catalog = None if found else self._catalog()
        return Loaded(catalog, found, (), tuple(self.problems.structural), self.whereabouts)

    def _report(self, finding: Finding) -> None:
        self.problems.add(self.whereabouts.problem(finding), structural=False)

    def _file(self, file: str, text: str) -> None:
        found = document.read_document(text)
        for fault in found.faults:
            self.problems.add(Problem(file, fault.line, "", fault.message, fault.hint), structural=False)
        if found.root is None:
            self.unread_file = True
            return
        read = vocabulary.catalog.read(found.root, Place(self.problems, file, ""))
        if not isinstance(read, Read):
            return
        for key in ("name", "defaults", "lint"):
            self._once(file, key, found.root, read)
        misspelt = {vocabulary.catalog.meant(key) for key in found.root.entries if key not in vocabulary.catalog.keys}
        for section in SECTIONS:
            node = found.root.entries.get(section)
            if section in misspelt or (node is not None and not isinstance(node, document.Mapping)):
                self.draft.unread_sections.add(section)
            if isinstance(node, document.Mapping):
                self._section(file, section, node, read.get(section) or {})

    def _once(self, file: str, key: str, root: document.Mapping, read: Read) -> None:
        node = root.entries.get(key)
        if node is None:
            return
        line = root.key_lines[key]
        first = self.whereabouts.top.get(key)
        if first is not None:
            message = f"{key} stands in {first.file}:{first.line} already"
            self.problems.add(Problem(file, line, "", message, "keep one of the two"), structural=False)
            return
        self.whereabouts.top[key] = Entry(file, line, node)
        self.top[key] = read.get(key, INVALID)

    def _section(self, file: str, section: str, node: document.Mapping, values: dict[str, Any]) -> None:
        for name, value in values.items():
            line = node.key_lines[name]
            first = self.whereabouts.entries.get((section, name))
            if first is not None:
                message = f"declared in {first.file}:{first.line} already"
                subject = described((section, name))[0]
                self.problems.add(
                    Problem(file, line, subject, message, "rename or remove one of the two"), structural=False
                )
                continue
            self.whereabouts.entries[section, name] = Entry(file, line, node.entries[name])
            self.sections[section][name] = value

    def _name(self) -> None:
        if "name" not in self.top and not self.unread_file:
            hint = "write name: NAME, which begins its topics and Redis keys"
            self.problems.add(Problem(*self.whereabouts.start, "", "name is missing", hint), structural=False)
        name = self.top.get("name")
        self.draft.name = name if isinstance(name, str) else ""

    def _build(self) -> None:
        draft = self.draft
        defaults = self.top.get("defaults")
        defaults = defaults if isinstance(defaults, Read) else None
        draft.calendar = building.calendar_of(defaults)
        lateness = building.DEFAULT_LATENESS_US
        if defaults is not None:
            lateness = defaults.get("allowed_lateness", lateness)
            draft.holidays = building_alerts.holidays(defaults.get("holidays"))
        for section, entries in self.sections.items():
            draft.declared[section] = set(entries)
        for name, read in self.sections["goals"].items():
            if isinstance(read, Read) and (goal := building.goal(name, read)) is not None:
                draft.goals[name] = goal
        for name, read in self.sections["sources"].items():
            if isinstance(read, Read) and (source := building.source(name, read, draft, lateness)) is not None:
                draft.sources[name] = source
        for name, read in self.sections["metrics"].items():
            if isinstance(read, Read) and (metric := building.metric(name, read)) is not None:
                draft.metrics[name] = metric
        for name, read in self.sections["kpis"].items():
            if isinstance(read, Read):
                draft.rules[name] = tuple(building.rules(read))
                if (kpi := building.kpi(name, read, draft)) is not None:
                    draft.kpis[name] = kpi
        for name, read in self.sections["silences"].items():
            if not isinstance(read, Read):
                continue
            if (silence := building_alerts.silence(name, read, draft.calendar.timezone)) is not None:
                draft.silences[name] = read, silence

    def _catalog(self) -> Catalog:
        draft = self.draft
        text = "\n---\n".join(text for _, text in self.files)
        return Catalog(
            draft.name,
            draft.calendar,
            draft.goals,
            draft.sources,
            draft.metrics,
            {name: building.settled(kpi) for name, kpi in draft.kpis.items()},
            text,
            building.lint(self.top.get("lint")),
            tuple(silence for _, silence in draft.silences.values()),
            draft.holidays,
        )
