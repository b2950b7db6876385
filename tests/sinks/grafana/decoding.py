"""A dashboard read back with the SDK's models, and every value in them held against its declared type."""

from __future__ import annotations

import enum
import functools
import json
import sys
import typing
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from pydantic import TypeAdapter, ValidationError

register_default_plugins()


def read_back(dashboard: dict[str, Any]) -> Dashboard:
    return Dashboard.from_json(dashboard)


def written_again(model: Dashboard) -> dict[str, Any]:
    """JSON without the one key that the SDK adds to every link it reads."""
    found: dict[str, Any] = json.loads(json.dumps(model, cls=JSONEncoder))
    _drop_placement(found)
    return found


def _drop_placement(value: Any) -> None:
    if isinstance(value, dict):
        if "asDropdown" in value:
            value.pop("placement", None)
        for one in value.values():
            _drop_placement(one)
    elif isinstance(value, list):
        for one in value:
            _drop_placement(one)


def wrong_types(value: Any, at: str = "dashboard") -> Iterator[str]:
    """What is not of its declared type, anywhere in a model."""
    hints = _hints(type(value))
    for name, content in vars(value).items():
        here = f"{at}.{name}"
        if name == "placement":
            continue
        inner = list(_models(content))
        if inner:
            for place, model in inner:
                yield from wrong_types(model, f"{here}{place}")
        elif name in hints:
            try:
                hints[name].validate_json(json.dumps(content, cls=JSONEncoder), strict=True)
            except ValidationError as error:
                yield f"{here} = {content!r}: {error.errors()[0]['msg']}"


@functools.cache
def _hints(kind: type) -> dict[str, TypeAdapter[Any]]:
    """By attribute, what reads its type; of those whose type is no model."""
    hints = {}
    module = vars(sys.modules[kind.__module__])
    for name, hint in kind.__annotations__.items():
        hints[name] = typing.get_type_hints(type("One", (), {"__annotations__": {name: hint}}), globalns=dict(module))[
            name
        ]
    return {name: TypeAdapter(hint) for name, hint in hints.items() if not _holds_models(hint)}


def _holds_models(hint: Any) -> bool:
    parts = typing.get_args(hint)
    if parts:
        return any(_holds_models(part) for part in parts)
    return isinstance(hint, type) and hint.__module__.startswith("grafana_f") and not issubclass(hint, enum.Enum)


def _models(content: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(content, "to_json"):
        yield "", content
    elif isinstance(content, list):
        for number, one in enumerate(content):
            if hasattr(one, "to_json"):
                yield f"[{number}]", one
    elif isinstance(content, dict):
        for key, one in content.items():
            if hasattr(one, "to_json"):
                yield f"[{key}]", one
