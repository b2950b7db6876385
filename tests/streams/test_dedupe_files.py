"""Ids for deduplication in files that nobody has to clean up."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.deduplication import Seen, digests
from engine.event_time import NEVER
from engine.sorted_ids import SortedIds
from streams.dedupe_files import DedupeFiles
from streams.local_copies import StoreUnusable


def mapped(folder: Path) -> int:
    """How many bytes of files that are, or were, in a folder this process has mapped."""
    maps = psutil.Process().memory_maps()
    return sum(part.size for part in maps if part.path.startswith(str(folder)))


def test_a_file_has_no_name_and_goes_with_what_was_in_it(tmp_path: Path) -> None:
    files = DedupeFiles(tmp_path, memory_bytes=0)
    seen = Seen(files)
    ids = SortedIds.of(digests([str(number) for number in range(300_000)]))
    seen.add(ids, np.arange(300_000), NEVER)
    seen.add(SortedIds.of(digests(["one more"])), np.array([300_000]), NEVER)
    assert mapped(tmp_path) >= 300_000 * 24
    assert seen.memory_bytes < 300_000 * 24
    assert list(tmp_path.iterdir()) == []
    found = seen.latest(ids, NEVER)
    assert found is not None
    assert found.tolist() == list(range(300_000))
    del seen
    gc.collect()
    assert mapped(tmp_path) == 0
    assert not files.is_wanted


def test_a_folder_that_takes_nothing_is_one_message(tmp_path: Path) -> None:
    files = DedupeFiles(tmp_path / "gone", memory_bytes=0)
    with pytest.raises(StoreUnusable, match=r"--data-dir .*gone: ids for deduplication beyond --dedupe-memory"):
        files.put(np.zeros(10, dtype=np.uint64))
