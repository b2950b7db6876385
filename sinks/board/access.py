"""Who may do what: a bearer token or a session's cookie, looked up by its hash in the tokens file.

The file is looked at four times a second and read again when it has changed, so that a token is good or bad within a
second of `streamgauge token`. Without a file everybody may do everything: for loopback only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import Request

from sinks.board.problems import ProblemError
from sinks.board.tokens import SESSION_RIGHTS, Token, TokensUnusable, hashed, read_tokens
from sinks.names import SESSION_COOKIE

LOOK_S: Final = 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from. ``secret_sha256`` is what `Access.still` knows it by."""

    name: str
    rights: frozenset[str] | None  # None: all
    secret_sha256: str = ""

    def may(self, right: str) -> bool:
        return self.rights is None or right in self.rights


ANYONE: Final = Caller("-", None)
NOBODY: Final = Caller("-", frozenset())


class Access:
    """``path`` is the tokens file, None where there are no tokens. Raises TokensUnusable where it cannot be read.

    ``changes`` grows with each change of the file.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._callers: dict[str, Caller] = {}
        self._sessions: dict[str, Caller] = {}
        self._seen: tuple[int, int, int] | None = None
        self._looked = 0.0
        self.changes = 0
        if path is not None:
            self._seen = _version(path)
            self._take(read_tokens(path))

    @property
    def open(self) -> bool:
        """Whether everybody may do everything."""
        return self._path is None

    def caller(self, authorization: str | None, session: str | None) -> Caller:
        """Who shows this header or cookie; NOBODY for a wrong one, or none."""
        if self._path is None:
            return ANYONE
        self.look()
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            return self.by_token(token.strip()) if scheme.lower() == "bearer" else NOBODY
        return self._sessions.get(hashed(session), NOBODY) if session else NOBODY

    def by_token(self, token: str) -> Caller:
        if self._path is None:
            return ANYONE
        self.look()
        return self._callers.get(hashed(token), NOBODY)

    def still(self, caller: Caller, right: str) -> bool:
        """Whether a caller of a while ago may still do it."""
        if self._path is None:
            return True
        self.look()
        known = self._callers.get(caller.secret_sha256) or self._sessions.get(caller.secret_sha256)
        return known is not None and known.may(right)

    def check(self, request: Request, right: str) -> Caller:
        """The caller. Raises ProblemError: 401 where a token is missing or wrong, 403 where it does not permit this."""
        caller: Caller = request.state.caller
        if caller is NOBODY:
            scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
            given = scheme == "bearer" if scheme else SESSION_COOKIE in request.cookies
            told = ', error="invalid_token"' if given else ""
            raise ProblemError(
                401,
                "this token is not known, or was revoked" if given else "send a token: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": f'Bearer realm="streamgauge"{told}'},
            )
        if not caller.may(right):
            raise ProblemError(
                403,
                f"it takes the right {right}",
                headers={
                    "WWW-Authenticate": f'Bearer realm="streamgauge", error="insufficient_scope", scope="{right}"'
                },
            )
        return caller

    def requires(self, right: str) -> Callable[[Request], Awaitable[Caller]]:
        """A dependency for routes; ``send:{source}`` takes the source from the path."""

        async def permitted(request: Request) -> Caller:
            return self.check(request, right.format_map(request.path_params))

        return permitted

    # --- the file ---

    def look(self) -> None:
        """See whether the file has changed, if that was not done just now."""
        now = time.monotonic()
        if self._path is None or now - self._looked < LOOK_S:
            return
        self._looked = now
        version = _version(self._path)
        if version == self._seen:
            return
        self._seen = version
        self.changes += 1
        try:
            self._take(read_tokens(self._path))
        except TokensUnusable as error:
            _log.error("%s; no token is accepted until it can be read", error)
            self._take([])
        else:
            _log.info("%s has changed: %d tokens", self._path, len(self._callers))

    def _take(self, tokens: list[Token]) -> None:
        self._callers = {token.sha256: Caller(token.name, frozenset(token.rights), token.sha256) for token in tokens}
        self._sessions = {
            token.session_sha256: Caller(token.name, SESSION_RIGHTS & set(token.rights), token.session_sha256)
            for token in tokens
        }


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
