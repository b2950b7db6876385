"""The board's page: one index.html for its own routes, and the files that it loads, from memory."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import xxhash
from fastapi import APIRouter, Request
from starlette.responses import Response

from sinks.names import API, PAGE_PATHS

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_INDEX: Final = "index.html"
_HASHED: Final = "assets/"  # file names that change with their content
_NOT_BUILT: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Streamgauge</title></head>
<body><h1>The board's page was not built</h1><p>The API is there: <a href="/openapi.json">/openapi.json</a>.</p></body>
</html>
"""


# The page with status 404, which says there that nothing is here; None for who does not ask for a page.
NothingHere = Callable[[Request], Response | None]


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def page_router() -> tuple[APIRouter, NothingHere]:
    """The page and its files as they were when the process started, and what people get who are not at one of these."""
    router = APIRouter(include_in_schema=False)
    found = {path: _file(path, entry.read_bytes()) for path, entry in _walk(files(__package__) / "static")}
    index = found.pop(_INDEX, None) or _file(_INDEX, _NOT_BUILT)

    async def page(request: Request) -> Response:
        return _answer(request, index, "no-cache")

    for path in PAGE_PATHS:
        router.add_api_route(path, page, methods=["GET", "HEAD"])
    for path, file in found.items():
        router.add_api_route(f"/{path}", _serving(path, file), methods=["GET", "HEAD"])

    def nothing_here(request: Request) -> Response | None:
        if request.method != "GET" or request.url.path.startswith(f"{API}/") or not _wants_page(request):
            return None
        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        return Response(index.content, 404, headers, media_type=index.media_type)

    return router, nothing_here


def _wants_page(request: Request) -> bool:
    """Browsers name HTML where somebody follows a link or enters an address; scripts do not."""
    accepted = request.headers.get("accept", "").split(",")
    return any(one.partition(";")[0].strip().lower() == "text/html" for one in accepted)


def _serving(path: str, file: _File) -> Callable[[Request], Awaitable[Response]]:
    cache = "public, max-age=31536000, immutable" if path.startswith(_HASHED) else "no-cache"

    async def serve(request: Request) -> Response:
        return _answer(request, file, cache)

    return serve


def _answer(request: Request, file: _File, cache: str) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": cache}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _file(path: str, content: bytes) -> _File:
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return _File(content, kind, f'"{xxhash.xxh3_128_hexdigest(content)}"')


def _walk(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{path}{entry.name}/")
        elif not entry.name.startswith("."):
            yield f"{path}{entry.name}", entry
