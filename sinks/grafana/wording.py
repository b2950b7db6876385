"""Texts of the catalog as Grafana shows them as they are: neither its variables nor markup begin in them."""

from __future__ import annotations

import re
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?=[\w{])|\[(?=\[)")
_JOINER: Final = "\u2060"  # of no width
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")


def literal(text: str) -> str:
    """For titles, descriptions and links, in which Grafana replaces variables."""
    return _VARIABLE.sub(lambda found: found[0] + _JOINER, text)


def markdown(text: str) -> str:
    """For a text panel: one paragraph."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("$", "&#36;").replace("\n", " ")
    return _MARKDOWN.sub(r"\\\1", text)
