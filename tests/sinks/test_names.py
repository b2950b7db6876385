"""The outside names are a promise: this list changes only on purpose."""

from __future__ import annotations

import json

from sinks import kafka, names
from tests.sinks.values import row, rows


def test_topics() -> None:
    assert names.dead_letter_topic("shop.orders") == "shop.orders.dlq"
    assert names.partials_topic("shop") == "shop.partials"
    assert names.values_topic("shop") == "shop.values"
    assert names.definitions_topic("shop") == "shop.definitions"
    assert names.alerts_topic("shop") == "shop.alerts"
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


def test_the_values_topic_has_one_record_per_value_in_order() -> None:
    found = kafka.records([rows(row("A"), row("B", revision=1)), rows(), rows(row(None))])
    assert [key for key, _ in found] == [b"sales|region=A", b"sales|region=B", b"sales|region=__null__"]
    assert [json.loads(value)["state"] for _, value in found] == ["open", "closed", "open"]
