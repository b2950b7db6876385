"""Mappings with known keys: `Record` has one set of keys, `Variant` as many as its discriminating key has values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.catalog import document
from engine.catalog.document import Node, Scalar
from engine.catalog.kinds import INVALID, Choice, Invalid, Kind, Place, Schema
from engine.catalog.matching import close_to


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a record. Nothing is built while an ``essential`` or required one cannot be read."""

    kind: Kind
    description: str
    required: bool = False
    essential: bool = False
    default: Any = None
    examples: tuple[Any, ...] = ()
    hint: str = ""  # what to write when it is missing

    def schema(self) -> Schema:
        schema: Schema = {"description": self.description} | self.kind.schema()
        if self.default is not None:
            schema["default"] = self.default
        if self.examples:
            schema["examples"] = list(self.examples)
        return schema


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a record: the values that could be, the keys that were there, whether it can be built from."""

    values: Mapping[str, Any]
    present: frozenset[str]
    complete: bool

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)


@dataclass(frozen=True, slots=True)
class Record:
    what: str
    keys: Mapping[str, Key]
    description: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)  # keys that people try, and what to write instead
    one_of: tuple[str, ...] = ()  # exactly one of these keys is there

    def read(self, node: Node, place: Place) -> Read | Invalid:
        if not isinstance(node, document.Mapping):
            shown = "nothing" if isinstance(node, Scalar) and node.kind == "null" else node.shown
            keys = ", ".join(self.keys)
            return place.problem(
                node.line, f"{shown} where a {self.what} is expected", f"it is a mapping with the keys {keys}"
            )
        values: dict[str, Any] = {}
        complete = True
        meant: set[str] = set()  # keys that are there under a wrong name
        for name, value in node.entries.items():
            key = self.keys.get(name)
            if key is None:
                meant.update(self._unknown(name, node, place))
                continue
            read = key.kind.read(value, place.at(name))
            if read is INVALID:
                complete = complete and not (key.essential or key.required)
            else:
                values[name] = read
        for name in self._missing(node):
            complete = False
            if name not in meant:
                hint = self.keys[name].hint or f"write {name}: ..."
                place.problem(node.line, f"{name} is missing", hint)
        given = [name for name in self.one_of if name in node.entries]
        if self.one_of and len(given) != 1:
            complete = False
            if given or not meant:
                message = (
                    f"{' and '.join(given)} together"
                    if given
                    else f"{_article(self.what)} {self.what} that says nothing"
                )
                place.problem(node.line, message, f"write one of {', '.join(self.one_of)}")
        return Read(values, frozenset(node.entries), complete)

    def _missing(self, node: document.Mapping) -> Iterator[str]:
        return (name for name, key in self.keys.items() if key.required and name not in node.entries)

    def meant(self, name: str) -> str | None:
        """The key that an unknown one probably stands for."""
        words = re.findall(r"[a-z_]+", self.instead.get(name, ""))
        if words[:1] == ["write"] and words[1] in self.keys:
            return str(words[1])
        return close_to(name, tuple(self.keys))

    def _unknown(self, name: str, node: document.Mapping, place: Place) -> set[str]:
        """Report an unknown key; gives the key that was probably meant, where that one is not there too."""
        message = f'unknown key "{name}"'
        close = self.meant(name)
        if any(mark in name for mark in "()'\""):
            hint = 'text that holds a comma is quoted within { }, as in expr: "round(amount, 2)"'
        elif name in self.instead:
            hint = self.instead[name]
        elif close is not None:
            hint = f'did you mean "{close}"?'
        else:
            hint = f"a {self.what} has {', '.join(self.keys)}"
        place.problem(node.key_lines[name], message, hint)
        return set() if close is None or close in node.entries else {close}

    def schema(self) -> Schema:
        required = [name for name, key in self.keys.items() if key.required]
        schema: Schema = {"description": self.description} if self.description else {}
        schema |= {
            "type": "object",
            "properties": {name: key.schema() for name, key in self.keys.items()},
            "additionalProperties": False,
        }
        if self.one_of:
            schema["oneOf"] = [{"required": [name]} for name in self.one_of]
        return schema | ({"required": required} if required else {})


def _article(what: str) -> str:
    return "an" if what[:1] in "aeio" else "a"


@dataclass(frozen=True, slots=True)
class Variant:
    """A record whose keys depend on the word under one of them, ``key``. ``default`` is what a missing one means."""

    what: str
    key: str
    records: Mapping[str, Record]
    description: str
    default: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    implied: Mapping[str, str] = field(default_factory=dict)  # a key that only this variant has, when `key` is missing

    def read(self, node: Node, place: Place) -> Read | Invalid:
        if not isinstance(node, document.Mapping):
            shown = "nothing" if isinstance(node, Scalar) and node.kind == "null" else node.shown
            hint = f"it is a mapping whose {self.key} is one of {', '.join(self.records)}"
            return place.problem(node.line, f"{shown} where a {self.what} is expected", hint)
        word = self._word(node, place)
        if word is None:
            return INVALID
        return self.records[word].read(node, place)

    def _word(self, node: document.Mapping, place: Place) -> str | None:
        words = tuple(self.records)
        given = node.entries.get(self.key)
        if given is not None:
            read = Choice(words, f"{self.what} types", self.refused).read(given, place.at(self.key))
            return None if isinstance(read, Invalid) else read
        for key, word in self.implied.items():
            if key in node.entries:
                place.problem(node.line, f"{self.key} is missing", f"write {self.key}: {word}")
                return None
        if self.default is not None:
            return self.default
        place.problem(node.line, f"{self.key} is missing", f"write {self.key}: one of {', '.join(words)}")
        return None

    def schema(self) -> Schema:
        """An if-then for each word, so that an editor completes the keys of the one that is written."""
        words = list(self.records)
        chosen: Schema = {"properties": {self.key: {"enum": words}}, "required": [self.key]}
        branches = []
        for word, record in self.records.items():
            named: Schema = {"properties": {self.key: {"const": word}}, "required": [self.key]}
            absent: Schema = {"not": {"required": [self.key]}}
            condition = {"anyOf": [absent, named]} if word == self.default else named
            branches.append({"if": condition, "then": record.schema()})
        discriminator = {"description": self.description, "enum": words}
        schema: Schema = {"type": "object", "properties": {self.key: discriminator}, "allOf": branches}
        return schema if self.default is not None else schema | {"required": chosen["required"]}


@dataclass(frozen=True, slots=True)
class Either:
    """A single value, or a record that says more."""

    scalar: Kind
    record: Record

    def read(self, node: Node, place: Place) -> Any:
        return self.record.read(node, place) if isinstance(node, document.Mapping) else self.scalar.read(node, place)

    def schema(self) -> Schema:
        return {"anyOf": [self.scalar.schema(), self.record.schema()]}
