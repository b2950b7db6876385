"""What is said of broken catalogs: each ``bad/NAME.yaml`` has its messages, line by line, in ``bad/NAME.txt``.

After changing a message or adding a catalog, write the expected texts anew, and read the difference before it is kept:

    REWRITE_MESSAGES=1 pytest tests/engine/catalog/test_bad_catalogs.py && git diff tests/engine/catalog/bad
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.catalog.loader import parse

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_the_messages_of_a_broken_catalog(path: Path) -> None:
    loaded = parse([(path.name, path.read_text())])
    assert loaded.catalog is None
    said = "".join(f"{problem}\n" for problem in loaded.problems)
    expected = path.with_suffix(".txt")
    if os.environ.get("REWRITE_MESSAGES"):
        expected.write_text(said)
    assert said == expected.read_text()


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 60


def test_no_expected_text_is_left_behind() -> None:
    assert {path.stem for path in BAD} == {path.stem for path in BAD[0].parent.glob("*.txt")}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_message_is_located_within_its_file(path: Path) -> None:
    lines = path.read_text().count("\n") + 1
    for problem in parse([(path.name, path.read_text())]).problems:
        assert problem.file == path.name
        assert 1 <= problem.line <= lines
        assert "\n" not in str(problem)
