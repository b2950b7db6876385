"""first: the value of the earliest event."""

from __future__ import annotations

from engine.aggregations.ordered import Ordered


class First(Ordered):
    name = "first"
    latest = False
