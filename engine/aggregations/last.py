"""last: the value of the latest event."""

from __future__ import annotations

from engine.aggregations.ordered import Ordered


class Last(Ordered):
    name = "last"
    latest = True
