"""What receivers get: against a real web server, and as Standard Webhooks has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from engine.alerts.contributions import Contribution
from sinks.alerting.alertmanager import labels, life_s, payload
from sinks.alerting.apprise_urls import AppriseUrls
from sinks.alerting.content import Links, Notification
from sinks.alerting.http import Http, host_of
from sinks.alerting.notices import notice, us
from sinks.alerting.webhook import Webhook, signature
from sinks.errors import SinkError
from tests.system.receiving import Hook, alert_object, key_of

LINKS = Links("shop", "http://board.example/", "http://grafana.example")
CONTRIBUTIONS = [Contribution("by_store", {"store": "7"}, Decimal("1.50"), Decimal(4), 0.625)]
PASSED = 1_790_000_000_000_000


def notification(state: str = "firing", **members: Any) -> Notification:
    told = alert_object(state, 1, **members)
    return Notification(notice(key_of(told).decode(), json.dumps(told).encode()), LINKS, CONTRIBUTIONS)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    found = Hook()
    await found.start()
    yield found
    await found.stop()


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """Their own example."""
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_says_what_where_since_when_how_sure_and_where_to_look() -> None:
    told = notification(value=None, target=900, since="2026-11-25T10:00:00Z")
    assert told.title() == "FIRING critical RevenueLow: Revenue (region=EU)"
    assert told.body().splitlines() == [
        "Look at it",
        "reason: revenue of 812.50 is below 1000",
        "condition: below 1000, ends at 1050",
        "target: 900 EUR",
        "bound: 1000 EUR",
        "since: 2026-11-25T10:00:00Z",
        "window: 2026-11-25T10:00:00Z to 2026-11-25T10:01:00Z",
        "certainty: 17 events, window closed",
        "contributions: store 7: 1.50 against 4 (62%)",
        "owner: cro",
        "runbook url: https://example.com/run",
        "board url: http://board.example/kpi/revenue?region=EU",
        "dashboard url: http://grafana.example/d/sg-kpi-shop-revenue",
    ]


def test_the_json_is_the_object_to_the_last_digit_with_what_belongs_to_it() -> None:
    told = notification()
    text = notice("k|k|-", told.notice.text.replace(b"812.5,", b"812.5000000000000000001,"))
    sent = json.loads(Notification(text, LINKS, CONTRIBUTIONS).json(), parse_float=Decimal)
    assert sent["value"] == Decimal("812.5000000000000000001")
    assert sent["contributions"][0]["value"] == Decimal("1.50")
    assert (sent["catalog"], sent["drill"], sent["links"]["runbook"]) == ("shop", False, "https://example.com/run")


def test_labels_of_an_incident_never_change_and_what_changes_is_no_label() -> None:
    one, other = notification(value=1), notification("resolved", value=2, reason="better", status="ok")
    assert labels(one) == labels(other)
    assert labels(notification(dims={"region": None}))["region"] == "__null__"


def test_an_alert_that_fires_outlasts_a_recovery_and_one_that_ended_ends_when_it_did() -> None:
    begin, end = "2026-11-25T10:00:00Z", "2026-11-25T10:20:00Z"
    fired = payload(notification(fired=begin), PASSED, 60)
    assert (fired["startsAt"], life_s(60), life_s(120)) == (begin, 300, 480)
    assert fired["endsAt"] == "2026-09-21T14:18:20Z"  # five minutes after the time given
    ended = payload(notification("resolved", fired=begin, resolved=end), PASSED, 60)
    assert (ended["startsAt"], ended["endsAt"]) == (begin, end)


async def test_a_webhook_that_refuses_says_why_and_whether_to_try_again(hook: Hook) -> None:
    sender = Webhook(hook.url, "secret", Http(5))
    await sender.send(notification(), PASSED)
    headers, body = hook.taken[0]
    assert headers["webhook-id"] == "00000000000000a1-firing"
    assert headers["webhook-signature"] == signature("secret", headers["webhook-id"], PASSED // 1_000_000, body)
    for answer, retryable in ((503, True), (429, True), (400, False), (302, False)):
        hook.answer = answer
        with pytest.raises(SinkError, match=f"answered {answer}") as refused:
            await sender.send(notification(), PASSED)
        assert refused.value.retryable is retryable
        assert "/alerts" not in str(refused.value)
    await hook.stop()
    with pytest.raises(SinkError, match=f"^http://127.0.0.1:{hook.port} cannot be reached: ") as gone:
        await sender.send(notification(), PASSED)
    assert gone.value.retryable
    await sender.close()


async def test_of_several_services_those_that_were_reached_are_not_told_again(hook: Hook) -> None:
    other = Hook()
    sender = AppriseUrls([f"json://127.0.0.1:{port}/alerts" for port in (hook.port, other.port)], 5)
    with pytest.raises(SinkError, match="^1 of 2 services were not reached$"):
        await sender.send(notification(), PASSED)
    await other.start()
    await sender.send(notification(), PASSED)
    assert (len(hook.taken), len(other.taken)) == (1, 1)
    sent = json.loads(other.taken[0][1])
    assert sent["title"] == "FIRING critical RevenueLow: Revenue (region=EU)"
    assert "reason: revenue of 812.50 is below 1000" in sent["message"]
    await sender.close()
    await other.stop()


def test_of_an_address_only_the_host_is_shown() -> None:
    assert host_of("https://user:secret@example.com:8443/token/secret?key=secret") == "https://example.com:8443"
    assert host_of("http://[::1]:9093/x") == "http://[::1]:9093"


def test_times_are_read_with_their_offset() -> None:
    told = notification(at="2026-11-25T11:00:00+01:00").notice
    assert told.at_us == us(told.members.at) == 1_795_600_800_000_000
