"""What may stand where in a catalog: each kind reads a node, and states itself as JSON Schema.

Reading and schema lie beside each other, so that what an editor accepts is what the loader accepts. A kind never raises
for what it reads: it reports to the `Place` and gives `INVALID`. Faults that the schema cannot see (a time zone that
does not exist) are reported with ``structural=False``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from engine.catalog import document
from engine.catalog.document import Node, Scalar
from engine.catalog.matching import one_of
from engine.catalog.problems import Problem, Problems

Schema = dict[str, Any]

_PERCENT: Final = r"\s*[-+]?[0-9]{1,20}(\.[0-9]{1,20})?\s*%\s*"


class Invalid(Enum):
    INVALID = "invalid"


INVALID: Final = Invalid.INVALID


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: the file, what the messages are about, and the key within it."""

    problems: Problems
    file: str
    subject: str
    key: str = ""

    def at(self, key: str) -> Place:
        return replace(self, key=f"{self.key}.{key}" if self.key else key)

    def about(self, subject: str) -> Place:
        return replace(self, subject=f"{self.subject} {subject}".strip(), key="")

    def problem(self, line: int, message: str, hint: str = "", *, structural: bool = True) -> Invalid:
        text = f"{self.key}: {message}" if self.key else message
        self.problems.add(Problem(self.file, line, self.subject, text, hint), structural=structural)
        return INVALID


class Kind(Protocol):
    def read(self, node: Node, place: Place) -> Any:
        """The value of the node, or INVALID after reporting why."""

    def schema(self) -> Schema:
        """JSON Schema 2020-12 of the nodes that `read` accepts, as far as a schema can say it."""


def _scalar(node: Node, place: Place, wanted: str, hint: str) -> Scalar | None:
    if not isinstance(node, Scalar) or node.kind == "null":
        place.problem(node.line, f"{_shown(node)} where {wanted} is expected", hint)
        return None
    return node


def _shown(node: Node) -> str:
    return "nothing" if isinstance(node, Scalar) and node.kind == "null" else node.shown


@dataclass(frozen=True, slots=True)
class Text:
    """Text, quoted or not, that is not a number, a boolean or null to YAML."""

    pattern: str | None = None
    says: str = "text"
    hint: str = ""
    longest: int = 2_000

    def read(self, node: Node, place: Place) -> str | Invalid:
        scalar = _scalar(node, place, self.says, self.hint)
        if scalar is None:
            return INVALID
        if scalar.kind != "string":
            quotable = self.pattern is None or re.fullmatch(self.pattern, scalar.text)
            hint = f'quote it: "{scalar.text}"' if quotable else self.hint
            return place.problem(node.line, f"{scalar.text} is {_named(scalar)}, not {self.says}", hint)
        text = scalar.text
        if not text.strip():
            return place.problem(node.line, f"empty where {self.says} is expected", self.hint)
        if len(text) > self.longest:
            return place.problem(node.line, f"longer than {self.longest:,} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            return place.problem(node.line, f'"{text}" is not {self.says}', self.hint)
        return text

    def schema(self) -> Schema:
        schema: Schema = {"type": "string", "pattern": f"^(?:{self.pattern})$" if self.pattern else r"\S"}
        return schema | {"maxLength": self.longest}


def _named(scalar: Scalar) -> str:
    return {"boolean": "a boolean", "integer": "a number", "float": "a number"}.get(scalar.kind, "text")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words. ``refused`` words are known, but not available: they get a message of their own."""

    words: tuple[str, ...]
    noun: str = "choices"
    refused: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)  # what others call it, and what it is called here

    def read(self, node: Node, place: Place) -> str | Invalid:
        scalar = _scalar(node, place, f"one of {', '.join(self.words)}", "")
        if scalar is None:
            return INVALID
        if scalar.text in self.words:
            return scalar.text
        if scalar.text in self.refused:
            return place.problem(node.line, self.refused[scalar.text], f"use one of {', '.join(self.words)}")
        if scalar.text in self.instead:
            return place.problem(node.line, f"unknown {scalar.shown}", f"write {self.instead[scalar.text]}")
        return place.problem(node.line, f"unknown {scalar.shown}", one_of(scalar.text, self.words, self.noun))

    def schema(self) -> Schema:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int
    most: int

    def read(self, node: Node, place: Place) -> int | Invalid:
        wanted = f"a whole number from {self.least:,} to {self.most:,}"
        scalar = _scalar(node, place, wanted, "")
        if scalar is None:
            return INVALID
        if scalar.kind != "integer" or len(scalar.text) > 20 or not self.least <= int(scalar.text) <= self.most:
            return place.problem(node.line, f"{scalar.shown} is not {wanted}")
        return int(scalar.text)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Version:
    """The version of the catalog's form: 1."""

    def read(self, node: Node, place: Place) -> int | Invalid:
        if isinstance(node, Scalar) and node.plain and node.text == "1":
            return 1
        return place.problem(node.line, f"{_shown(node)} is not a version that this program knows", "write version: 1")

    def schema(self) -> Schema:
        return {"const": 1}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, kept with the digits it was written with."""

    def read(self, node: Node, place: Place) -> Decimal | Invalid:
        scalar = _scalar(node, place, "a number", "")
        if scalar is None:
            return INVALID
        if scalar.kind not in ("integer", "float"):
            return place.problem(node.line, f"{scalar.shown} is not a number", _unquoted(scalar.text))
        value = Decimal(scalar.text)
        if len(value.as_tuple().digits) > 38 or not -38 <= value.adjusted() <= 38:
            return place.problem(node.line, f"{scalar.text} has more than 38 digits", structural=False)
        return value

    def schema(self) -> Schema:
        return {"type": "number"}


def _unquoted(text: str) -> str:
    bare = re.sub(r"[_,' ](?=\d{3}\b)", "", text.strip())
    return f"write {bare}, without quotes or separators" if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", bare) else ""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of one: 0.02 or 2%, within bounds (inclusive or not)."""

    least: Decimal
    most: Decimal
    open_ended: bool = False  # the bounds themselves are outside
    example: str = "2%"

    def read(self, node: Node, place: Place) -> Decimal | Invalid:
        scalar = _scalar(node, place, f"a share such as {self.example}", "")
        if scalar is None:
            return INVALID
        text, percent = scalar.text.strip(), False
        if scalar.kind == "string" and text.endswith("%"):
            text, percent = text[:-1].strip(), True
        if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text) or (scalar.kind == "string" and not percent):
            return place.problem(node.line, f"{scalar.shown} is not a share", f"write it as {self.example}")
        value = Decimal(text) / 100 if percent else Decimal(text)
        inside = self.least < value < self.most if self.open_ended else self.least <= value <= self.most
        if not inside:
            bounds = f"{_percent(self.least)} to {_percent(self.most)}" + (", both excluded" if self.open_ended else "")
            hint = f"write {scalar.text}%" if not percent and self.least <= value / 100 <= self.most else ""
            return place.problem(
                node.line,
                f"{scalar.text} is outside of {bounds}",
                hint or f"as in {self.example}",
                structural=not percent,
            )
        return value

    def schema(self) -> Schema:
        low, high = ("exclusiveMinimum", "exclusiveMaximum") if self.open_ended else ("minimum", "maximum")
        number = {"type": "number", low: float(self.least), high: float(self.most)}
        percent = {"type": "string", "pattern": r"^\s*[0-9]{1,20}(\.[0-9]{1,20})?\s*%\s*$"}
        return {"anyOf": [number, percent]}


def _percent(value: Decimal) -> str:
    return f"{(value * 100).normalize():f}%"


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar date, as 2026-01-31."""

    def read(self, node: Node, place: Place) -> str | Invalid:
        scalar = _scalar(node, place, "a date such as 2026-01-31", "")
        if scalar is None:
            return INVALID
        if scalar.kind != "string" or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", scalar.text):
            return place.problem(node.line, f"{scalar.shown} is not a date", "write it as 2026-01-31")
        try:
            return date.fromisoformat(scalar.text).isoformat()
        except ValueError:
            return place.problem(node.line, f"there is no day {scalar.text}", structural=False)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Text that a function of the engine reads; its ValueError is the message."""

    parse: Callable[[str], Any]
    pattern: str
    says: str
    hint: str = ""

    def read(self, node: Node, place: Place) -> Any:
        scalar = _scalar(node, place, self.says, self.hint)
        if scalar is None:
            return INVALID
        if scalar.kind != "string":
            return place.problem(node.line, f"{scalar.shown} is not {self.says}", self.hint)
        try:
            return self.parse(scalar.text)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            return place.problem(node.line, message, hint, structural=not re.fullmatch(self.pattern, scalar.text))

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Name:
    """Text in quotes or not, where numbers and booleans are as welcome: a value of a dimension, of a label."""

    def read(self, node: Node, place: Place) -> str | Invalid:
        if not isinstance(node, Scalar) or node.kind == "null":
            return place.problem(node.line, f"{_shown(node)} where a single value is expected")
        return node.text

    def schema(self) -> Schema:
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, node: Node, place: Place) -> bool | Invalid:
        if isinstance(node, Scalar) and node.kind == "boolean":
            return node.text.lower() == "true"
        return place.problem(node.line, f"{_shown(node)} is not true or false", "write true, or leave it out")

    def schema(self) -> Schema:
        return {"type": "boolean"}


class Figure(NamedTuple):
    """A number as it was meant: 20% is 0.2, and ``percent``."""

    value: Decimal
    percent: bool

    def __str__(self) -> str:
        return _percent(self.value) if self.percent else f"{self.value:f}"


@dataclass(frozen=True, slots=True)
class Figures:
    """A number, or a share with its sign %, either may be below zero. Which of the two is right, a check says."""

    example: str = "100 or 20%"

    def read(self, node: Node, place: Place) -> Figure | Invalid:
        scalar = _scalar(node, place, f"a number such as {self.example}", "")
        if scalar is None:
            return INVALID
        if scalar.kind == "string" and re.fullmatch(_PERCENT, scalar.text):
            return Figure(Decimal(scalar.text.strip().removesuffix("%").strip()) / 100, True)
        read = Amount().read(node, place)
        return read if isinstance(read, Invalid) else Figure(read, False)

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^(?:{_PERCENT})$"}]}


@dataclass(frozen=True, slots=True)
class Above0:
    """A number above 0, up to and with ``most``."""

    most: Decimal

    def read(self, node: Node, place: Place) -> Decimal | Invalid:
        read = Amount().read(node, place)
        if isinstance(read, Invalid) or 0 < read <= self.most:
            return read
        return place.problem(node.line, f"{read} is not a number above 0 and at most {self.most}")

    def schema(self) -> Schema:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": float(self.most)}


@dataclass(frozen=True, slots=True)
class OneOrList:
    """A single value, or a list of more."""

    one: Kind
    listed: Kind
    says: str
    hint: str

    def read(self, node: Node, place: Place) -> Any:
        if isinstance(node, document.Mapping):
            return place.problem(node.line, f"{node.shown} where {self.says} is expected", self.hint)
        return (self.listed if isinstance(node, document.Sequence) else self.one).read(node, place)

    def schema(self) -> Schema:
        return {"anyOf": [self.one.schema(), self.listed.schema()]}


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Kind
    what: str
    least: int = 0
    example: str = ""
    most: int = 10_000

    def read(self, node: Node, place: Place) -> list[Any] | Invalid:
        if not isinstance(node, document.Sequence):
            hint = self.example or "write it as [a, b]"
            return place.problem(node.line, f"{_shown(node)} where a list of {self.what} is expected", hint)
        if len(node.items) < self.least:
            return place.problem(node.line, f"needs at least {self.least} of the {self.what}", self.example)
        if len(node.items) > self.most:
            return place.problem(node.line, f"has more than {self.most} {self.what}", self.example)
        values = [self.item.read(item, place.at(str(number))) for number, item in enumerate(node.items, 1)]
        return INVALID if any(value is INVALID for value in values) else values

    def schema(self) -> Schema:
        schema = {"type": "array", "items": self.item.schema(), "maxItems": self.most}
        return schema | ({"minItems": self.least} if self.least else {})


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping of names that the author chooses. Entries that cannot be read are INVALID, so that they stay known."""

    value: Kind
    what: str  # what each entry is, as in: field
    names: str
    says: str
    subjects: bool = True  # messages about an entry begin with it; else it is only part of the key
    least: int = 0

    def read(self, node: Node, place: Place) -> dict[str, Any] | Invalid:
        if not isinstance(node, document.Mapping):
            return place.problem(
                node.line, f"{_shown(node)} where a mapping of {self.what}s is expected", "write NAME: ..."
            )
        if len(node.entries) < self.least:
            return place.problem(node.line, f"needs at least one {self.what}")
        found: dict[str, Any] = {}
        for name, value in node.entries.items():
            within = place.about(f'{self.what} "{name}"') if self.subjects else place.at(name)
            if not re.fullmatch(self.names, name):
                within.problem(node.key_lines[name], f'"{name}" is not {self.says}', "rename it")
            found[name] = self.value.read(value, within)
        return found

    def schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.names})$"},
            "additionalProperties": self.value.schema(),
        }
        return schema | ({"minProperties": self.least} if self.least else {})
