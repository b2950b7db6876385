"""What changed in the panes of a view: which series, and which of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.keyed_rows import Keys, Mask, put_together


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """``keys`` (pane, bucket, h) in order, each once; ``flags`` by column id."""

    keys: Keys
    flags: Mapping[str, Mask]

    def __len__(self) -> int:
        return len(self.keys)


def together(parts: Sequence[Changed]) -> Changed | None:
    """Changes of one view as one; None where there are none."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else None
    keys, row = put_together([part.keys for part in parts]).sorted_once()
    flags = {id_: np.concatenate([part.flags[id_] for part in parts]) for id_ in parts[0].flags}
    return Changed(keys, {id_: any_of(flag, row, len(keys)) for id_, flag in flags.items()})


def any_of(flag: Mask, row: np.ndarray[tuple[int], np.dtype[np.int64]], rows: int) -> Mask:
    """For each of so many rows whether any flag that belongs to it is set."""
    found = np.zeros(rows, dtype=np.bool_)
    found[row[flag]] = True
    return found
