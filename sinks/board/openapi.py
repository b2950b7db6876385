"""The OpenAPI document: problem documents for what can go wrong, and the two ways to show a token."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sinks.board.problems import MEDIA_TYPE, SCHEMA
from sinks.names import API, METRICS_PATH, SESSION_COOKIE, SESSION_PATH

_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ANYWHERE: Final = {
    "400": "It cannot be read.",
    "421": "Without tokens, this machine alone is served.",
    "422": "A parameter or the body does not fit.",
    "429": "Too many requests; Retry-After says when to come again.",
    "503": "Not known at the moment.",
}
_WITH_RIGHT: Final = {"401": "No token, or one that is not known.", "403": "The token does not permit this."}
_WITH_BODY: Final = {
    "408": "The body did not come to its end.",
    "413": "The body is too large.",
    "415": "Of another kind.",
}
_SECURITY: Final[list[dict[str, list[str]]]] = [{"token": []}, {"session": []}]
_SCHEMES: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "From `streamgauge token make`."},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": f"From POST {SESSION_PATH}."},
}


def describe(app: FastAPI) -> None:
    """Make the app's OpenAPI document this one; without validation errors in FastAPI's own form."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=app.openapi_version,
        description=app.description,
        routes=app.routes,
    )
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    components["securitySchemes"] = _SCHEMES
    for path, operations in found["paths"].items():
        for operation in operations.values():
            guarded = path.startswith(API) and path != SESSION_PATH or path == METRICS_PATH
            told = dict(_ANYWHERE)
            if guarded or path == SESSION_PATH:
                told |= _WITH_RIGHT
            if "{" in path:
                told["404"] = "There is no such thing."
            if "requestBody" in operation:
                told |= _WITH_BODY
            for status, text in told.items():
                operation["responses"][status] = {"description": text, "content": _PROBLEM}
            operation["responses"] = dict(sorted(operation["responses"].items()))
            if guarded:
                operation["security"] = _SECURITY
    return found
