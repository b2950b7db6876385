"""Silences made by command: JSON objects in `NAME.silences`, by their id. They always end.

``{"id", "comment", "by", "created", "from", "until", "kpis": [..], "alerts": [..], "where": {..}}``; times: RFC 3339,
empty ``kpis`` means all KPIs, ``alerts`` likewise. One that is taken back is a record without a value.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from engine.catalog.alerting import Silence
from sinks.alerting.notices import us


class NotASilence(Exception):
    """A record of `NAME.silences` that no version of this program writes."""


class SilenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One silence. Its times have an offset; it covers [``from``, ``until``)."""

    id: str
    comment: str
    until: datetime
    from_: datetime = msgspec.field(name="from")
    created: datetime | None = None
    by: str | None = None
    kpis: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    where: dict[str, str] = {}

    @property
    def until_us(self) -> int:
        return us(self.until)

    def silence(self) -> Silence:
        """As the engine judges it; it goes by its id as a name."""
        return Silence(
            self.id, self.comment, self.kpis, self.alerts, self.where, from_us=us(self.from_), until_us=self.until_us
        )

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


_decode: Final = msgspec.json.Decoder(SilenceRecord).decode


def decode_silence(text: bytes) -> SilenceRecord:
    """Raises NotASilence."""
    try:
        found = _decode(text)
    except msgspec.DecodeError as error:
        raise NotASilence(f"a silence in a form that this program does not know: {error}") from error
    if found.until.tzinfo is None or found.from_.tzinfo is None:
        raise NotASilence(f"silence {found.id} has times without an offset")
    return found
