"""Since when each column of a source partition has its whole history (protocol rules 4 and 19)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.event_time import NEVER


class History:
    """By column, as ``view/column``: history before that event time is missing; NEVER where none is.

    ``before`` is what a manifest says, None where there is none. Columns that it does not know begin at ``highest_us``,
    its highest event time.
    """

    def __init__(self, names: Iterable[str], before: Mapping[str, int] | None, highest_us: int) -> None:
        if before is None:
            self.since_us = dict.fromkeys(names, NEVER)
            self._new: list[str] = []
        else:
            self.since_us = {name: before.get(name, highest_us) for name in names}
            self._new = [name for name in self.since_us if name not in before]
        self._gap = False  # events were lost, and none came since

    @property
    def incomplete_us(self) -> dict[str, int]:
        """The columns that miss something."""
        return {name: since for name, since in self.since_us.items() if since != NEVER}

    def lost(self, highest_us: int) -> None:
        """Events were lost behind those up to ``highest_us``: numbers up to the next event are incomplete."""
        self._gap = True
        self._miss(self.since_us, highest_us)

    def goes_on(self, time_us: int) -> None:
        """An event was accepted."""
        if self._gap:
            self._miss(self.since_us, time_us)
            self._gap = False

    def new_begin(self, highest_us: int) -> None:
        """Columns that the manifest did not know begin behind events up to ``highest_us``."""
        self._miss(self._new, highest_us)

    def _miss(self, names: Iterable[str], until_us: int) -> None:
        self.since_us.update({name: max(self.since_us[name], until_us) for name in names})
