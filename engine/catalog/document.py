"""YAML text as nodes that know their line, and every fault of the text itself.

Reads YAML 1.2's core schema: ``NO``, ``on`` and ``2026-10-01`` are strings, numbers keep the digits they were written
with. Made from PyYAML's parser events (libyaml, more than ten times the speed of a pure Python parser), because its
constructor neither sees a key written twice nor keeps positions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

import yaml

MAX_TEXT_BYTES: Final = 5_000_000
MAX_NODES: Final = 500_000  # counted with aliases written out, so that a few lines cannot stand for millions
MAX_DEPTH: Final = 40

ScalarKind = Literal["null", "boolean", "integer", "float", "string"]

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: its text, and whether it stood there without quotes."""

    line: int
    text: str
    plain: bool

    @property
    def kind(self) -> ScalarKind:
        if not self.plain:
            return "string"
        if self.text in _NULL:
            return "null"
        if self.text in _BOOLEAN:
            return "boolean"
        if _INTEGER.fullmatch(self.text):
            return "integer"
        return "float" if _FLOAT.fullmatch(self.text) else "string"

    @property
    def shown(self) -> str:
        return self.text if self.plain and self.text else f'"{self.text}"'


@dataclass(slots=True)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)

    @property
    def shown(self) -> str:
        return "a list"


@dataclass(slots=True)
class Mapping:
    """Entries in the order they were written; ``key_lines`` has the line of each key."""

    line: int
    entries: dict[str, Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return "a mapping (key: value)"


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the text itself, whatever it was to mean."""

    line: int
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Document:
    """``root`` is None when the text could not be read to its end; the faults say why."""

    root: Mapping | None
    faults: tuple[Fault, ...]


def read_document(text: str) -> Document:
    """Read one YAML text whose root is a mapping. Never raises for what the text holds."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_TEXT_BYTES or len(text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
        return Document(None, (Fault(1, "the file is larger than 5 MB", "split the catalog into a folder of files"),))
    builder = _Builder()
    if _UNPRINTABLE.search(text):
        return Document(None, (_character_fault(text),))
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except _Refused as refused:
        return Document(None, (*builder.faults, refused.fault))
    except yaml.MarkedYAMLError as error:
        return Document(None, (*builder.faults, _syntax_fault(error, text)))
    except yaml.reader.ReaderError:
        return Document(None, (*builder.faults, _character_fault(text)))
    if builder.root is None:
        hint = "start with version: 1 and name: ..."
        return Document(None, (*builder.faults, Fault(1, "the file is empty", hint)))
    if not isinstance(builder.root, Mapping):
        shown = builder.root.shown
        fault = Fault(builder.root.line, f"a catalog is a mapping of keys, not {shown}", "start with version: 1")
        return Document(None, (*builder.faults, fault))
    return Document(builder.root, tuple(builder.faults))


class _Refused(Exception):
    def __init__(self, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.fault = Fault(line, message, hint)


def _too_deep(line: int) -> _Refused:
    return _Refused(line, f"nested more than {MAX_DEPTH} levels deep", "a catalog needs no more than ten")


@dataclass(slots=True)
class _Open:
    """A collection that is still being read."""

    node: Sequence | Mapping
    anchor: str | None
    key: str | None = None
    key_line: int = 0
    size: int = 1
    depth: int = 1
    repeated: bool = False  # the value to come belongs to a key that was there already


class _Builder:
    """Takes parser events in order; keeps no recursion, so depth is bounded by `MAX_DEPTH` and not by the stack."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.faults: list[Fault] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        match event:
            case yaml.ScalarEvent():
                self._refuse_tag(event, line)
                scalar = Scalar(line, event.value, not event.style)
                if event.anchor:
                    self._anchors[event.anchor] = (scalar, 1, 0)
                self._add(scalar, 1, 0)
            case yaml.MappingStartEvent():
                self._refuse_tag(event, line)
                self._push(_Open(Mapping(line), event.anchor), line)
            case yaml.SequenceStartEvent():
                self._refuse_tag(event, line)
                self._push(_Open(Sequence(line), event.anchor), line)
            case yaml.CollectionEndEvent():
                done = self._open.pop()
                if done.anchor:
                    self._anchors[done.anchor] = (done.node, done.size, done.depth)
                self._add(done.node, done.size, done.depth)
            case yaml.AliasEvent():
                self._alias(event.anchor or "", line)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _Refused(
                        line, "a second YAML document begins here", "remove the ---; use a folder for several files"
                    )

    def _push(self, opened: _Open, line: int) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.node, Mapping) and parent.key is None:
            raise _Refused(line, "a list or mapping cannot be a key", "write a name before the colon")
        if len(self._open) >= MAX_DEPTH:
            raise _too_deep(line)
        self._open.append(opened)

    def _add(self, node: Node, size: int, depth: int) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.size += size
        parent.depth = max(parent.depth, depth + 1)
        if parent.depth > MAX_DEPTH:
            raise _too_deep(node.line)
        if parent.size > MAX_NODES:
            raise _Refused(node.line, f"more than {MAX_NODES:,} values", "split the catalog, or use fewer aliases")
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            self._key(parent, parent.node, node)
        else:
            if not parent.repeated:
                parent.node.entries[parent.key] = node
                parent.node.key_lines[parent.key] = parent.key_line
            parent.key = None

    def _key(self, parent: _Open, mapping: Mapping, node: Node) -> None:
        if not isinstance(node, Scalar):
            raise _Refused(node.line, "a list or mapping cannot be a key", "write a name before the colon")
        key = node.text
        if key == "<<" and node.plain:
            raise _Refused(node.line, "merge keys (<<) are not part of YAML 1.2", "write the keys out")
        parent.key, parent.key_line, parent.repeated = key, node.line, key in mapping.entries
        if parent.repeated:
            first = mapping.key_lines[key]
            self.faults.append(
                Fault(
                    node.line, f'key "{key}" is written twice, first on line {first}', "remove or rename one of the two"
                )
            )

    def _alias(self, anchor: str, line: int) -> None:
        known = self._anchors.get(anchor)
        if known is None:
            within = any(opened.anchor == anchor for opened in self._open)
            message = f"alias *{anchor} stands within its own anchor" if within else f"alias *{anchor} has no anchor"
            raise _Refused(line, message, f"write the value out, or mark it with &{anchor} before its first use")
        self._add(*known)

    @staticmethod
    def _refuse_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
        if event.tag is not None and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(line, f"tags such as {tag} are not used in a catalog", "remove the tag")


def _syntax_fault(error: yaml.MarkedYAMLError, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    lines = text.splitlines()
    for number in (line, line - 1):
        if 0 < number <= len(lines) and re.match(r"\s*\t", lines[number - 1]):
            return Fault(number, "a tab in the indentation", "indent with spaces")
    problem = (error.problem or "the text cannot be read").strip()
    message = f"not YAML: {problem}"
    if error.context:
        message += f" ({error.context.strip()})"
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return Fault(line, message, _syntax_hint(problem, shown))


def _syntax_hint(problem: str, shown: str) -> str:
    if "mapping values are not allowed" in problem:
        return "check the indentation, and quote text that holds a colon and a space"
    if "cannot start any token" in problem:
        return 'quote text that begins with one of @ ` % & * ! | >, as in "..."'
    if "did not find expected ',' or" in problem or "found unexpected end of stream" in problem:
        return "close every [, { and quote"
    if "expected <block end>" in problem or "did not find expected key" in problem:
        return "keys of one mapping stand in one column; check indentation and quotes"
    return f"check the line: {shown[:60]}" if shown else "check indentation and quotes"


def _character_fault(text: str) -> Fault:
    found = _UNPRINTABLE.search(text)
    line = text.count("\n", 0, found.start()) + 1 if found else 1
    return Fault(line, "a control character that YAML does not allow", "remove it")


def plain(node: Node) -> object:
    """The node as an editor gives it to a JSON Schema check: dict, list, str, int, float, bool or None."""
    match node:
        case Mapping():
            return {key: plain(value) for key, value in node.entries.items()}
        case Sequence():
            return [plain(item) for item in node.items]
        case Scalar():
            return _plain_scalar(node)


def _plain_scalar(scalar: Scalar) -> object:
    match scalar.kind:
        case "null":
            return None
        case "boolean":
            return _BOOLEAN[scalar.text]
        case "integer":
            return int(scalar.text) if len(scalar.text) < 4000 else float(scalar.text)
        case "float":
            return float(scalar.text)
        case "string":
            return scalar.text
