"""What is pending, firing and silenced, as Redis holds it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from redis.asyncio import Redis

from sinks.alerting.silence_records import SilenceRecord
from sinks.board import shapes
from sinks.names import redis_alerts, redis_silences
from tests.alert_objects import alert_object
from tests.sinks.board.conftest import NAME, Served

QUIET = {"muted_by": None, "silenced_by": None}


async def hold(redis: Redis, key: str, found: dict[str, bytes]) -> None:
    await redis.hset(key, mapping=dict(found))
    await redis.expire(key, 60)


async def test_alerts_are_what_redis_holds(served: Served, redis: Redis) -> None:
    assert await served.json("/api/v1/alerts") == {"alerts": []}
    alert = alert_object("SalesLow", "sales", dims={"region": "EU"}, **QUIET)
    other = alert_object("Low", "orders_today", state="pending", severity="info", **QUIET)
    await hold(redis, redis_alerts(NAME), alert | other)
    response = await served.get("/api/v1/alerts")
    text, text_of_other = (msgspec.json.format(one, indent=-1) for found in (alert, other) for one in found.values())
    assert response.content == b'{"alerts":[%b,%b]}' % (text_of_other, text)  # with all digits, by their keys
    detail = await served.get("/api/v1/kpis/sales")
    assert b'"active_alerts":[%b]' % text in detail.content
    again = await served.get("/api/v1/alerts", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    assert (await served.get("/api/v1/alerts?kpi=sales")).content == b'{"alerts":[%b]}' % text
    assert (await served.get("/api/v1/alerts?state=pending")).content == b'{"alerts":[%b]}' % text_of_other
    assert await served.json("/api/v1/alerts?kpi=sales&state=pending") == {"alerts": []}


async def test_an_alert_has_the_members_that_its_shape_names(served: Served, redis: Redis) -> None:
    await hold(redis, redis_alerts(NAME), alert_object("SalesLow", "sales", **QUIET))
    (found,) = (await served.json("/api/v1/alerts"))["alerts"]
    assert list(found) == list(shapes.ActiveAlert.model_fields)
    assert shapes.ActiveAlert.model_validate(found).reason == "812.50 EUR is below 1,000 EUR"


async def test_silences_are_those_that_have_not_ended_by_their_ends(served: Served, redis: Redis) -> None:
    assert await served.json("/api/v1/silences") == {"silences": []}
    now = datetime.now(UTC).replace(microsecond=0)
    made = {
        id_: SilenceRecord(id=id_, comment="x", from_=now - timedelta(days=3), until=now + length, kpis=("sales",))
        for id_, length in (("a", timedelta(days=2)), ("b", timedelta(days=1)), ("past", timedelta(days=-1)))
    }
    await hold(redis, redis_silences(NAME), {id_: one.encode() for id_, one in made.items()})
    found = (await served.json("/api/v1/silences"))["silences"]
    assert [one["id"] for one in found] == ["b", "a"]
    assert found[0] == {
        "id": "b",
        "comment": "x",
        "until": f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "from": f"{now - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}",
        "created": None,
        "by": None,
        "kpis": ["sales"],
        "alerts": [],
        "where": {},
    }


async def test_a_silence_that_nobody_understands_is_no_answer_and_says_so(served: Served, redis: Redis) -> None:
    await hold(redis, redis_silences(NAME), {"a": b'{"id":"a"}'})
    refused = await served.get("/api/v1/silences")
    assert refused.status_code == 503 and "does not know" in refused.json()["detail"]
