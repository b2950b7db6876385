"""Whether events would count: what the engine's own decoder says, asked before they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from engine.admission import decoder_of
from engine.catalog.model import Source
from engine.dead_letters import Fault
from engine.decoding.batch import Batch, no_headers
from streams.gateway.bodies import Carried


@dataclass(frozen=True, slots=True)
class Checked:
    """The events of a request, by their index in it: faults, and of all others the key of their record.

    Deduplication is kept by partition (protocol rule 5), so the key is the identity: sent again, an event meets its
    first. Events without an identity have no key.
    """

    faults: dict[int, Fault]
    keys: dict[int, bytes | None]


class Check:
    """Checks the events of one source. What takes a partition's past to tell (late, duplicate) is not told here."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._decoder = decoder_of(source)

    def check(self, carried: Carried, now_ms: int) -> Checked:
        """``now_ms`` is about what the records' Kafka timestamp will be: milliseconds since the epoch."""
        count = len(carried.values)
        batch = Batch(
            0,
            carried.values,
            np.arange(count, dtype=np.int64),
            np.full(count, now_ms, dtype=np.int64),
            count,
            (lambda index: carried.headers) if carried.headers else no_headers,
        )
        decoded = self._decoder.decode(batch)
        faults = decoded.faults
        most_us = now_ms * 1000 + self._source.watermark.max_future_us
        for place in np.flatnonzero(decoded.times > most_us).tolist():
            ahead = timedelta(microseconds=int(decoded.times[place]) - now_ms * 1000)
            allowed = timedelta(microseconds=self._source.watermark.max_future_us)
            faults.setdefault(place, Fault("future", f"its time is {ahead} ahead of the clock; {allowed} is allowed"))
        good = [place for place in range(count) if place not in faults]
        identities = decoded.identities(good) if good else []
        return Checked(
            faults,
            {
                place: None if identity is None else identity.encode()
                for place, identity in zip(good, identities, strict=True)
            },
        )
