"""YAML 1.2 with lines, and what is refused of it. The messages themselves are in ``bad/yaml_*.txt``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.document import MAX_TEXT_BYTES, Mapping, Scalar, Sequence, plain, read_document
from engine.catalog.loader import parse


def root(text: str) -> Mapping:
    document = read_document(text)
    assert document.faults == ()
    assert document.root is not None
    return document.root


def test_nodes_know_their_lines() -> None:
    node = root("a: 1\nb:\n  - x\n  - {c: d}\n")
    assert node.key_lines == {"a": 1, "b": 2}
    items = node.entries["b"]
    assert isinstance(items, Sequence)
    assert [item.line for item in items.items] == [3, 4]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("2026-10-01", "2026-10-01"),
        ("12:30", "12:30"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("true", True),
        ("~", None),
        ("", None),
        ("-7", -7),
        ("007", 7),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("'5'", "5"),
        ('"true"', "true"),
        ("2%", "2%"),
        (".inf", ".inf"),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert plain(root(f"a: {text}").entries["a"]) == value


def test_numbers_keep_their_digits() -> None:
    node = root("a: 1.500").entries["a"]
    assert isinstance(node, Scalar)
    assert (node.kind, node.text) == ("float", "1.500")


def test_a_byte_order_mark_and_windows_line_ends_are_taken() -> None:
    assert plain(root("\ufeffa: 1\r\nb: 2\r\n")) == {"a": 1, "b": 2}


def test_aliases_share_a_value() -> None:
    assert plain(root("a: &x {b: [1, 2]}\nc: *x\n")) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_aliases_count_as_what_they_stand_for() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(8)]
    document = read_document("\n".join(lines))
    assert document.root is None
    assert "500,000 values" in document.faults[0].message


def test_long_chains_of_aliases_are_no_deeper_than_other_nesting() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n + 1}: &a{n + 1} [*a{n}]" for n in range(1000)]
    assert "nested more than" in read_document("\n".join(lines)).faults[0].message


def test_a_file_larger_than_5_mb_is_refused() -> None:
    assert "5 MB" in read_document("a: " + "x" * MAX_TEXT_BYTES).faults[0].message


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\ud800", "\uffff", "\x85x\x86"])
def test_control_characters_are_refused(character: str) -> None:
    (fault,) = read_document(f"a: 1\nb: {character}\n").faults
    assert fault.message == "a control character that YAML does not allow"


def test_a_tab_is_said_to_be_one() -> None:
    (fault,) = read_document("a:\n  b: 1\n\tc: 2\n").faults
    assert (fault.line, fault.message) == (3, "a tab in the indentation")


@given(st.text(alphabet="abk: -[]{}&*!|>'\"%@`#,?\n\t\\~0123456789.<", max_size=200))
def test_nothing_that_is_read_raises(text: str) -> None:
    parse([("any.yaml", text)])
    parse([("any.yaml", f"version: 1\nname: x\nkpis:\n  k: {text}\n")])
