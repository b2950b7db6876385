"""The JSON object of a value is exactly the one that other programs rely on."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.values import FEW, KpiFacts, ValueRows, columns, render

HOUR_US = 3_600_000_000
START_US = 1_792_792_800_000_000  # 2026-10-24T00:00:00+02:00
END_US = 1_795_388_400_000_000  # 2026-11-23T00:00:00+01:00


def facts(*dimensions: tuple[str, str], unit: str | None = "EUR") -> KpiFacts:
    return KpiFacts(
        name="revenue_by_region_30d",
        dimensions=dimensions,
        unit=unit,
        timezone="Europe/Amsterdam",
        definition="9f2c41d07a3e",
        definition_sequence=3,
        favorable="up",
        title="Revenue by region",
        owner="cro",
        goal="grow_revenue",
        category="strategic",
        indicator="lagging",
        length_us=30 * 24 * HOUR_US,
    )


def row(**changed: Any) -> dict[str, Any]:
    return {
        "h": 1,
        "dims": "region=EU",
        "dim.region": "EU",
        "window_start": START_US,
        "window_end": END_US,
        "state": "open",
        "revision": 0,
        "progress": 918273645,
        "value": "1213440.55",
        "reason": None,
        "samples": 48211,
        "watermark": 1_795_387_267_000_000,
        "target": "1200000",
        "status": "ok",
        "status_reason": "1.1 % above target",
        "compare_value": "1150200.10",
        "compare_change": 0.055,
        "final_after": END_US + 24 * HOUR_US,
    } | changed


def rows(kpi: KpiFacts, *entries: dict[str, Any]) -> ValueRows:
    return ValueRows(kpi, pl.DataFrame(list(entries), schema=columns(tuple(name for name, _ in kpi.dimensions))))


REGION = facts(("region", "string"))


def test_the_object_is_the_documented_one_to_the_last_digit() -> None:
    [(key, value)] = render(rows(REGION, row()))
    assert key == b"revenue_by_region_30d|region=EU"
    assert value.decode() == (
        '{"kpi":"revenue_by_region_30d","dims":{"region":"EU"},"window":{"start":"2026-10-24T00:00:00+02:00",'
        '"end":"2026-11-23T00:00:00+01:00"},"state":"open","revision":0,"progress":918273645,"value":1213440.55,'
        '"reason":null,"samples":48211,"watermark":"2026-11-22T22:41:07Z","definition":"9f2c41d07a3e","unit":"EUR",'
        '"target":1200000,"status":"ok","status_reason":"1.1 % above target","pace":null,'
        '"compare":{"value":1150200.10,"change":0.055},"final_after":"2026-11-24T00:00:00+01:00"}'
    )


def test_what_is_missing_is_null() -> None:
    missing = dict.fromkeys(
        ("value", "target", "status", "status_reason", "compare_value", "compare_change", "final_after")
    )
    [(_, value)] = render(rows(facts(unit=None), row(dims="-", reason="no_data", watermark=-(2**62), **missing)))
    shown = json.loads(value)
    assert shown["dims"] == {}
    assert shown["reason"] == "no_data"
    absent = ("value", "watermark", "unit", "target", "status", "status_reason", "pace", "compare", "final_after")
    assert {name: shown[name] for name in absent} == dict.fromkeys(absent)


PACE = {
    "pace_share": 0.82,
    "pace_expected": "1479813.0",
    "pace_elapsed": 0.333333,
    "pace_forecast": "931000",
    "pace_low": "880000",
    "pace_high": "982000",
    "pace_way": "linear",
    "pace_reason": "82 % of the pace for day 10 of 30",
}


def test_pace_is_an_object_of_its_own_where_there_is_one() -> None:
    given = rows(
        REGION,
        row(**PACE),
        row(**PACE | dict.fromkeys(("pace_share", "pace_forecast", "pace_low", "pace_high"))),
        row(),
    )
    shown = [json.loads(value, parse_float=Decimal)["pace"] for _, value in render(given)]
    whole = {
        "share": Decimal("0.82"), "expected": Decimal("1479813.0"), "elapsed": Decimal("0.333333"), "forecast": 931000,
        "forecast_low": 880000, "forecast_high": 982000, "way": "linear", "reason": "82 % of the pace for day 10 of 30",
    }  # fmt: skip
    assert shown[0] == whole
    assert shown[1] == whole | dict.fromkeys(("share", "forecast", "forecast_low", "forecast_high"))
    assert shown[2] is None


def test_a_comparison_without_a_change_keeps_its_value() -> None:
    [(_, value)] = render(rows(REGION, row(compare_value="0", compare_change=None)))
    assert json.loads(value)["compare"] == {"value": 0, "change": None}


@pytest.mark.parametrize("change", [float("inf"), float("nan")])
def test_a_change_that_is_no_number_is_null(change: float) -> None:
    [(_, value)] = render(rows(REGION, row(compare_change=change)))
    assert json.loads(value)["compare"]["change"] is None


def test_dimensions_keep_their_json_types() -> None:
    kpi = facts(("region", "string"), ("store", "integer"), ("vip", "boolean"))
    dimensions = {"dim.region": None, "dim.store": "12", "dim.vip": "true"}
    other = {"dim.region": "__other__", "dim.store": "__other__", "dim.vip": "__other__"}
    shown = [json.loads(value)["dims"] for _, value in render(rows(kpi, row(**dimensions), row(**other)))]
    assert shown == [
        {"region": None, "store": 12, "vip": True},
        {"region": "__other__", "store": "__other__", "vip": "__other__"},
    ]


@pytest.mark.parametrize("text", ['say "hi"', "back\\slash", "line\nbreak", "tab\t", "\x00", "é €", ""])
def test_dimension_text_survives_json_beside_plain_rows(text: str) -> None:
    shown = [
        json.loads(value)["dims"]["region"] for _, value in render(rows(REGION, row(), row(**{"dim.region": text})))
    ]
    assert shown == ["EU", text]


def test_rows_of_many_windows_keep_their_own_times_and_order() -> None:
    ends = [END_US + hour * HOUR_US for hour in (3, 1, 2, 1)]
    shown = [
        json.loads(value)["window"]["end"] for _, value in render(rows(REGION, *(row(window_end=e) for e in ends)))
    ]
    assert [text[11:13] for text in shown] == ["03", "01", "02", "01"]


def test_no_rows_render_to_nothing() -> None:
    assert render(rows(REGION)) == []


text = st.text(max_size=5)
maybe = st.none() | text
number = st.none() | st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: format(d, "f"))
rendered = st.fixed_dictionaries(
    {
        "dims": text,
        "dim.region": maybe,
        "dim.store": st.none() | st.just("__other__") | st.integers().map(str),
        "window_start": st.integers(-(2**50), 2**50),
        "window_end": st.integers(-(2**50), 2**50),
        "state": st.sampled_from(["open", "closed", "revised"]),
        "revision": st.integers(0, 9),
        "progress": st.integers(0, 2**62),
        "value": number,
        "reason": maybe,
        "watermark": st.integers(-(2**62), 2**62),
        "target": number,
        "status_reason": maybe,
        "compare_value": number,
        "compare_change": st.none() | st.floats(),
        "final_after": st.none() | st.integers(-(2**50), 2**50),
        "pace_share": st.none() | st.floats(),
        "pace_expected": number,
        "pace_elapsed": st.none() | st.floats(),
        "pace_forecast": number,
        "pace_low": number,
        "pace_high": number,
        "pace_way": st.sampled_from([None, "linear", "seasonal"]),
        "pace_reason": maybe,
    }
)


@given(entries=st.lists(rendered, min_size=1, max_size=5))
def test_few_rows_and_many_render_the_same(entries: list[dict[str, Any]]) -> None:
    few = rows(facts(("region", "string"), ("store", "integer")), *(row(**entry) for entry in entries))
    many = ValueRows(few.kpi, pl.concat([few.frame] * (FEW // len(entries) + 1)))

    def parsed(given: ValueRows) -> list[tuple[bytes, Any]]:
        return [(key, json.loads(value, parse_int=Decimal, parse_float=Decimal)) for key, value in render(given)]

    assert parsed(many)[: len(entries)] == parsed(few)
