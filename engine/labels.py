"""How series are shown: their key form and each dimension as text."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.plan import DimensionSet
from engine.series import Directory, Hashes, dims_texts


@dataclass(slots=True)
class Labels:
    """What was looked up since the last `forget`: many KPIs show the same few series."""

    _known: dict[tuple[str, bytes], list[pl.Series]] = field(default_factory=dict)

    def forget(self) -> None:
        self._known.clear()

    def of(self, dimensions: DimensionSet, directory: Directory, h: Hashes) -> list[pl.Series]:
        """``dims`` and ``dim.<name>`` of each series."""
        if not dimensions.names:
            return [pl.Series("dims", ["-"]).new_from_index(0, len(h))]
        asked = (dimensions.id, h.tobytes())
        if asked not in self._known:
            self._known[asked] = self._looked_up(directory, h)
        return self._known[asked]

    def _looked_up(self, directory: Directory, h: Hashes) -> list[pl.Series]:
        distinct, row = np.unique(h, return_inverse=True)
        shown = directory.lookup(pl.Series("h", distinct))
        found = [dims_texts(shown).alias("dims"), *(shown[name].alias(f"dim.{name}") for name in shown.columns)]
        return found if len(distinct) == len(h) and (distinct == h).all() else [column.gather(row) for column in found]
