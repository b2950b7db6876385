"""Blocks: frames to bytes and back, whatever they hold; bytes that never change; refusal of what is not ours."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.blocks import (
    OTHER,
    BlockKey,
    CorruptBlock,
    UnknownVersion,
    decode_blocks,
    encode_blocks,
    stamp_of,
)
from engine.series import OTHER as OTHER_SERIES
from engine.series import Directory

COLUMN, SKETCH = "00000000000000aa", "00000000000000bb"
KEYS = ["pane", "bucket", "h"]
INT64 = st.integers(-(2**63), 2**63 - 1)
INT128 = st.one_of(st.just(0), st.integers(-100, 100), INT64, st.integers(-(2**127) + 1, 2**127 - 1))
DIMS = st.tuples(
    st.one_of(st.none(), st.text(max_size=4), st.sampled_from(["\x1f", "\x1e", ""])),
    st.none() | INT64,
    st.none() | st.booleans(),
)
STATES = st.tuples(INT64, INT128, st.none() | INT128, st.none() | st.floats(allow_nan=False), st.none() | st.booleans())
SCHEMA: dict[str, Any] = {
    f"{COLUMN}.n": pl.Int64,
    f"{COLUMN}.sum": pl.Int128,
    f"{COLUMN}.value": pl.Int128,
    f"{COLUMN}.double": pl.Float64,
    f"{COLUMN}.flag": pl.Boolean,
    f"{SKETCH}.n": pl.Int64,
}
ITEM_SCHEMA: dict[str, Any] = {"pane": pl.Int64, "bucket": pl.Int64, "h": pl.UInt64, "item": pl.Int64, "k": pl.Int64}


def key(**changes: Any) -> BlockKey:
    return BlockKey("0011223344556677", "8899aabbccddeeff", 3, 27_000_000, 5, 0, 17)._replace(**changes)


@given(
    st.integers(-(2**31), 2**31 - 1),
    INT64,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
)
def test_keys_read_back(partition: int, pane: int, bucket: int, split: int, epoch: int) -> None:
    for kind in (1, OTHER):
        one = key(partition=partition, pane=pane, bucket=bucket, split=split, epoch=epoch, kind=kind)
        assert BlockKey.unpack(one.pack()) == one


def test_key_bytes_are_fixed() -> None:
    assert key().pack().hex() == (
        "0101"
        + "0011223344556677"
        + "8899aabbccddeeff"
        + "80000000019bfcc0"
        + "00000005"
        + "0000"
        + "80000003"
        + "0000000000000011"
    )


def test_keys_of_other_versions_and_kinds_are_refused() -> None:
    raw = key().pack()
    with pytest.raises(UnknownVersion, match="version 9"):
        BlockKey.unpack(raw[:1] + b"\x09" + raw[2:])
    for bad in (b"", b"\x01", raw[:-1], b"\x05" + raw[1:]):
        with pytest.raises(ValueError, match="key"):
            BlockKey.unpack(bad)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3, 3), DIMS, STATES, st.dictionaries(INT64, st.integers(0, 2**40), max_size=3)),
        max_size=12,
    ),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
    st.integers(1, 3),
)
def test_blocks_read_back(
    raw: list[tuple[int, tuple[Any, ...], tuple[Any, ...], dict[int, int]]], choice: list[int], flushes: int
) -> None:
    """Encoded in several flushes, decoded together."""
    directory, again = (Directory(["a", "b", "c"], ["string", "integer", "boolean"]) for _ in range(2))
    blocks: list[bytes] = []
    expected_rows, expected_items, stamps = [], [], []
    for flush in range(flushes):
        part = [row for row, mine in zip(raw, choice, strict=False) if mine == flush]
        dims = pl.DataFrame([row[1] for row in part], schema=directory.schema, orient="row")
        h = directory.hashes(dims)
        frame = pl.DataFrame([row[2] + (len(row[3]),) for row in part], schema=SCHEMA, orient="row")
        frame = frame.with_columns(
            h, pane=pl.Series([row[0] for row in part], dtype=pl.Int64), _i=pl.int_range(len(part))
        )
        frame = frame.with_columns(bucket=pl.col("h").mod(2).cast(pl.Int64))
        frame = frame.unique(KEYS, keep="first").sort(KEYS)
        items = pl.DataFrame(
            [
                (*place, item, k)
                for *place, i in frame.select(*KEYS, "_i").iter_rows()
                for item, k in part[i][3].items()
            ],
            schema=ITEM_SCHEMA,
            orient="row",
        )
        rows = frame.drop("_i")
        places = rows.select("pane", "bucket").unique().rows()
        found = encode_blocks(
            rows, {SKETCH: items}, directory, [COLUMN, SKETCH], {place: flush * 7 for place in places}
        )
        assert sorted((pane, bucket) for pane, bucket, _ in found) == sorted(places)
        for pane, bucket, block in found:
            at = (pl.col("pane") == pane) & (pl.col("bucket") == bucket)
            label = pl.lit(len(blocks), dtype=pl.UInt32).alias("_block")
            expected_rows.append(rows.filter(at).with_columns(label))
            expected_items.append(items.filter(at).with_columns(label))
            stamps.append(flush * 7)
            blocks.append(block)
    decoded = decode_blocks(blocks)
    assert decoded.stamps == stamps == [stamp_of(block) for block in blocks]
    if not blocks:
        assert decoded.rows.height == 0
        return
    expected = pl.concat(expected_rows).select("_block", "h", *SCHEMA).sort("_block", "h")
    assert decoded.rows.sort("_block", "h").equals(expected)
    assert decoded.rows.schema == expected.schema
    order = ["_block", "h", "item"]
    wanted = pl.concat(expected_items).select("_block", "h", "item", "k").sort(order)
    if wanted.height:
        assert decoded.items[SKETCH].sort(order).equals(wanted)
    assert decoded.dims["h"].equals(decoded.rows["h"])
    again.learn(decoded.dims)
    assert again.values(decoded.dims["h"]).equals(directory.values(decoded.dims["h"]))
    for index, (pane, bucket) in enumerate(zip(decoded.panes, decoded.buckets, strict=True)):
        assert expected_rows[index]["pane"].unique().to_list() == [pane]
        assert expected_rows[index]["bucket"].unique().to_list() == [bucket]


def small_block(parts: dict[int, int] | None = None) -> bytes:
    directory = Directory(["region"], ["string"])
    h = directory.hashes(pl.DataFrame({"region": ["EU", "US"]}))
    rows = pl.DataFrame({"h": h, f"{COLUMN}.n": [2, 300], f"{COLUMN}.sum": pl.Series([-5, 2**70], dtype=pl.Int128)})
    rows = rows.with_columns(pane=pl.lit(9, dtype=pl.Int64), bucket=pl.lit(0, dtype=pl.Int64)).sort("h")
    items = rows.select(*KEYS, item=pl.lit(7, dtype=pl.Int64), k=pl.lit(1, dtype=pl.Int64))
    ((pane, bucket, block),) = encode_blocks(
        rows, {COLUMN: items}, directory, [COLUMN], {(9, 0): 1234}, {COLUMN: 5}, {(9, 0): parts} if parts else None
    )
    assert (pane, bucket) == (9, 0)
    return block


def test_block_bytes_are_fixed() -> None:
    assert small_block({0: 1000, 1: 234}).hex() == GOLDEN


def test_the_record_carries_what_it_counts_from() -> None:
    decoded = decode_blocks([small_block({1: 234, 0: 1000}), small_block()])
    assert decoded.parts == [{0: 1000, 1: 234}, {}]
    assert decoded.froms == [{COLUMN: 5}, {COLUMN: 5}]
    assert decoded.stamps == [1234, 1234]


def test_columns_of_others_are_left_out_and_missing_ones_are_null() -> None:
    """A view gets another column: old and new blocks are read side by side (protocol rule 19)."""
    directory = Directory([], [])
    rows = pl.DataFrame({"pane": [1], "bucket": [0], "h": pl.Series([0], dtype=pl.UInt64), "aa.n": [1], "bb.n": [2]})
    blocks = [encode_blocks(rows, {}, directory, ids, {(1, 0): 1})[0][2] for ids in (["aa"], ["aa", "bb"])]
    assert decode_blocks(blocks).rows.select("aa.n", "bb.n").rows() == [(1, None), (1, 2)]


def test_the_other_row_has_no_dimensions() -> None:
    directory = Directory(["region"], ["string"])
    rows = pl.DataFrame({"pane": [1], "bucket": [0], "h": pl.Series([OTHER_SERIES], dtype=pl.UInt64), "aa.n": [1]})
    decoded = decode_blocks([encode_blocks(rows, {}, directory, ["aa"], {(1, 0): 1})[0][2]])
    assert decoded.dims.rows() == [(OTHER_SERIES, None)]


def test_unknown_versions_are_refused() -> None:
    block = small_block()
    for read in (stamp_of, lambda raw: decode_blocks([raw])):
        with pytest.raises(UnknownVersion, match="version 2"):
            read(b"\x02" + block[1:])


@given(st.data())
def test_a_block_cut_off_is_refused(data: st.DataObject) -> None:
    block = small_block({0: 1})
    with pytest.raises(CorruptBlock):
        decode_blocks([block[: data.draw(st.integers(0, len(block) - 1))]])
    with pytest.raises(CorruptBlock):
        decode_blocks([block + b"\x00"])


def test_rows_must_be_sorted_and_items_have_a_row() -> None:
    directory = Directory([], [])
    h = pl.Series("h", [5, 4], dtype=pl.UInt64)
    rows = pl.DataFrame({"pane": [1, 1], "bucket": [0, 0], "h": h, "aa.n": [1, 1]})
    with pytest.raises(ValueError, match="sorted"):
        encode_blocks(rows, {}, directory, ["aa"], {(1, 0): 1})
    items = pl.DataFrame([(1, 0, 9, 1, 1)], schema=ITEM_SCHEMA, orient="row")
    with pytest.raises(ValueError, match="no row"):
        encode_blocks(rows.sort("h"), {"aa": items}, directory, ["aa"], {(1, 0): 1})


# Version 1: another layout is another version.
GOLDEN = (
    "0102020002000000090000000000000000000000d2040000000000008100000000000000e80300000000000001000000ea00"
    "000000000000050000000c000000959294b2303030303030303030303030303061612e6ea16902ff94b43030303030303030"
    "30303030303061612e73756da17810ff9192a6726567696f6ea6737472696e6792a11fa11e9192b030303030303030303030"
    "3030303061619294a46974656da16901ff94a16ba16901ff81b03030303030303030303030303030616105932013f6fb4993"
    "630200fbffffffffffffffffffffffffffffffbc1c1ea45fcf72742c010000000000000000400000000000000045551f5553"
    "000000000701010000000701"
)
