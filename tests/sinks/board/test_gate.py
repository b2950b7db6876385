"""What a request must be before anything looks at it: meant for this server, within bounds, not too often."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, Request
from redis.asyncio import Redis

from sinks.board.access import Access
from sinks.board.app import Board, Part
from sinks.board.limits import Bounds, Limits, caller_key
from sinks.board.problems import ProblemError
from sinks.names import EVENTS_PATH
from sinks.redis.connection import RedisAddress
from streamgauge.http_protocol import HEAD_BYTES, BoundedHttp
from tests.sinks.board.conftest import Served, Tokens, server

PAGE = "https://intranet.example.org"


async def raw(served: Served, sent: bytes, *, then: bytes = b"") -> bytes:
    """What the server answers until it closes the connection; ``then`` is sent once it has begun to answer."""
    reader, writer = await asyncio.open_connection(served.client.base_url.host, served.client.base_url.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(20):
            first = await reader.readuntil(b"\r\n\r\n") if then else b""
            writer.write(then)
            return first + await reader.read()
    finally:
        writer.close()


@asynccontextmanager
async def extra(board: Board) -> Any:
    """A part as a gateway is one: it takes bodies, and fails."""
    router = APIRouter()

    @router.post(EVENTS_PATH)
    async def take(request: Request, source: str) -> dict[str, int]:
        if source == "broken":
            raise RuntimeError("a secret detail")
        if source == "endless":
            await asyncio.Event().wait()
        if source == "refused":
            raise ProblemError(422, "1 of 2", errors=[("body", "1.amount", "no number")], more={"accepted": 1})
        if source == "rated":
            await board.rates.take(request, "events", cost=3)
        return {"bytes": len(await request.body())}

    yield Part(router)


# --- for this server ---


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::1]:8080"])
async def test_without_tokens_it_answers_to_names_of_this_machine(served: Served, host: str) -> None:
    assert (await served.get("/api/v1/catalog", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["kpi.example", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]", "[", "a b", "", "user@kpi"]
)
async def test_and_not_to_others_which_a_page_of_elsewhere_could_let_lead_here(served: Served, host: str) -> None:
    refused = await served.get("/api/v1/catalog", headers={"Host": host})
    assert (refused.status_code, refused.headers["content-type"]) == (421, "application/problem+json")


async def test_with_tokens_it_answers_to_any_name(address: RedisAddress, redis: Redis, tokens: Tokens) -> None:
    async with server(address, access=Access(tokens.path), host="0.0.0.0") as served:
        for host in ("kpi.example", "[", "a b"):
            found = await served.get("/api/v1/kpis?limit=1", headers={**tokens.bearer("wall"), "Host": host})
            assert found.headers["link"] == '</api/v1/kpis?limit=1&cursor=1>; rel="next"'


@pytest.mark.parametrize("origin", [PAGE, "null", "http://[", "http://localhost:1"])
async def test_pages_of_elsewhere_send_nothing(served: Served, origin: str) -> None:
    refused = await served.client.post("/api/v1/session", json={"token": "x"}, headers={"Origin": origin})
    assert (refused.status_code, "--cors-origin" in refused.json()["detail"]) == (403, True)
    read = await served.get("/api/v1/catalog", headers={"Origin": origin})
    assert (read.status_code, "access-control-allow-origin" in read.headers) == (200, False)
    asked = await served.client.options(
        "/api/v1/catalog", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
    )
    assert "access-control-allow-origin" not in asked.headers


async def test_its_own_page_may_send(served: Served) -> None:
    entered = await served.client.post("/api/v1/session", json={"token": "x"}, headers={"Origin": served.url})
    assert entered.status_code == 200


async def test_pages_of_a_named_origin_may(address: RedisAddress, redis: Redis) -> None:
    async with server(address, origins=[PAGE], limits=Limits(requests="2/minute")) as served:
        asked = await served.client.options(
            "/api/v1/catalog",
            headers={
                "Origin": PAGE,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization",
            },
        )
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, PAGE)
        read = await served.get("/api/v1/catalog", headers={"Origin": PAGE})
        assert read.headers["access-control-allow-origin"] == PAGE
        assert "etag" in read.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in read.headers
        other = await served.get("/api/v1/catalog", headers={"Origin": "https://other.example.org"})
        assert "access-control-allow-origin" not in other.headers
        refused = await served.get("/api/v1/catalog", headers={"Origin": PAGE})  # its pages can read why
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (429, PAGE)


# --- how large, how long ---


async def test_a_body_is_bounded_whether_it_says_its_size_or_not(address: RedisAddress, redis: Redis) -> None:
    limits = Limits(bounds={"/api/v1/events/": Bounds(body_bytes=1_000)})
    async with server(address, parts=[extra], limits=limits) as served:

        async def chunks(size: int) -> Any:
            for _ in range(size // 100):
                yield b"x" * 100

        path = "/api/v1/events/orders"
        assert (await served.client.post(path, content=b"x" * 1_000)).json() == {"bytes": 1_000}
        assert (await served.client.post(path, content=chunks(1_000))).json() == {"bytes": 1_000}
        for content in (b"x" * 1_001, chunks(1_100)):
            refused = await served.client.post(path, content=content)
            assert (refused.status_code, refused.json()["detail"]) == (413, "a body has at most 1,000 bytes here")


@pytest.mark.parametrize(
    "head", ["Content-Length: 9000000", "Content-Length: 9000000\r\nConnection: close", "Transfer-Encoding: chunked"]
)
async def test_who_sends_all_before_it_reads_is_told_that_it_was_too_much(served: Served, head: str) -> None:
    host, port = served.client.base_url.host, served.client.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    body = b"x" * 9_000_000
    if "chunked" in head:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    request = f"POST /api/v1/session HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
    try:
        async with asyncio.timeout(20):
            writer.write(request.encode() + body)
            await writer.drain()
            answer = await reader.read()
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"a body has at most" in answer


@pytest.mark.parametrize(("size", "status"), [(60_000, b"405"), (9_000_000, b"413")])  # the latter closes
async def test_what_comes_behind_an_answer_is_not_read_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch, size: int, status: bytes
) -> None:
    monkeypatch.setattr(BoundedHttp, "rest_seconds", 0.2)
    head = f"POST /api/v1/kpis HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
    reader, writer = await asyncio.open_connection(served.client.base_url.host, served.client.base_url.port)
    try:
        async with asyncio.timeout(20):
            writer.write(head.encode() + b"half")
            assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
            with pytest.raises(ConnectionError):  # nobody listens any more
                while True:
                    writer.write(b"more")
                    await writer.drain()
                    await asyncio.sleep(0.05)
    finally:
        writer.close()


async def test_a_connection_is_kept_when_the_rest_of_a_refused_request_came(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"POST /api/v1/kpis HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
    answers = await raw(served, head, then=b"rest" + b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 405 ") and answers.endswith(b"ok\n")
    monkeypatch.setattr(BoundedHttp, "head_seconds", 0.2)
    assert (await raw(served, head, then=b"rest")).startswith(b"HTTP/1.1 405 ")  # and closed, as nothing more comes


async def test_a_request_is_bounded_in_time(address: RedisAddress, redis: Redis) -> None:
    limits = Limits(bounds={"/api/v1/events/": Bounds(seconds=1.0)})
    async with server(address, parts=[extra], limits=limits) as served:
        late = await served.client.post("/api/v1/events/endless", content=b"x")
        assert (late.status_code, late.json()["detail"]) == (503, "it took more than 1 s")
        host = f"{served.client.base_url.host}:{served.client.base_url.port}"
        answer = await raw(
            served, f"POST /api/v1/events/orders HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\nhalf".encode()
        )
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"G"])
async def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(
    served: Served, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHttp, "head_seconds", 1.0)
    answer = await raw(served, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


async def test_a_connection_that_says_nothing_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "head_seconds", 0.2)
    assert await raw(served, b"") == b""


async def test_a_second_head_on_a_connection_is_not_waited_for_either(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHttp, "head_seconds", 1.0)
    answer = await raw(served, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", then=b"GET /livez HTTP/1.1\r\nX")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 408 " in answer


async def test_a_head_is_bounded(served: Served) -> None:
    answer = await raw(served, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (HEAD_BYTES + 1))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    large = await served.get("/livez", headers={"X": "a" * (HEAD_BYTES - 1_000)})
    assert large.status_code == 200


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
)
async def test_what_is_not_http_is_told_so(served: Served, sent: bytes) -> None:
    answer = await raw(served, sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


# --- how often ---


async def test_who_asks_too_often_is_told_when_to_come_again(address: RedisAddress, redis: Redis) -> None:
    async with server(address, limits=Limits(requests="5/minute")) as served:
        answers = [await served.get("/api/v1/catalog") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 120
        assert answers[-1].headers["content-type"] == "application/problem+json"
        for path in ("/livez", "/readyz"):  # who asks these restarts what does not answer
            assert (await served.get(path)).status_code == 200


async def test_each_token_has_its_own_rate(address: RedisAddress, redis: Redis, tokens: Tokens) -> None:
    tokens.make("other", "read")
    async with server(address, access=Access(tokens.path), limits=Limits(requests="2/minute")) as served:

        async def asked(name: str) -> int:
            return (await served.get("/api/v1/catalog", headers=tokens.bearer(name))).status_code

        assert [await asked("wall") for _ in range(3)] == [200, 200, 429]
        assert await asked("other") == 200


async def test_a_part_counts_what_it_is_sent(address: RedisAddress, redis: Redis) -> None:
    async with server(address, parts=[extra], limits=Limits(events="7/minute")) as served:
        answers = [await served.client.post("/api/v1/events/rated") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("203.0.113.9", 1), "203.0.113.9"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("::ffff:203.0.113.9", 1), "::ffff:203.0.113.9"),
        (("nonsense", 1), "nonsense"),
        (None, "-"),
    ],
)
def test_who_has_no_token_is_known_by_address(client: Any, key: str) -> None:
    assert caller_key({"client": client, "state": {"caller": Access(None).by_token("")}}) == key


async def test_a_proxy_that_is_believed_says_who_asks(address: RedisAddress, redis: Redis) -> None:
    for proxies, statuses in (((), [200, 200, 429]), (("127.0.0.1",), [200, 200, 200])):
        async with server(address, proxies=proxies, limits=Limits(requests="2/minute")) as served:
            answers = [
                await served.get("/api/v1/catalog", headers={"X-Forwarded-For": f"203.0.113.{number}"})
                for number in range(3)
            ]
            assert [answer.status_code for answer in answers] == statuses


# --- what an answer says, and what the log does ---


@pytest.mark.parametrize("path", ["/", "/assets/nothing.js", "/api/v1/catalog", "/api/v1/nothing", "/livez"])
async def test_every_answer_tells_browsers_to_be_strict(served: Served, path: str) -> None:
    headers = (await served.get(path)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/session", "DELETE, GET, HEAD, POST"),
        ("POST", "/api/v1/kpis", "GET, HEAD"),
        ("DELETE", "/api/v1/kpis/sales/values", "GET, HEAD"),
        ("HEAD", "/api/v1/stream", "GET"),
        ("POST", "/", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_offered(served: Served, method: str, path: str, allowed: str) -> None:
    refused = await served.client.request(method, path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/api/v1/kpis", "/api/v1/kpis/nothing", "/nothing"])
async def test_a_head_is_that_of_the_answer(served: Served, path: str) -> None:
    got, head = await served.get(path), await served.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "content-length", "etag"):
        assert head.headers.get(name) == got.headers.get(name)


async def test_what_fails_unexpectedly_says_nothing_to_the_caller_and_all_to_the_log(
    address: RedisAddress, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(address, parts=[extra]) as served:
        failed = await served.client.post("/api/v1/events/broken")
        assert (failed.status_code, failed.headers["content-type"]) == (500, "application/problem+json")
        assert "secret" not in failed.text and "RuntimeError" not in failed.text
        assert "nosniff" in failed.headers["x-content-type-options"]
        assert "a secret detail" in caplog.text
        assert (await served.get("/livez")).status_code == 200
        refused = await served.client.post("/api/v1/events/refused")
        assert refused.json()["accepted"] == 1
        assert refused.json()["errors"] == [{"in": "body", "name": "1.amount", "message": "no number"}]


async def test_the_log_has_a_line_a_request_and_no_secrets(
    address: RedisAddress, redis: Redis, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sinks.board.gate")
    async with server(address, access=Access(tokens.path)) as served:
        await served.get("/api/v1/kpis/sales/values?region=secret-region", headers=tokens.bearer("wall"))
        await served.client.post("/api/v1/session", json={"token": tokens.made["wall"]})
        await served.get("/api/v1/kpis/a%0Ab")
        await served.get("/livez")
    lines = [record.getMessage() for record in caplog.records if record.name == "sinks.board.gate"]
    assert lines[0].startswith("127.0.0.1 wall GET /api/v1/kpis/sales/values 200 ")
    assert lines[1].startswith("127.0.0.1 - POST /api/v1/session 200 ")
    assert lines[2].startswith("127.0.0.1 wall GET /api/v1/kpis/a%0Ab 404 ")
    assert len(lines) == 3
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert tokens.made["wall"] not in told and "secret-region" not in told


async def test_metrics_tell_routes_and_not_paths(served: Served) -> None:
    await served.get("/api/v1/kpis/sales/values")
    await served.get("/api/v1/kpis/nothing/values")
    await served.get("/nothing/at/all")
    text = (await served.get("/metrics")).text
    route = 'route="/api/v1/kpis/{kpi}/values"'
    assert f'streamgauge_http_requests_total{{method="GET",{route},status="200"}} 1.0' in text
    assert f'streamgauge_http_requests_total{{method="GET",{route},status="404"}} 1.0' in text
    assert 'route="other",status="404"' in text
    assert "/nothing" not in text
    assert "streamgauge_board_redis_connected 1.0" in text
