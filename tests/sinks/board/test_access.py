"""Who may do what: tokens, their rights, sessions of browsers, and their end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, Request
from redis.asyncio import Redis

from sinks.board.access import Access
from sinks.board.app import Board, Part
from sinks.board.limits import Limits
from sinks.board.tokens import TokensUnusable, make_token, read_tokens, revoke_token
from sinks.names import EVENTS_PATH, send_right
from sinks.redis.connection import RedisAddress
from tests.sinks.board.conftest import Served, Tokens, server, streaming

DAY = date(2026, 11, 25)
GUARDED = [
    "/api/v1/catalog",
    "/api/v1/kpis",
    "/api/v1/kpis/sales",
    "/api/v1/kpis/nothing",
    "/api/v1/kpis/sales/values",
    "/api/v1/kpis/sales/top",
    "/api/v1/kpis/sales/history?region=EU",
    "/api/v1/alerts",
    "/api/v1/silences",
    "/api/v1/findings",
    "/api/v1/stream",
    "/metrics",
]
OPEN = ["/", "/wall", "/livez", "/readyz", "/openapi.json"]


@pytest.fixture
def given(address: RedisAddress, redis: Redis, tokens: Tokens) -> Any:
    """What `server` takes, for one that asks for tokens."""
    return {"address": address, "access": Access(tokens.path)}


@pytest.mark.parametrize("path", GUARDED)
async def test_reading_takes_a_token_with_that_right(given: Any, tokens: Tokens, path: str) -> None:
    async with server(**given) as served:
        nobody = await served.get(path)
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, 'Bearer realm="streamgauge"')
        assert nobody.headers["content-type"] == "application/problem+json"
        wrong = await served.get(path, headers={"Authorization": "Bearer nonsense"})
        assert (wrong.status_code, "invalid_token" in wrong.headers["www-authenticate"]) == (401, True)
        sender = await served.get(path, headers=tokens.bearer("shop"))
        assert (sender.status_code, 'scope="read"' in sender.headers["www-authenticate"]) == (403, True)
        async with served.client.stream("GET", path, headers=tokens.bearer("wall")) as reader:
            assert reader.status_code == (404 if "nothing" in path else 200)


@pytest.mark.parametrize("path", OPEN)
async def test_what_says_nothing_of_values_takes_no_token(given: Any, path: str) -> None:
    async with server(**given) as served:
        assert (await served.get(path)).status_code == 200


@pytest.mark.parametrize("header", ["Basic d2FsbDp4", "Bearer", "bearer\tx", "\xff", ""])
async def test_a_header_that_is_no_token_is_no_caller(given: Any, header: str) -> None:
    async with server(**given) as served:
        refused = await served.get("/api/v1/catalog", headers={"Authorization": header.encode("latin-1")})  # type: ignore[dict-item]
        assert refused.status_code == 401
        bearer = header == "Bearer"
        assert ("not known" in refused.json()["detail"], "invalid_token" in refused.headers["www-authenticate"]) == (
            bearer,
            bearer,
        )


async def test_a_part_asks_for_its_own_right_by_the_path(given: Any, tokens: Tokens) -> None:
    """As the gateway does: what another part serves is guarded by the source that its path names."""

    def part(board: Board) -> Any:
        router = APIRouter()
        permitted = Depends(board.access.requires(send_right("{source}")))

        @router.post(EVENTS_PATH, dependencies=[permitted])
        async def take(request: Request, source: str) -> dict[str, str]:
            return {"from": request.state.caller.name, "source": source}

        return _entered(Part(router))

    async with server(**given, parts=[part]) as served:
        path = "/api/v1/events/orders"
        assert (await served.client.post(path)).status_code == 401
        assert (await served.client.post(path, headers=tokens.bearer("wall"))).status_code == 403
        assert (await served.client.post("/api/v1/events/other", headers=tokens.bearer("shop"))).status_code == 403
        assert (await served.client.post("/api/v1/events/{source}", headers=tokens.bearer("shop"))).status_code == 403
        taken = await served.client.post(path, headers=tokens.bearer("shop"))
        assert taken.json() == {"from": "shop", "source": "orders"}


class _entered:
    """A part without anything to enter."""

    def __init__(self, part: Part) -> None:
        self.part = part

    async def __aenter__(self) -> Part:
        return self.part

    async def __aexit__(self, *_: object) -> None:
        return


async def test_a_part_whose_task_fails_ends_the_server(address: RedisAddress, redis: Redis) -> None:
    fail = asyncio.Event()

    async def work() -> None:
        await fail.wait()
        raise RuntimeError("the producer is gone")

    def part(_: Board) -> Any:
        return _entered(Part(APIRouter(), asyncio.create_task(work())))

    with pytest.raises(RuntimeError, match="the producer is gone"):
        async with server(address, parts=[part]) as served:
            fail.set()
            await asyncio.wait({served.task})


# --- sessions ---


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_have_not(given: Any, tokens: Tokens) -> None:
    async with server(**given) as served:
        entered = await served.client.post("/api/v1/session", json={"token": tokens.made["wall"]})
        assert (entered.status_code, entered.json()) == (200, {"name": "wall", "rights": ["read"]})
        cookie = entered.headers["set-cookie"]
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert tokens.made["wall"] not in cookie
        assert (await served.get("/api/v1/catalog")).status_code == 200
        assert (await served.json("/api/v1/session"))["name"] == "wall"
        assert (await served.client.delete("/api/v1/session")).status_code == 204
        assert (await served.get("/api/v1/catalog")).status_code == 401
        assert (await served.get("/api/v1/session")).status_code == 401


async def test_a_session_sends_no_events_whatever_its_token_may(given: Any, tokens: Tokens) -> None:
    async with server(**given) as served:
        entered = await served.client.post("/api/v1/session", json={"token": tokens.made["shop"]})
        assert entered.status_code == 200
        assert (await served.json("/api/v1/session"))["rights"] == []


async def test_elsewhere_a_cookie_goes_over_tls_alone(given: Any, tokens: Tokens) -> None:
    async with server(**given, host="0.0.0.0") as served:
        body = {"token": tokens.made["wall"]}
        behind_tls = await served.client.post(
            "/api/v1/session", json=body, headers={"Host": "kpi.example", "Origin": "https://kpi.example"}
        )
        assert "secure" in behind_tls.headers["set-cookie"].lower()
        plain = await served.client.post(
            "/api/v1/session", json=body, headers={"Host": "kpi.example", "Origin": "http://kpi.example"}
        )
        assert (plain.status_code, "over https" in plain.json()["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"token": "nonsense"}', "application/json", 401),
        (b'{"token": "nonsense"}', "text/plain", 415),
        (b'{"token": "nonsense"}', "application/json; charset=utf-8", 401),
        (b"token=nonsense", "application/x-www-form-urlencoded", 415),
        (b'{"token": 7}', "application/json", 422),
        (b'{"token": ""}', "application/json", 422),
        (b"{", "application/json", 422),
        (b"", "application/json", 422),
        (b'{"token": "\xff"}', "application/json", 400),
    ],
)
async def test_what_is_no_token_begins_no_session(given: Any, content: bytes, kind: str, status: int) -> None:
    async with server(**given) as served:
        refused = await served.client.post("/api/v1/session", content=content, headers={"Content-Type": kind})
        assert (refused.status_code, refused.json()["status"]) == (status, status)
        assert "set-cookie" not in refused.headers


async def test_a_body_that_is_no_json_is_told_where(given: Any) -> None:
    async with server(**given) as served:
        refused = await served.client.post(
            "/api/v1/session", content=b'{"token": "secret"', headers={"Content-Type": "application/json"}
        )
        [error] = refused.json()["errors"]
        assert (error["in"], error["name"]) == ("body", "")
        assert error["message"].startswith("is no JSON: ") and error["message"].endswith("at character 18")
        assert "secret" not in refused.text


async def test_guessing_tokens_is_slow(given: Any) -> None:
    async with server(**given, limits=Limits(logins="2/minute")) as served:
        statuses = []
        for _ in range(3):
            refused = await served.client.post("/api/v1/session", json={"token": "guess"})
            statuses.append(refused.status_code)
        assert statuses == [401, 401, 429]
        assert int(refused.headers["retry-after"]) > 0


async def test_without_tokens_everybody_here_may_do_everything(served: Served) -> None:
    assert await served.json("/api/v1/session") == {"name": "-", "rights": None}
    entered = await served.client.post("/api/v1/session", json={"token": "whatever"})
    assert (entered.status_code, "set-cookie" in entered.headers) == (200, False)


# --- revoking ---


async def test_a_revoked_token_ends_its_streams_and_sessions_at_once(given: Any, tokens: Tokens) -> None:
    tokens.make("other", "read")
    async with server(**given) as served:
        await served.client.post("/api/v1/session", json={"token": tokens.made["wall"]})
        async with (
            streaming(served, **tokens.bearer("wall")) as by_token,
            streaming(served) as by_session,
            streaming(served, **tokens.bearer("other")) as other,
        ):
            for stream in (by_token, by_session, other):
                await stream.next("beat")
            revoke_token(tokens.path, "wall")
            await by_token.until_ended()
            await by_session.until_ended()
            assert (await served.get("/api/v1/catalog")).status_code == 401
            assert (await served.get("/api/v1/catalog", headers=tokens.bearer("wall"))).status_code == 401
            await other.next("beat")
            assert (await served.get("/api/v1/catalog", headers=tokens.bearer("other"))).status_code == 200


async def test_a_token_that_is_made_while_it_serves_is_good(given: Any, tokens: Tokens) -> None:
    async with server(**given) as served:
        tokens.make("new", "read")
        async with asyncio.timeout(20):
            while (await served.get("/api/v1/catalog", headers=tokens.bearer("new"))).status_code != 200:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("content", ["{", None])
async def test_a_file_that_cannot_be_read_any_more_lets_nobody_in(
    given: Any, tokens: Tokens, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tokens.path.read_bytes()
    async with server(**given) as served:
        if content is None:
            tokens.path.unlink()
        else:
            tokens.path.write_text(content)
        async with asyncio.timeout(20):
            while (await served.get("/api/v1/catalog", headers=tokens.bearer("wall"))).status_code == 200:
                await asyncio.sleep(0.01)
        assert "no token is accepted until it can be read" in caplog.text
        tokens.path.write_bytes(kept)
        async with asyncio.timeout(20):
            while (await served.get("/api/v1/catalog", headers=tokens.bearer("wall"))).status_code != 200:
                await asyncio.sleep(0.01)


# --- the file ---


def test_the_file_holds_hashes_alone_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made = make_token(path, "wall", ["read", "send:orders", "read"], DAY)
    assert len(made) == 43  # 256 bits
    assert made not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (kept,) = read_tokens(path)
    assert (kept.name, kept.rights, kept.made) == ("wall", ("read", "send:orders"), "2026-11-25")
    assert kept.sha256 == hashlib.sha256(made.encode()).hexdigest()
    assert list(tmp_path.iterdir()) == [path]


def test_tokens_are_revoked_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    for name in ("a", "b"):
        make_token(path, name, ["read"], DAY)
    revoke_token(path, "a")
    assert [token.name for token in read_tokens(path)] == ["b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(TokensUnusable, match="has no token a; it has b"):
        revoke_token(path, "a")


@pytest.mark.parametrize(
    ("name", "right", "message"),
    [
        ("", "read", "is not a name"),
        ("a b", "read", "is not a name"),
        ("x" * 65, "read", "is not a name"),
        ("a", "write", "is not a right; there is read, silence and send:SOURCE"),
        ("a", "send:", "is not a right"),
        ("a", "send:{source}", "is not a right"),
        ("taken", "read", "has a token taken already"),
    ],
)
def test_what_is_no_token_is_not_made(tmp_path: Path, name: str, right: str, message: str) -> None:
    path = tmp_path / "tokens.json"
    make_token(path, "taken", ["read"], DAY)
    before = path.read_bytes()
    with pytest.raises(TokensUnusable, match=message):
        make_token(path, name, [right], DAY)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is not a file of tokens"),
        ('{"tokens": [{"name": "a"}]}', "is not a file of tokens"),
        ('{"version": 2}', "is of version 2"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(TokensUnusable, match=message):
        read_tokens(path)
    with pytest.raises(TokensUnusable, match=message):
        Access(path)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    make_token(path, "wall", ["read"], DAY)
    path.chmod(0o620)
    with pytest.raises(TokensUnusable, match="others may write"):
        read_tokens(path)
    path.chmod(0o640)  # as secrets are mounted
    assert len(read_tokens(path)) == 1


def test_two_changes_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    make_token(path, "wall", ["read"], DAY)
    (tmp_path / "tokens.json.new").write_text("")
    with pytest.raises(TokensUnusable, match="another command is changing"):
        make_token(path, "other", ["read"], DAY)
    assert [token.name for token in read_tokens(path)] == ["wall"]


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TokensUnusable, match="streamgauge token make NAME"):
        Access(tmp_path / "tokens.json")


def test_a_session_cannot_be_told_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    make_token(path, "wall", ["read"], DAY)
    access = Access(path)
    (kept,) = json.loads(path.read_text())["tokens"]
    for secret in (kept["sha256"], kept["session_sha256"]):
        assert access.caller(f"Bearer {secret}", None).rights == frozenset()
        assert access.caller(None, secret).rights == frozenset()
