"""The declared fields as msgspec types: one struct per object on the way to a field, so that one pass over the bytes
reads and checks them.

Two fields may read the same place; that place is then kept as raw JSON and read once for each.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec

from engine.catalog.model import Field
from engine.decoding.decimals import DOUBLE_DIGITS

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Extract = Callable[[Sequence[Any]], list[Any]]


class LayoutError(ValueError):
    """The paths of two fields contradict each other. Says which."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """How the values of one field come out of decoded rows. ``raw``: as `msgspec.Raw`, to be read by itself."""

    field: Field
    extract: Extract
    raw: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """``row`` is the type of a decoded event; ``blank`` a row that stands for one that could not be decoded: all of
    its fields are None.
    """

    row: type[msgspec.Struct]
    blank: msgspec.Struct
    leaves: tuple[Leaf, ...]
    required: bool  # whether an event without any of these fields is invalid


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    fields: list[Field] = field(default_factory=list)


def wire_type(declared: Field) -> Any:
    """What a field is in JSON, for msgspec. A decimal may be a string; of one with many digits the very digits are
    needed.
    """
    match declared.type.kind:
        case "string":
            return str
        case "integer":
            return Integer
        case "number":
            return float
        case "boolean":
            return bool
        case "decimal":
            return float | str if declared.type.precision <= DOUBLE_DIGITS else msgspec.Raw
        case "timestamp":
            return int | float if declared.unit else str


def layout_of(fields: Sequence[Field], skip: int = 0) -> Layout:
    """The layout of fields by their paths, of which the first ``skip`` names are taken for granted.

    Raises `LayoutError` when one field's path leads through another field.
    """
    root = _Node()
    for declared in fields:
        node = root
        for name in declared.path[skip:]:
            node = node.children.setdefault(name, _Node())
        node.fields.append(declared)
    extracts: dict[str, tuple[Extract, bool]] = {}
    row, required, blank = _struct(root, (), (), extracts)
    return Layout(row, blank, tuple(Leaf(declared, *extracts[declared.name]) for declared in fields), required)


def _struct(
    node: _Node, attributes: tuple[str, ...], optional: tuple[bool, ...], extracts: dict[str, tuple[Extract, bool]]
) -> tuple[type[msgspec.Struct], bool, msgspec.Struct]:
    members: list[Any] = []
    rename: dict[str, str] = {}
    blanks: dict[str, Any] = {}
    needed = False
    type_: Any  # a msgspec type, made at run time
    for place, (name, child) in enumerate(node.children.items()):
        attribute = f"f{place}"
        rename[attribute] = name
        inner_required = not all(declared.optional for declared in child.fields) if child.fields else False
        if child.children:
            if child.fields:
                inside = next(iter(child.children))
                raise LayoutError(
                    f"field {child.fields[0].name!r} is read from a place that holds {inside!r} of another field"
                )
            type_, inner_required, blanks[attribute] = _inner(child, attributes, optional, attribute, extracts)
        else:
            wires = [wire_type(declared) for declared in child.fields]
            type_ = wires[0] if all(wire == wires[0] for wire in wires) else msgspec.Raw
            extract = _extract((*attributes, attribute), optional)
            for declared in child.fields:
                extracts[declared.name] = (extract, type_ is msgspec.Raw)
            blanks[attribute] = None
        needed |= inner_required
        if type_ is msgspec.Raw:
            members.append((attribute, type_, msgspec.Raw(b"null")))
        elif inner_required:
            members.append((attribute, type_))
        else:
            members.append((attribute, type_ | None, None))
    row = msgspec.defstruct("Event", members, rename=rename, gc=False, kw_only=True)
    return row, needed, row(**blanks)


def _inner(
    node: _Node,
    attributes: tuple[str, ...],
    optional: tuple[bool, ...],
    attribute: str,
    extracts: dict[str, tuple[Extract, bool]],
) -> tuple[type[msgspec.Struct], bool, msgspec.Struct]:
    needed = not all(declared.optional for declared in _below(node))
    return _struct(node, (*attributes, attribute), (*optional, not needed), extracts)


def _below(node: _Node) -> list[Field]:
    return [*node.fields, *(declared for child in node.children.values() for declared in _below(child))]


def _extract(attributes: tuple[str, ...], optional: tuple[bool, ...]) -> Extract:
    """Values of a field, whose ``attributes`` lead to it; ``optional`` says of each but the last whether it may be
    None.
    """
    if not any(optional):
        if len(attributes) == 1 and attributes[0] in _DIRECT:
            return _DIRECT[attributes[0]]
        getter = operator.attrgetter(".".join(attributes))
        return lambda rows: list(map(getter, rows))

    getters = [operator.attrgetter(attribute) for attribute in attributes]

    def through_optional(rows: Sequence[Any]) -> list[Any]:
        for getter in getters:
            rows = [None if row is None else getter(row) for row in rows]
        return list(rows)

    return through_optional


# Attribute access written out takes half the time of attrgetter, and a field of every event is read with it.
_DIRECT: Final[dict[str, Extract]] = {
    "f0": lambda rows: [row.f0 for row in rows],
    "f1": lambda rows: [row.f1 for row in rows],
    "f2": lambda rows: [row.f2 for row in rows],
    "f3": lambda rows: [row.f3 for row in rows],
    "f4": lambda rows: [row.f4 for row in rows],
    "f5": lambda rows: [row.f5 for row in rows],
    "f6": lambda rows: [row.f6 for row in rows],
    "f7": lambda rows: [row.f7 for row in rows],
    "f8": lambda rows: [row.f8 for row in rows],
    "f9": lambda rows: [row.f9 for row in rows],
    "f10": lambda rows: [row.f10 for row in rows],
    "f11": lambda rows: [row.f11 for row in rows],
}
