"""The outside names are a promise: this list changes only on purpose."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sinks import kafka, names
from tests.sinks.values import row, rows


def test_topics() -> None:
    assert names.dead_letter_topic("shop.orders") == "shop.orders.dlq"
    assert names.partials_topic("shop") == "shop.partials"
    assert names.values_topic("shop") == "shop.values"
    assert names.definitions_topic("shop") == "shop.definitions"
    assert names.alerts_topic("shop") == "shop.alerts"
    assert names.silences_topic("shop") == "shop.silences"
    assert names.notifications_changelog("shop") == "shop-notifications-changelog"
    assert names.alerts_group("shop") == "shop-alerts"
    assert names.changelog_topic("shop", "orders-blocks") == "shop-orders-blocks-changelog"
    assert names.consumer_group("shop") == "shop"


def test_redis_keys() -> None:
    assert names.redis_series_key("shop", "sales", "current", "region=EU") == "kpi:shop:{sales}:current:region=EU"
    assert names.redis_key("shop", "sales", "index") == "kpi:shop:{sales}:index"
    assert names.redis_key("shop", "sales", "rank") == "kpi:shop:{sales}:rank"
    assert names.redis_key("shop", "sales", "newest") == "kpi:shop:{sales}:newest"
    assert names.redis_series_key("shop", "sales", "history", "-") == "kpi:shop:{sales}:history:-"
    assert names.redis_key("shop", "sales", "updates") == "kpi:shop:{sales}:updates"
    assert names.redis_alerts("shop") == "kpi:shop:alerts"
    assert names.redis_silences("shop") == "kpi:shop:silences"


def test_dashboards() -> None:
    assert names.dashboard_uid("overview", "shop") == "sg-overview-shop"
    assert names.dashboard_uid("engine", "shop") == "sg-engine-shop"
    assert names.dashboard_uid("kpi", "shop", "sales_30d") == "sg-kpi-shop-sales_30d"
    assert names.dashboard_uid("kpi", "shop", "Sales") == "sg-x-sales-0292b77c390fec1ddaab"
    assert names.dashboard_uid("overview", "a-kpi") != names.dashboard_uid("kpi", "a", "kpi")


catalogs = st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True)
kpis = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,63}", fullmatch=True)
dashboards = st.one_of(
    st.tuples(st.just("overview"), catalogs),
    st.tuples(st.just("engine"), catalogs),
    st.tuples(st.just("kpi"), catalogs, kpis),
)


@settings(deadline=None)
@given(st.lists(dashboards, unique=True, max_size=20))
@example([("overview", "kpi-a-b"), ("kpi", "a", "b"), ("kpi", "a-b", "c"), ("kpi", "a", "b_c"), ("kpi", "a", "B")])
def test_a_dashboard_has_a_uid_of_its_own_whatever_the_case(made: list[tuple[Any, ...]]) -> None:
    uids = [names.dashboard_uid(*one) for one in made]
    assert all(re.fullmatch(r"[a-z0-9_-]{1,40}", uid) for uid in uids)
    assert len(set(uids)) == len(made)


def test_the_values_topic_has_one_record_per_value_in_order() -> None:
    found = kafka.records([rows(row("A"), row("B", revision=1)), rows(), rows(row(None))])
    assert [key for key, _ in found] == [b"sales|region=A", b"sales|region=B", b"sales|region=__null__"]
    assert [json.loads(value)["state"] for _, value in found] == ["open", "closed", "open"]
