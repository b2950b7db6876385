"""Ids for deduplication beyond the memory they may take: mapped from files without a name in the data directory.

They are a copy of what the dedupe segments in the changelog hold. A file is gone with the last run that is mapped from
it, or with the process, however that ends.
"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryFile
from weakref import WeakSet

import numpy as np

from engine.deduplication import Seen
from engine.sorted_ids import UInt64s
from streams.local_copies import StoreUnusable

_log = logging.getLogger(__name__)


class DedupeFiles:
    """An `engine.deduplication.Store` for all partitions of a worker, which share the memory."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._counted: WeakSet[Seen] = WeakSet()
        self._told = False

    def count(self, seen: Seen) -> None:
        self._counted.add(seen)

    @property
    def is_wanted(self) -> bool:
        return sum(seen.memory_bytes for seen in self._counted) > self._memory_bytes

    def put(self, array: UInt64s) -> UInt64s:
        """Raises StoreUnusable when the folder takes no more."""
        if not self._told:
            self._told = True
            _log.info("ids for deduplication take more than --dedupe-memory; more go to files in %s", self._folder)
        try:
            with TemporaryFile(dir=self._folder) as file:
                array.tofile(file)  # not through the mapping: a full disk is an error then, and not a signal
                mapped: np.memmap[tuple[int], np.dtype[np.uint64]] = np.memmap(file, dtype=array.dtype, mode="r")
        except OSError as error:
            raise StoreUnusable(
                f"--data-dir {self._folder}: ids for deduplication beyond --dedupe-memory cannot be written: {error}"
            ) from error
        return mapped.view(np.ndarray)
