"""What is sent: a retailer's year, out of order within the lateness that is allowed, with what must not count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from streamgauge.retail import RUN, TillLines
from streamgauge.sending.event_files import json_values

HOUR_US = 3_600_000_000
HELD_BACK_US = 20 * HOUR_US  # below the allowed lateness of 24 h, whatever the partition saw before
TOO_LATE_US = 240 * HOUR_US
BAD = (
    b"{broken",
    b'{"line_id": "no time"}',
    b'{"line_id": "no number", "sold_at": "2017-01-01T00:00:00Z", "sales_value": "abc"}',
    None,
)


class Kind(IntEnum):
    LINE = 0
    AGAIN = 1
    LATE = 2
    BAD = 3


@dataclass(frozen=True)
class Traffic:
    """The events in the order of sending: the number of a line, and what is made of it."""

    lines: pl.DataFrame
    number: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int8]
    partitions: int

    @property
    def events(self) -> int:
        return len(self.number)

    def count(self, kind: Kind) -> int:
        return int(np.count_nonzero(self.kind == kind))

    def chunks(self, size: int) -> Iterator[dict[int, list[tuple[None, bytes | None]]]]:
        """Values by partition. A line that is sent again goes where its first went."""
        for start in range(0, self.events, size):
            number, kind = self.number[start : start + size], self.kind[start : start + size]
            late = pl.Series(kind == Kind.LATE)
            rows = self.lines[number].with_columns(
                line_id=pl.when(late).then("late " + pl.col("line_id")).otherwise("line_id")
            )
            values = json_values(rows)
            parts: dict[int, list[tuple[None, bytes | None]]] = defaultdict(list)
            for line, what, value in zip(number.tolist(), kind.tolist(), values, strict=True):
                made = BAD[line % len(BAD)] if what == Kind.BAD else value
                parts[line // RUN % self.partitions].append((None, made))
            yield parts


def traffic(lines: TillLines, partitions: int, seed: int) -> Traffic:
    """Of the lines, 3 % come up to 20 h late and 2 % come twice; 0.5 % come again as others, ten days late; 0.2 % of
    all events are unreadable."""
    random = np.random.default_rng(seed)
    every = np.arange(lines.rows, dtype=np.int64)
    held = np.where(random.random(lines.rows) < 0.03, random.integers(0, HELD_BACK_US, lines.rows), 0)
    when = lines.sold_us + held
    again, late, bad = (every[random.random(lines.rows) < share] for share in (0.02, 0.005, 0.002))
    late = late[lines.sold_us[late] + TOO_LATE_US < lines.sold_us[-1]]  # others would be sent before they are late
    parts = (
        (Kind.LINE, every, when),
        (Kind.AGAIN, again, when[again] + random.integers(0, HELD_BACK_US, len(again))),
        (Kind.LATE, late, lines.sold_us[late] + TOO_LATE_US),
        (Kind.BAD, bad, lines.sold_us[bad]),
    )
    number = np.concatenate([numbers for _, numbers, _ in parts])
    kind = np.concatenate([np.full(len(numbers), kind, dtype=np.int8) for kind, numbers, _ in parts])
    order = np.argsort(np.concatenate([moments for *_, moments in parts]), kind="stable")
    frame = pl.read_parquet(lines.path).with_columns(lines.shift.expression("sold_at"))
    return Traffic(frame, number[order], kind[order], partitions)
