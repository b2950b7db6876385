"""The receivers file: what it means, and every problem with its line; secrets are in no message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sinks.alerting.notices import notice
from sinks.alerting.opening import replicas, sender
from sinks.alerting.receivers import Receiver, Receivers, ReceiverUnusable, parse_receivers

FILE = """\
version: 1
receivers:
  pager:   {type: alertmanager, urls: [http://a:9093, http://b:9093], resend: 30s}
  hook:    {type: webhook, url: https://example.com/alerts, secret_file: /run/secrets/hook}
  finance: {type: apprise, urls_file: /run/secrets/finance}
routes:
  - {severity: critical, receivers: [pager, hook]}
  - {owner: [cfo, cro], receivers: [finance], continue: true}
  - {labels: {team: web}, kpi: sales, receivers: [hook]}
  - {alert: Noise, receivers: []}
"""


def read(text: str) -> Receivers:
    found, problems = parse_receivers("receivers.yaml", text)
    assert found is not None, problems
    return found


def alert(**members: Any) -> Any:
    told = {"alert": "Low", "kpi": "sales", "state": "firing", "severity": "warning", "id": "a", "order": [0, 1]}
    return notice("Low|sales|-", json.dumps(told | {"at": "2026-11-25T10:00:00Z"} | members).encode())


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"severity": "critical", "owner": "cfo"}, {"pager", "hook"}),  # the first that matches
        ({"owner": "cfo"}, {"finance"}),
        ({"owner": "cro", "labels": {"team": "web"}}, {"finance", "hook"}),  # the first goes on
        ({"labels": {"team": "web"}}, {"hook"}),
        ({"labels": {"team": "web"}, "kpi": "visits"}, set()),
        ({"alert": "Noise"}, set()),
        ({}, set()),
    ],
)
def test_who_is_told_follows_the_routes(members: dict[str, Any], expected: set[str]) -> None:
    assert read(FILE).of(alert(**members)) == expected


def test_without_routes_everybody_is_told() -> None:
    found = read(FILE[: FILE.index("routes")])
    assert found.of(alert()) == {"pager", "hook", "finance"}


def test_the_short_way_is_told_of_everything_beside_the_routes() -> None:
    found = read(FILE).and_alertmanager(["http://c:9093"])
    assert found.of(alert()) == {"alertmanager"}
    assert found.of(alert(owner="cfo")) == {"alertmanager", "finance"}
    assert Receivers().and_alertmanager(["http://c:9093"]).of(alert()) == {"alertmanager"}
    assert Receivers().and_alertmanager([]).of(alert()) == frozenset()


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"  hook: {{type: webhook, url: 'https://u:{SECRET}@example.com'}}",
            'receivers.yaml:3: receiver "hook": the address holds credentials; '
            "write it into a file, and name that: url_file, urls_file",
        ),
        (
            f"  hook: {{type: webhook, url: 'ftp://{SECRET}'}}",
            'receivers.yaml:3: receiver "hook": the address is none that begins with http:// or https://; '
            "write it into a file, and name that: url_file, urls_file",
        ),
        (
            "  hook: {type: webhok, url: https://example.com}",
            'receivers.yaml:3: receiver "hook": type: unknown webhok; did you mean "webhook"?',
        ),
        (
            "  hook: {type: webhook}",
            'receivers.yaml:3: receiver "hook": a receiver that says nothing; write one of url, url_file',
        ),
        (
            "  chat: {type: apprise, urls: [a]}",
            'receivers.yaml:3: receiver "chat": unknown key "urls"; write urls_file: Apprise URLs are secrets',
        ),
        (
            "  a: {type: apprise, urls_env: CHAT}\nroutes:\n  - {receivers: [b]}",
            "receivers.yaml:5: route 1: no receiver b; there are a",
        ),
    ],
)
def test_problems_have_a_line_and_show_no_secret(line: str, expected: str) -> None:
    found, problems = parse_receivers("receivers.yaml", f"version: 1\nreceivers:\n{line}\n")
    assert found is None
    assert [str(problem) for problem in problems] == [expected]
    assert SECRET not in str(problems)


def test_secrets_come_from_files_and_variables(tmp_path: Path) -> None:
    urls = tmp_path / "urls"
    urls.write_text("# the first\nhttp://a:9093\n\nhttp://b:9093\n")
    assert [one.address for one in replicas(Receiver("pager", "alertmanager", urls_file=urls))] == [
        "http://a:9093",
        "http://b:9093",
    ]
    hook = Receiver("hook", "webhook", urls=("https://a",), secret_env="HOOK_SECRET")
    sender(hook, {"HOOK_SECRET": "x"})
    with pytest.raises(ReceiverUnusable, match="receiver hook: the variable HOOK_SECRET is not set"):
        sender(hook, {})
    with pytest.raises(ReceiverUnusable, match="receiver hook: .*missing cannot be read: No such file"):
        sender(Receiver("hook", "webhook", urls=("https://a",), secret_file=tmp_path / "missing"))
    with pytest.raises(ReceiverUnusable, match="receiver chat: URL 1 is none that Apprise knows") as refused:
        sender(Receiver("chat", "apprise", urls_env="CHAT"), {"CHAT": f"nothing-{SECRET}"})
    assert SECRET not in str(refused.value)
