"""Receivers of Alertmanager by their kind. Keys and addresses are read from files; no secret is written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

NOBODY: Final = "nobody"
_SUMMARIES: Final = "{{ range .Alerts }}{{ .Annotations.summary }} {{ end }}"
_TITLE: Final = (
    "{{ .Status | toUpper }} {{ .CommonLabels.severity }} {{ .CommonLabels.alertname }}"
    "{{ with .CommonLabels.kpi }}: {{ . }}{{ end }}"
)
_LINES: Final = (
    '{{ range .Alerts }}{{ .Annotations.summary }}{{ with .Annotations.reason }}: {{ . }}{{ end }}{{ "\\n" }}'
    '{{ with .Annotations.runbook_url }}<{{ . }}|Runbook>{{ "\\n" }}{{ end }}'
    '{{ with .Annotations.board_url }}<{{ . }}|Board>{{ "\\n" }}{{ end }}{{ end }}'
)
_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]")


def _pagerduty(file: str) -> dict[str, Any]:
    # The severities of catalogs are PagerDuty's own words.
    return {"pagerduty_configs": [{"routing_key_file": file, "severity": "{{ .CommonLabels.severity }}",
                                   "description": f"{_TITLE} {_SUMMARIES}"}]}  # fmt: skip


def _opsgenie(file: str) -> dict[str, Any]:
    return {"opsgenie_configs": [{"api_key_file": file, "message": _TITLE, "description": _LINES}]}


def _slack(file: str) -> dict[str, Any]:
    return {"slack_configs": [{"api_url_file": file, "send_resolved": True, "title": _TITLE, "text": _LINES}]}


_CONFIGS: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "pagerduty": _pagerduty,
    "opsgenie": _opsgenie,
    "slack": _slack,
}
KINDS: Final[Sequence[str]] = (*_CONFIGS, NOBODY)


@dataclass(frozen=True, slots=True, order=True)
class Receiver:
    """Of one kind, for one owner; ``owner`` is empty for alerts that nobody owns."""

    kind: str
    owner: str = ""

    @property
    def name(self) -> str:
        """Also that of its file. Owners are free text: what a file's name cannot have is left out of it."""
        if not self.owner or self.kind == NOBODY:
            return self.kind
        plain = _PLAIN.sub("_", self.owner)
        if plain != self.owner:
            plain += f"_{sha256(self.owner.encode()).hexdigest()[:8]}"
        return f"{self.kind}_{plain}"

    def as_yaml(self, secrets: str) -> dict[str, Any]:
        """``secrets``: the folder with one file for each receiver, as Alertmanager sees it."""
        made = _CONFIGS.get(self.kind)
        return {"name": self.name, **(made(f"{secrets.rstrip('/')}/{self.name}") if made else {})}
