"""``NAME.values``: every revision of every value, as key and value of a Kafka record. The streams produce them."""

from __future__ import annotations

from collections.abc import Iterable

from engine.values import ValueRows, render


def records(publication: Iterable[ValueRows]) -> list[tuple[bytes, bytes]]:
    """The records of several KPIs' values, in order: one per row."""
    return [record for rows in publication for record in render(rows)]
