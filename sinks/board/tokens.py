"""Tokens of the API: 256 random bits, shown once, of which a file keeps hashes, names and rights.

A session is what a browser keeps in a cookie after its token was entered: it follows from the token, cannot be turned
back into it, and ends with it. The file keeps a hash of it as well, so every process that reads the file knows it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from sinks.names import READ, SILENCE, send_right

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_RIGHT: Final = re.compile(rf"{READ}|{SILENCE}|{re.escape(send_right(''))}[A-Za-z][A-Za-z0-9_]{{0,63}}")
_VERSION: Final = 1
_BITS: Final = 256
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_SESSION: Final = b"streamgauge session"
SESSION_RIGHTS: Final = frozenset((READ, SILENCE))  # a browser looks, and silences; it sends no events


class TokensUnusable(Exception):
    """A tokens file cannot be read or changed as wanted; the message says why."""


class Token(msgspec.Struct, frozen=True):
    """One token: the SHA-256 (hex) of it and of its session, not the token itself."""

    name: str
    rights: tuple[str, ...]
    sha256: str
    session_sha256: str
    made: str  # ISO date


class _File(msgspec.Struct):
    tokens: list[Token] = []
    version: int = _VERSION


def read_tokens(path: Path) -> list[Token]:
    """All tokens of the file. Raises TokensUnusable."""
    try:
        if path.stat().st_mode & _OTHERS_WRITE:
            raise TokensUnusable(f"others may write {path}, and so make themselves tokens; `chmod 600 {path}`")
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError as error:
        raise TokensUnusable(
            f"{path} does not exist; `streamgauge token make NAME --tokens {path}` makes it"
        ) from error
    except OSError as error:
        raise TokensUnusable(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TokensUnusable(f"{path} is not a file of tokens: {error}") from error
    if found.version != _VERSION:
        raise TokensUnusable(f"{path} is of version {found.version}; this program reads version {_VERSION}")
    return found.tokens


def make_token(path: Path, name: str, rights: Iterable[str], today: date) -> str:
    """Add a token to the file, which is made where there is none; the token. Raises TokensUnusable."""
    if not _NAME.fullmatch(name):
        raise TokensUnusable(f"{name!r} is not a name: letters, digits, _, . and -, at most 64")
    wanted = tuple(dict.fromkeys(rights))
    for right in wanted:
        if not _RIGHT.fullmatch(right):
            raise TokensUnusable(f"{right!r} is not a right; there is {READ}, {SILENCE} and {send_right('SOURCE')}")
    token = secrets.token_urlsafe(_BITS // 8)

    def added(tokens: list[Token]) -> list[Token]:
        if any(one.name == name for one in tokens):
            raise TokensUnusable(f"{path} has a token {name} already; revoke it, or choose another name")
        made = Token(name, wanted, hashed(token), hashed(session_of(token)), today.isoformat())
        return [*tokens, made]

    _change(path, added)
    return token


def revoke_token(path: Path, name: str) -> None:
    """Take a token out of the file. Raises TokensUnusable."""

    def without(tokens: list[Token]) -> list[Token]:
        rest = [one for one in tokens if one.name != name]
        if len(rest) == len(tokens):
            raise TokensUnusable(f"{path} has no token {name}; it has {', '.join(_names(tokens)) or 'none'}")
        return rest

    read_tokens(path)
    _change(path, without)


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def session_of(token: str) -> str:
    """What a browser keeps instead of the token."""
    return base64.urlsafe_b64encode(hmac.digest(token.encode(), _SESSION, "sha256")).decode().rstrip("=")


def _change(path: Path, change: Callable[[list[Token]], list[Token]]) -> None:
    """Replace the file as a whole. The new one, made first, keeps others from changing it at the same time."""
    new = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise TokensUnusable(
            f"{new} is there: another command is changing {path.name}, or was ended; remove it"
        ) from error
    except OSError as error:
        raise TokensUnusable(f"{new} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            tokens = read_tokens(path) if path.exists() else []
            file.write(msgspec.json.format(msgspec.json.encode(_File(change(tokens))), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink()
        raise


def _names(tokens: Sequence[Token]) -> list[str]:
    return [one.name for one in tokens]
