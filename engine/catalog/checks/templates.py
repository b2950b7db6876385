"""Annotations: what stands in braces is known."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.catalog.alerting import TEMPLATE_FIELDS
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.matching import one_of
from engine.catalog.model import Kpi


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    """Said with the alert's own findings."""
    return iter(())


def template_findings(kpi: Kpi, text: str, path: Path) -> Iterator[Finding]:
    known = (*TEMPLATE_FIELDS, *kpi.group_by)
    if re.search(r"\{\{|\}\}", text):
        yield Finding(path, "double braces", "write {value}, with single ones")
        return
    rest = re.sub(r"\{([^{}]*)\}", "", text)
    if "{" in rest or "}" in rest:
        missing = "}" if "{" in rest else "{"
        yield Finding(path, f"a brace without its {missing}", "write fields as {value}, and no other braces")
    for field in dict.fromkeys(re.findall(r"\{([^{}]*)\}", text)):
        if field not in known:
            yield Finding(path, f'unknown field "{field}"', one_of(field, known, "fields"))
