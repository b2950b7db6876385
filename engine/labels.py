"""How series are shown: their key form and each dimension as text. That of a series never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from engine.plan import DimensionSet
from engine.series import Directory, Hashes, dims_texts

_FEW: Final = 64  # up to so many series are put together out of the texts of each
_KEPT: Final = 10_000
Texts = tuple[str | None, ...]


@dataclass(slots=True)
class Labels:
    """What was looked up: of the many since the last `forget`, as many KPIs show the same; of few for longer."""

    _known: dict[tuple[str, bytes], list[pl.Series]] = field(default_factory=dict)
    _single: dict[str, dict[int, Texts]] = field(default_factory=dict)  # by set of dimensions and series

    def forget(self) -> None:
        self._known.clear()

    def of(self, dimensions: DimensionSet, directory: Directory, h: Hashes) -> list[pl.Series]:
        """``dims`` and ``dim.<name>`` of each series."""
        if not dimensions.names:
            return [pl.Series("dims", ["-"]).new_from_index(0, len(h))]
        if len(h) <= _FEW:
            return self._of_few(dimensions, directory, h)
        asked = (dimensions.id, h.tobytes())
        if asked not in self._known:
            self._known[asked] = self._looked_up(directory, h)
        return self._known[asked]

    def _of_few(self, dimensions: DimensionSet, directory: Directory, h: Hashes) -> list[pl.Series]:
        known = self._single.setdefault(dimensions.id, {})
        if len(known) > _KEPT:
            known.clear()
        missing = [series for series in h.tolist() if series not in known]
        if missing:
            columns = self._looked_up(directory, np.array(missing, dtype=np.uint64))
            known.update(zip(missing, zip(*(column.to_list() for column in columns), strict=True), strict=True))
        texts = zip(*(known[series] for series in h.tolist()), strict=True)
        names = ("dims", *(f"dim.{name}" for name in dimensions.names))
        return [pl.Series(name, of, dtype=pl.String) for name, of in zip(names, texts, strict=True)]

    def _looked_up(self, directory: Directory, h: Hashes) -> list[pl.Series]:
        distinct, row = np.unique(h, return_inverse=True)
        shown = directory.lookup(pl.Series("h", distinct))
        found = [dims_texts(shown).alias("dims"), *(shown[name].alias(f"dim.{name}") for name in shown.columns)]
        return found if len(distinct) == len(h) and (distinct == h).all() else [column.gather(row) for column in found]
