"""What the scripts are given, and what waits for Redis."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.values import FEW, ValueRows
from sinks.redis.pending import Pending
from sinks.redis.rows import order_text, payloads, ttl_ms
from tests.sinks.values import HOUR_US, PACE, SALES, row, rows

WEEK_MS = 7 * 86_400_000


@pytest.mark.parametrize("pace", [{}, PACE], ids=["", "paced"])
def test_few_rows_and_many_are_packed_the_same(pace: dict[str, Any]) -> None:
    few = rows(
        row('a"b', **pace),
        row(None, value=None, target=None, status=None, compare_value=None, compare_change=None, watermark=-(2**62)),
        row("text", value='"text"', revision=2, hour=-10_000_000),
        row("__other__", h=2**64 - 1, value="-7"),
    )
    many = ValueRows(few.kpi, pl.concat([few.frame] * FEW))
    [(_, packed)] = payloads(few, 1000)
    [(_, packed_many)] = payloads(many, 1000)
    assert msgspec.msgpack.decode(packed_many)[1][:4] == msgspec.msgpack.decode(packed)[1]
    names, values = msgspec.msgpack.decode(packed)
    assert {len(row[-1]) for row in values} == {len(names)}
    assert ("pace_share" in names) == bool(pace)  # others pay nothing for it


def test_chunks_are_no_longer_than_asked() -> None:
    many = rows(*(row(str(number)) for number in range(250)))
    assert [count for count, _ in payloads(many, 100)] == [100, 100, 50]


orders = st.tuples(
    st.integers(0, 2**62), st.integers(-(2**61), 2**61), st.integers(0, 2**63 - 1), st.integers(0, 10**9)
)


@given(left=orders, right=orders)
def test_the_order_sorts_as_text_as_it_does_as_numbers(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    texts = [order_text(*order) for order in (left, right)]
    assert [len(text) for text in texts] == [73, 73]
    assert (texts[0] < texts[1]) == (left < right)


@pytest.mark.parametrize(("hours", "expected"), [(1, WEEK_MS), (56, WEEK_MS), (24 * 30, 90 * 86_400_000)])
def test_keys_live_three_windows_and_at_least_a_week(hours: int, expected: int) -> None:
    kpi = SALES.__class__(**{name: getattr(SALES, name) for name in SALES.__slots__} | {"length_us": hours * HOUR_US})
    assert ttl_ms(kpi) == expected


offered = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)))


@given(offers=st.lists(offered, max_size=6), room=st.integers(0, 5))
def test_the_newest_of_each_series_comes_out_whatever_the_room(offers: list[Any], room: int) -> None:
    pending = Pending(room)
    everything = []
    for offer in offers:
        frame = rows(*(row(region, hour=h, progress=p, revision=r) for region, h, p, r in offer))
        everything.append(frame.frame)
        pending.offer(frame)
        pending.make_room()
    taken = []
    while (given_rows := pending.take()) is not None:
        taken.append(given_rows.frame)
    assert pending.rows == 0
    if not [frame for frame in everything if frame.height]:
        assert not taken
        return

    order = ["dims", "window_end", "progress", "revision"]
    out = pl.concat([frame.select(*order, "state") for frame in taken])
    newest = pl.concat(everything).sort(order).unique("dims", keep="last").select(order)
    assert newest.join(out, on=order, how="anti").is_empty()
    if pending.dropped == 0:
        past = pl.concat(everything).filter(pl.col("state") != "open").sort(order)
        last = past.unique(["dims", "window_end"], keep="last").select(order)
        assert last.join(out, on=order, how="anti").is_empty()
